"""What cannot work is refused in one line with the right exit code, and harms no file."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from tests.clips import make_clip, make_sound
from tests.nets import make_pack


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["video", *map(str, arguments)])


def refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("rtstyle: ")
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4")


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return make_pack(tmp_path / "negative", name="negative")


def _missing(path: Path) -> None:
    pass


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("once upon a time\n" * 100)


def _folder(path: Path) -> None:
    path.mkdir()


def _sound(path: Path) -> None:
    make_sound(path)


@pytest.mark.parametrize("make", [_missing, _empty, _text, _folder, _sound])
def test_an_input_that_is_no_video(
    make: Callable[[Path], None], tmp_path: Path, pack: Path
) -> None:
    source = tmp_path / "strange.mp4"
    make(source)
    before = tree(tmp_path)
    refused(run(source, "-o", tmp_path / "out.mp4", "--style", pack), 3, "strange.mp4")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("source", ["in.mp4", "no-such.mp4"])
@pytest.mark.parametrize(
    "output", ["none/out.mp4", "in.mp4/out.mp4", "out.xyz", "out", "there.mp4"]
)
def test_an_output_that_cannot_be_is_refused_before_all_else(
    clip: Path, pack: Path, tmp_path: Path, source: str, output: str
) -> None:
    (tmp_path / "there.mp4").write_bytes(b"precious")
    before = tree(tmp_path)
    result = run(tmp_path / source, "-o", tmp_path / output, "--style", "no-such-style")
    refused(result, 4, output.partition("/")[0])
    assert result.stdout == ""
    assert tree(tmp_path) == before


@pytest.mark.parametrize("link", ["same", "roundabout", "symbolic", "hard"])
def test_an_output_that_is_the_input_is_refused_even_to_overwrite(
    clip: Path, pack: Path, tmp_path: Path, link: str
) -> None:
    target = tmp_path / "link.mp4"
    if link == "symbolic":
        target.symlink_to(clip)
    elif link == "hard":
        target.hardlink_to(clip)
    else:
        target = clip if link == "same" else pack / ".." / "in.mp4"
    before = tree(tmp_path)
    refused(run(clip, "-o", target, "--style", pack, "--overwrite"), 4, target.name)
    assert tree(tmp_path) == before


def test_overwriting_is_only_done_when_asked(clip: Path, pack: Path, tmp_path: Path) -> None:
    output = make_clip(tmp_path / "out.mp4", frames=2)
    before = tree(tmp_path)
    refused(run(clip, "-o", output, "--style", pack), 4, "out.mp4", "--overwrite")
    assert tree(tmp_path) == before
    result = run(*(clip, "-o", output, "--style", pack, "--overwrite"), "--backend", "onnxruntime")
    assert result.exit_code == 0, result.output
    assert tree(tmp_path)["out.mp4"] != before["out.mp4"]


@pytest.mark.parametrize("style", ["no-such-style", "none.onnx", "in.mp4", "", "../.."])
def test_a_style_that_is_none(clip: Path, tmp_path: Path, style: str) -> None:
    style = str(tmp_path / style) if style == "in.mp4" else style
    before = tree(tmp_path)
    refused(run(clip, "-o", tmp_path / "out.mp4", "--style", style), 5)
    assert tree(tmp_path) == before


def test_a_backend_that_is_not_installed(
    clip: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    before = tree(tmp_path)
    result = run(clip, "-o", tmp_path / "out.mp4", "--style", pack, "--backend", "openvino")
    refused(result, 6, 'pip install "rtstyle[cpu]"')
    assert tree(tmp_path) == before


@pytest.mark.parametrize("report", ["none/report.json", "in.mp4", "out.mp4", "there.json"])
def test_a_report_that_cannot_be_written_is_refused_first(
    clip: Path, pack: Path, tmp_path: Path, report: str
) -> None:
    (tmp_path / "there.json").write_text("{}")
    before = tree(tmp_path)
    result = run(
        clip, "-o", tmp_path / "out.mp4", "--style", "no-such-style", "--report", tmp_path / report
    )
    refused(result, 2 if report in ("in.mp4", "out.mp4") else 4, report.rpartition("/")[2])
    assert tree(tmp_path) == before
