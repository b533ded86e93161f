from __future__ import annotations

import functools
import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rtstyle.cli import pull as pull_module
from rtstyle.cli.main import main
from rtstyle.styles.catalogue import CATALOGUE, CatalogueEntry, Digest
from rtstyle.styles.download import fetch
from rtstyle.styles.transport import Patience
from tests.liar import Liar, other_file, serving

DATA = b"weights" * 500


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["styles", "pull", *arguments])


@pytest.fixture(autouse=True)
def told_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fetched here is no net: instead of being made a style, its place is printed."""
    monkeypatch.setattr(pull_module, "IMPORTER", lambda file, _: str(file))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    """A server with two styles of a catalogue of its own, and a cache of this test's own."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    patience = Patience(stall_seconds=2.0, pause_seconds=0.0, plain_http=True)
    monkeypatch.setattr(pull_module, "fetch", functools.partial(fetch, patience=patience))
    with serving(DATA) as server:
        free = CatalogueEntry(
            name="free",
            title="Free",
            file="free.onnx",
            bytes=len(DATA),
            digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()),
            addresses=(server.address(),),
            redirects=(),
            licence="CC0-1.0",
            non_commercial=False,
            source="a test",
        )
        bound = replace(free, name="bound", licence="for research only", non_commercial=True)
        monkeypatch.setattr(pull_module, "find_entry", {"free": free, "bound": bound}.__getitem__)
        yield server


def files(tmp_path: Path) -> list[Path]:
    found = (tmp_path / "cache").rglob("*")
    return [f for f in found if f.is_file() and f.suffix != ".lock"]


def test_the_list_shows_every_style_with_its_licence() -> None:
    lines = run("--list").output.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", *(entry.name for entry in CATALOGUE)]
    for entry, line in zip(CATALOGUE, lines[1:], strict=True):
        assert line.endswith(entry.licence)
        assert "MB" in line


def test_the_list_as_json_has_addresses_and_hashes() -> None:
    found = json.loads(run("--list", "--json").output)
    assert [one["name"] for one in found] == [entry.name for entry in CATALOGUE]
    assert found[0]["digest"] == {"kind": "sha256", "value": CATALOGUE[0].digest.value}
    assert found[0]["addresses"] == list(CATALOGUE[0].addresses)


def test_a_free_style_is_fetched_and_its_licence_shown(server: Liar, tmp_path: Path) -> None:
    result = run("free")
    assert result.exit_code == 0, result.output
    assert "licence: CC0-1.0" in result.output
    [file] = files(tmp_path)
    assert file.read_bytes() == DATA
    assert str(file) in result.output
    assert "was there already" in run("free").output


def test_a_bound_style_is_not_fetched_before_its_licence_is_accepted(
    server: Liar, tmp_path: Path
) -> None:
    result = run("bound")
    assert result.exit_code == 2
    assert "licence: for research only" in result.output
    assert "--accept-licence" in result.output
    assert server.asked == []
    assert run("bound", "--accept-licence").exit_code == 0
    assert len(files(tmp_path)) == 1


def test_the_fetched_file_goes_to_the_importer(
    server: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(file: Path, entry: CatalogueEntry) -> str:
        return f"{entry.name} made of {len(file.read_bytes())} bytes under {entry.licence}"

    monkeypatch.setattr(pull_module, "IMPORTER", take)
    assert f"free made of {len(DATA)} bytes under CC0-1.0" in run("free").output


def test_a_wrong_file_never_gets_to_the_importer(
    server: Liar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []
    monkeypatch.setattr(pull_module, "IMPORTER", lambda file, _: taken.append(file))
    server.answers.append(other_file)
    result = run("free")
    assert result.exit_code == 5
    assert "deleted" in result.output
    assert taken == []
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("mosaic", "--list"), 2),
        (("mosaic", "--json"), 2),
        (("../../x",), 5),
        (("no-such-style",), 5),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], code: int) -> None:
    assert run(*arguments).exit_code == code


def test_on_a_terminal_the_licence_is_asked_for(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from rtstyle.cli.main import main; main()"]
    bound = next(entry for entry in CATALOGUE if entry.non_commercial)
    try:
        child = subprocess.Popen(
            [*command, "styles", "pull", bound.name],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        )
        os.write(ours, b"n\n")
        said, _ = child.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert child.returncode == 2
    assert bound.licence in said
    assert "Do you agree" in said
    assert "nothing was fetched" in said
    assert list(tmp_path.iterdir()) == []
