"""A style card that holds anything at all costs its own style, and no other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from rtstyle.styles import user_folder
from tests.nets import make_pack

NUMBERS = [
    "1" + "0" * 400,
    "-1" + "0" * 400,
    "9" * 5000,
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "-Infinity",
]
WRONG = [
    *NUMBERS,
    "null",
    "true",
    "[]",
    "[1, 2, 3]",
    '{"": 0}',
    '""',
    '"\\ud800"',
    '"a\\nb"',
    '"\\u001b[31m"',
    '"\\u202eevil"',
    json.dumps("x" * 3000),
    "[" * 20000 + "]" * 20000,
    '{"a":' * 5000 + "1" + "}" * 5000,
    "",
    "\x00",
]
"""As they stand in the file; valid in no field."""

FIELDS: dict[str, Callable[[dict[str, Any]], None]] = {
    **{
        key: lambda card, key=key: card.update({key: "@@"})  # type: ignore[misc]
        for key in (
            "format",
            "name",
            "title",
            "family",
            "sha256",
            "size_rule",
            "licence",
            "source",
            "measured",
            "activations",
        )
    },
    "size_rule.minimum": lambda card: card["size_rule"].update(minimum="@@"),
    "size_rule.multiple_of": lambda card: card["size_rule"].update(multiple_of="@@"),
    "measured.figure": lambda card: card.update(measured={"psnr_bf16_db": "@@"}),
    "activations.low": lambda card: card.update(activations={"t": ["@@", 1.0]}),
    "activations.high": lambda card: card.update(activations={"t": [-1.0, "@@"]}),
    "the whole": lambda card: None,
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments])


def spoil(pack: Path, field: str, raw: str) -> None:
    card = json.loads((pack / "style.json").read_text())
    FIELDS[field](card)
    text = raw if field == "the whole" else json.dumps(card).replace('"@@"', raw)
    (pack / "style.json").write_bytes(text.encode("utf-8", "surrogatepass"))


@pytest.fixture
def packs() -> Path:
    folder = user_folder()
    folder.mkdir(parents=True)
    make_pack(folder / "sound", name="sound")
    make_pack(folder / "spoilt", name="spoilt")
    return folder


def costs_only_itself() -> None:
    listed = run("styles", "list")
    assert listed.exit_code == 0, listed.output
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert "sound" in names and "great-wave" in names
    assert "spoilt" not in names
    [note] = listed.stderr.splitlines()
    assert note.startswith("note: spoilt/style.json")
    assert len(note) < 500
    as_json = run("styles", "list", "--json")
    assert as_json.exit_code == 0
    assert "sound" in {style["name"] for style in json.loads(as_json.stdout)}
    used = run("styles", "show", "spoilt")
    assert used.exit_code == 5, used.output
    assert len(used.stderr.splitlines()) == 1
    assert "unexpected" not in used.stderr
    assert run("styles", "show", "sound").exit_code == 0


@pytest.mark.parametrize("field", FIELDS)
def test_a_hostile_value_in_any_field(packs: Path, field: str) -> None:
    good = (packs / "spoilt" / "style.json").read_bytes()
    for raw in WRONG:
        (packs / "spoilt" / "style.json").write_bytes(good)
        spoil(packs / "spoilt", field, raw)
        costs_only_itself()


@pytest.mark.parametrize("number", ["1e300", "1e13", "-1e13", "3.5e38", "-3.5e38"])
def test_numbers_that_a_double_holds_and_no_style_has(packs: Path, number: str) -> None:
    spoil(packs / "spoilt", "measured.figure", number)
    costs_only_itself()


def test_measured_and_reached_numbers_of_real_styles_are_taken(packs: Path) -> None:
    spoil(packs / "sound", "measured.figure", "123456")
    spoil(packs / "spoilt", "activations.high", "100000000000")
    listed = run("styles", "list")
    assert (listed.exit_code, listed.stderr) == (0, "")


def _folder(card: Path) -> None:
    card.unlink()
    card.mkdir()


def _pipe(card: Path) -> None:
    card.unlink()
    os.mkfifo(card)


def _ring(card: Path) -> None:
    card.unlink()
    card.symlink_to(card.name)


def _nothing(card: Path) -> None:
    card.write_bytes(b"")


def _bytes(card: Path) -> None:
    card.write_bytes(b"\xff\xfe\x00{")


def _vast(card: Path) -> None:
    card.write_bytes(b" " * 2**17)


@pytest.mark.parametrize("spoiling", [_folder, _pipe, _ring, _nothing, _bytes, _vast])
def test_a_card_that_is_no_file_of_text(packs: Path, spoiling: Callable[[Path], None]) -> None:
    spoiling(packs / "spoilt" / "style.json")
    costs_only_itself()


def test_the_first_number_beyond_a_double_is_refused_where_it_is_used(
    packs: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "in.png"
    picture.write_bytes(b"")
    spoil(packs / "spoilt", "measured.figure", NUMBERS[0])
    asked = run("styles", "sheet", "--style", "spoilt", "-o", str(tmp_path / "sheet.png"))
    assert asked.exit_code == 5
    assert "psnr_bf16_db" in asked.stderr
    assert not (tmp_path / "sheet.png").exists()
