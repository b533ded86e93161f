"""A user without a home folder: what needs one says what to set, and all else works without."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from rtstyle.styles.catalogue import CATALOGUE
from rtstyle.styles.download import download_folder
from tests.clips import make_clip
from tests.command import shell_command
from tests.nets import identity_net, make_pack

FOLDERS = ("RTSTYLE_STYLES", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME is not set, and no list knows the user."""
    monkeypatch.delenv("HOME", raising=False)

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("rtstyle.styles.folders.Path.home", unknown)


@pytest.fixture(params=["unset", "empty", "relative"])
def homeless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOLDERS:
        monkeypatch.delenv(name, raising=False)
    if request.param == "unset":
        no_user(monkeypatch)
    else:
        monkeypatch.setenv("HOME", {"empty": "", "relative": "some/where"}[request.param])


@pytest.mark.usefixtures("homeless")
def test_the_list_works_and_says_what_is_missing() -> None:
    result = run("styles", "list")
    assert result.exit_code == 0, result.output
    assert "great-wave" in result.stdout
    [note] = result.stderr.splitlines()
    assert note.startswith("note: no home folder is known here") and "RTSTYLE_STYLES" in note
    assert "great-wave" in {style["name"] for style in json.loads(_json())}


def _json() -> str:
    return run("styles", "list", "--json").stdout


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("command", ["import", "pull", "remove"])
def test_what_needs_a_folder_says_what_to_set(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(identity_net())
    free = next(entry.name for entry in CATALOGUE if not entry.non_commercial)
    named = {"import": tmp_path / "net.onnx", "pull": free, "remove": "some-style"}[command]
    result = run("styles", command, named)
    assert result.exit_code == 4, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("rtstyle: no home folder is known here") and "RTSTYLE_STYLES" in line
    assert os.listdir(tmp_path) == ["net.onnx"]


@pytest.mark.usefixtures("homeless")
def test_with_the_variable_set_all_is_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTSTYLE_STYLES", str(tmp_path / "styles"))
    (tmp_path / "net.onnx").write_bytes(identity_net())
    assert run("styles", "import", tmp_path / "net.onnx", "--as", "mine").exit_code == 0
    listed = run("styles", "list")
    assert (listed.exit_code, listed.stderr) == (0, "")
    assert "mine" in listed.stdout
    assert download_folder().is_relative_to(tmp_path / "styles")


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("style", ["nobody", "great-wav"])
def test_a_style_that_is_none_is_still_told_as_that(tmp_path: Path, style: str) -> None:
    result = run("styles", "show", style)
    assert result.exit_code == 5
    assert "no style named" in result.stderr


@pytest.mark.parametrize("home", ["missing", "file"])
def test_a_home_that_is_none(tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOLDERS:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "net.onnx").write_bytes(identity_net())
    where = tmp_path / "file" if home == "file" else tmp_path / "file" / "below"
    monkeypatch.setenv("HOME", str(where))
    listed = run("styles", "list")
    assert listed.exit_code == 0
    assert "great-wave" in listed.stdout
    result = run("styles", "import", tmp_path / "net.onnx")
    assert result.exit_code == 4, result.output
    assert "RTSTYLE_STYLES" in result.stderr and len(result.stderr.splitlines()) == 1
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_film_is_converted_without_any_folder_of_a_user(tmp_path: Path) -> None:
    make_clip(tmp_path / "in.mp4", frames=3)
    make_pack(tmp_path / "negative", name="negative")
    gone = dict.fromkeys((*FOLDERS, "HOME"))
    result = shell_command(
        '"$@"',
        *("video", "in.mp4", "-o", "out.mp4", "--style", "negative"),
        folder=tmp_path,
        variables={**gone, "HOME": str(tmp_path / "in.mp4" / "none")},
    )
    assert (result.returncode, result.stderr) == (0, b""), result.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 0
