from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rtstyle.cli import styles as styles_module
from rtstyle.cli.main import main
from rtstyle.cli.styles import table
from rtstyle.media import read_image, write_image
from rtstyle.styles import StyleSpec, load_pack
from tests.nets import identity_net, invert_net, make_pack


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["styles", *map(str, arguments)])


@pytest.fixture
def packs(tmp_path: Path) -> list[Path]:
    return [
        make_pack(tmp_path / "plain", name="plain", model=identity_net()),
        make_pack(tmp_path / "negative", name="negative", model=invert_net()),
    ]


@pytest.fixture
def bundled(packs: list[Path], monkeypatch: pytest.MonkeyPatch) -> tuple[StyleSpec, ...]:
    specs = tuple(load_pack(pack) for pack in packs)
    monkeypatch.setattr(styles_module, "bundled_styles", lambda: specs)
    return specs


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[:, :] = (200, 60, 20)
    write_image(tmp_path / "picture.png", pixels)
    return tmp_path / "picture.png"


def test_the_list_names_every_style_in_order(bundled: tuple[StyleSpec, ...]) -> None:
    lines = run("list").output.splitlines()
    assert lines[0].split()[:2] == ["NAME", "TITLE"]
    assert [line.split()[0] for line in lines[1:]] == [spec.name for spec in bundled]
    for line, spec in zip(lines[1:], bundled, strict=True):
        assert spec.title in line
        assert spec.licence in line
        assert "MB" in line


def test_the_list_as_json(bundled: tuple[StyleSpec, ...]) -> None:
    found = json.loads(run("list", "--json").output)
    assert [(entry["name"], entry["sha256"]) for entry in found] == [
        (spec.name, spec.sha256) for spec in bundled
    ]
    assert found[0]["bytes"] == bundled[0].file.stat().st_size


def test_no_bundled_style_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(styles_module, "bundled_styles", tuple)
    assert "--style" in run("list").output
    result = run("sheet", "-o", tmp_path / "sheet.png")
    assert result.exit_code == 2
    assert not (tmp_path / "sheet.png").exists()


def test_show_prints_the_card(packs: list[Path]) -> None:
    spec = load_pack(packs[1])
    result = run("show", packs[1])
    assert result.exit_code == 0
    for words in (spec.title, spec.licence, spec.source, str(spec.sha256), str(spec.file)):
        assert words in result.output
    assert json.loads(run("show", packs[1], "--json").output)["name"] == "negative"


def test_show_explains_what_was_measured() -> None:
    rows = dict(styles_module.card(measured({"gmac_640x360": 35.44, "psnr_bf16_db": 51.26})))
    assert rows["cost at 640x360"] == "35.4 G multiply-accumulates a frame"
    assert rows["bf16 against float32"] == "51.3 dB"
    assert dict(styles_module.card(measured({"new_figure": 2.5})))["new_figure"] == "2.5"


def measured(figures: dict[str, float]) -> StyleSpec:
    import dataclasses

    from rtstyle.styles import SizeRule

    blank = StyleSpec("name", "Title", "johnson", Path(__file__), None, SizeRule(), "MIT", "here")
    return dataclasses.replace(blank, measured=figures)


def test_an_unknown_style_is_exit_5() -> None:
    result = run("show", "no-such-style")
    assert result.exit_code == 5
    assert "no-such-style" in result.output


def share(sheet: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], colour: object) -> float:
    return float((np.abs(sheet.astype(int) - colour).max(axis=2) <= 1).mean())


@pytest.mark.usefixtures("bundled")
def test_the_sheet_shows_the_source_and_every_style(picture: Path, tmp_path: Path) -> None:
    output = tmp_path / "sheet.png"
    result = run("sheet", "-o", output, "--picture", picture, "--columns", "3")
    assert result.exit_code == 0, result.output
    sheet = read_image(output)
    cell = 480 * 320 / (sheet.shape[0] * sheet.shape[1])
    # The source and the style that changes nothing; then the one that inverts.
    assert share(sheet, (200, 60, 20)) == pytest.approx(2 * cell, rel=0.01)
    assert share(sheet, (55, 195, 235)) == pytest.approx(cell, rel=0.01)


def test_a_sheet_of_chosen_styles_on_the_drawn_picture(packs: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "sheet.png"
    assert run("sheet", "-o", output, "--style", packs[1], "--columns", "1").exit_code == 0
    sheet = read_image(output)
    margin, width, height = 24, 480, 320
    upper = sheet[margin : margin + height, margin : margin + width].astype(int)
    assert upper.std() > 30
    below = sheet[-(sheet.shape[0] - margin) // 2 :, margin : margin + width]
    starts = [k for k in range(below.shape[0] - height) if matches(upper, below[k : k + height])]
    assert starts


def matches(
    upper: np.ndarray[tuple[int, ...], np.dtype[np.int_]],
    lower: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> bool:
    return bool(np.abs(upper + lower - 255)[::8, ::8].mean() < 6)


def test_a_sheet_that_is_there_is_kept(packs: list[Path], picture: Path, tmp_path: Path) -> None:
    output = tmp_path / "sheet.png"
    output.write_bytes(b"mine")
    arguments = ("sheet", "-o", output, "--picture", picture, "--style", packs[0])
    assert run(*arguments).exit_code == 4
    assert output.read_bytes() == b"mine"
    assert run(*arguments, "--overwrite").exit_code == 0
    assert read_image(output).shape[2] == 3


def test_a_sheet_is_refused_before_any_style_is_loaded(tmp_path: Path) -> None:
    result = run("sheet", "-o", tmp_path / "no" / "sheet.png", "--style", "no-such-style")
    assert result.exit_code == 4


def test_table_aligns_its_columns() -> None:
    assert table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]
