"""Numbered pictures on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from tests.clips import make_clip, read_frames, video_pts


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=8, size=(32, 24), audio=True)


@pytest.fixture
def shot(clip: Path, tmp_path: Path) -> Path:
    """The pattern of eight pictures without times."""
    assert run(clip, "-o", tmp_path / "shot" / "%04d.png").exit_code == 0
    (tmp_path / "shot" / "timestamps.txt").unlink()
    return tmp_path / "shot" / "%04d.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["video", "--strength", "0", *map(str, arguments)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_film_becomes_pictures_and_the_pictures_a_film(clip: Path, tmp_path: Path) -> None:
    pattern = tmp_path / "o" / "%06d.png"
    result = run(clip, "-o", pattern, "--report", tmp_path / "r.json")
    assert result.exit_code == 0, result.stderr
    assert "note: pictures hold no sound; write a video file to keep them" in result.stdout
    assert result.stdout.splitlines()[-1].endswith(f"-> {pattern}")
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["frames_in"], report["frames_out"], report["output"]) == (8, 8, str(pattern))
    back = tmp_path / "back.mkv"
    result = run(tmp_path / "o" / "timestamps.txt", "-o", back)
    assert result.exit_code == 0, result.stderr
    assert "note" not in result.stdout
    assert video_pts(back) == video_pts(clip)
    verified = CliRunner().invoke(main, ["verify", str(clip), str(pattern)])
    assert verified.exit_code == 0, verified.output
    assert "kept  frames    8 in both" in verified.stdout


@pytest.mark.parametrize(
    ("rate", "last"), [("24", 7 / 24), ("24000/1001", 7.007 / 24), (None, 0.28)]
)
def test_the_rate_of_pictures_is_the_users(
    shot: Path, tmp_path: Path, rate: str | None, last: float
) -> None:
    options = [] if rate is None else ["--fps", rate]
    result = run(shot, "-o", tmp_path / "out.mp4", *options)
    assert result.exit_code == 0, result.stderr
    assert len(read_frames(tmp_path / "out.mp4")) == 8
    assert float(video_pts(tmp_path / "out.mp4")[-1]) == pytest.approx(last, abs=1e-4)
    assert ("25 frames a second" in result.stdout) == (rate is None)


def test_a_missing_picture_is_an_error(shot: Path, tmp_path: Path) -> None:
    (shot.parent / "0003.png").unlink()
    result = run(shot, "-o", tmp_path / "out.mp4")
    assert result.exit_code == 3
    assert "0003.png" in result.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_unreadable_pictures_are_a_loss(shot: Path, tmp_path: Path) -> None:
    (shot.parent / "0003.png").write_bytes(b"x")
    result = run(shot, "-o", tmp_path / "out.mp4", "--fps", "25")
    assert result.exit_code == 8, result.stderr
    assert "0003.png" in result.stdout
    assert len(read_frames(tmp_path / "out.mp4")) == 7


def test_a_preview_of_pictures(shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(shot, "--preview", "2", "--fps", "10")
    assert result.exit_code == 0, result.output
    assert "2 pictures -> shot-preview.png" in result.stdout
    assert "the whole: 8 frames" in result.stdout
    assert (tmp_path / "shot-preview.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["in.mp4", "-o", "x.mp4", "--fps", "24"], 2, "has its own times"),
        (["shot/%04d.png", "-o", "x.mp4", "--fps", "0"], 2, "fps"),
        (["shot/%04d.png", "-o", "x.mp4", "--fps", "fast"], 2, "24000/1001"),
        (["shot/%04d.png", "in.mp4", "-o", "out/"], 2, "alone"),
        (["shot/0001.png", "shot/0002.png", "-o", "x.mp4"], 2, "pattern in quotes"),
        (["shot/%04d.png", "-o", "shot"], 2, "name the video file"),
        (["in.mp4", "other.mp4", "-o", "o/%d.png"], 2, "only one film"),
        (["shot", "-o", "x.mp4"], 2, "shot/%04d.png"),
        ([".", "-o", "o/%d.png"], 2, "only one film"),
        (["in.mp4", "-o", "o/%d.png", "--quality", "90"], 2, "lossless"),
        (["in.mp4", "-o", "o/%d.png", "--container", "mkv"], 2, "--container"),
        (["in.mp4", "-o", "o/%d.png", "--resume"], 2, "nothing to resume"),
        (["shot/%04d.png", "-o", "x.mp4", "--resume"], 2, "nothing to resume"),
        (["in.mp4", "-o", "o/%d.png", "--skip-existing"], 2, "--skip-existing"),
        (["in.mp4", "-o", "frame.png"], 4, "frame-%06d.png"),
        (["in.mp4", "-o", "a/b/%d.png"], 4, "create it first"),
        (["in.mp4", "-o", "shot/%04d.png"], 4, "never replaced"),
        (["shot/%04d.jpg", "-o", "x.mp4"], 3, "shot/%04d.png"),
        (["none/%04d.jpg", "-o", "x.mp4"], 3, "no folder"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    shot: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    os.link(tmp_path / "in.mp4", tmp_path / "other.mp4")
    before = names(tmp_path), names(tmp_path / "shot")
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert (names(tmp_path), names(tmp_path / "shot")) == before


def test_pictures_go_into_the_current_folder(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(clip, "-o", "%02d.jpg").exit_code == 0
    assert names(Path()) == [*(f"{n:02}.jpg" for n in range(1, 9)), "timestamps.txt"]
    assert run("%02d.jpg", "-o", "film.mp4").exit_code == 0
    assert run("timestamps.txt", "-o", "film2.mp4").exit_code == 0
    assert len(read_frames(Path("film2.mp4"))) == 8
