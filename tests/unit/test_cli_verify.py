"""``rtstyle verify`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rtstyle.backends.fake import FakeStylizer
from rtstyle.cli.main import main
from rtstyle.pipeline import stylize_video
from tests.clips import make_clip
from tests.remux import remux


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=12, audio=True)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def test_a_faithful_copy_is_a_table_and_0(clip: Path, tmp_path: Path) -> None:
    result = run(clip, remux(clip, tmp_path / "out.mkv"))
    assert result.exit_code == 0, result.output
    first, *rest, last = result.stdout.splitlines()
    assert first == "kept  frames        12 in both"
    assert all(line.startswith("kept  ") for line in rest)
    assert last == "all that should be kept is kept"
    assert result.stderr == ""


def test_a_loss_is_8_and_named_in_the_last_line(clip: Path, tmp_path: Path) -> None:
    mute = remux(clip, tmp_path / "out.mkv", without=[1])
    result = run(clip, mute)
    assert result.exit_code == 8
    assert "LOST  audio 1       aac, eng: is not in the output\n" in result.stdout
    assert result.stdout.endswith("\nlost: audio 1\n")


def test_what_is_allowed_is_marked_and_no_fault(clip: Path, tmp_path: Path) -> None:
    result = run(clip, remux(clip, tmp_path / "out.mkv", without=[1]), "--allow", "tags, audio")
    assert result.exit_code == 0
    assert "left  audio 1 " in result.stdout
    assert result.stdout.endswith("is kept, less what is marked 'left'\n")
    result = run(clip, clip, "--allow", "sound")
    assert result.exit_code == 2
    assert "there is no check named 'sound'" in result.stderr


def test_json_says_the_same(clip: Path, tmp_path: Path) -> None:
    mute = remux(clip, tmp_path / "out.mkv", without=[1])
    result = run(clip, mute, "--json")
    assert result.exit_code == 8
    found = json.loads(result.stdout)
    assert (found["input"], found["output"], found["kept"]) == (str(clip), str(mute), False)
    wrong = [check["name"] for check in found["checks"] if check["required"] > check["kept"]]
    assert wrong == ["audio 1"]


def test_a_range_is_verified_as_it_was_cut(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    stylize_video(clip, output, None, stylizer=FakeStylizer(), start=0.1, end=0.3)
    result = run(clip, output, "--start", "0.1", "--end", "0:00.3")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("kept  frames        5 in both\n")
    assert run(clip, output).exit_code == 8
    assert run(clip, output, "--start", "2", "--end", "1").exit_code == 2


@pytest.mark.parametrize("content", [None, b"", b"no video at all"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_or_broken_file_is_3(
    clip: Path, tmp_path: Path, content: bytes | None, which: int
) -> None:
    broken = tmp_path / "broken.mp4"
    if content is not None:
        broken.write_bytes(content)
    result = run(*((broken, clip) if which == 0 else (clip, broken)))
    assert result.exit_code == 3
    assert "broken.mp4" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_tags_cannot_move_the_cursor(clip: Path, tmp_path: Path) -> None:
    evil = remux(clip, tmp_path / "in2.mkv", tags={"title": "a\x1b[2Jb\nkept  all"})
    result = run(evil, remux(clip, tmp_path / "out.mkv"))
    assert result.exit_code == 8
    assert "\x1b" not in result.stdout
    assert not any(line.startswith("kept  all") for line in result.stdout.splitlines())
