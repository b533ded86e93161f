"""``rtstyle live`` and ``rtstyle cameras`` as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from click.testing import CliRunner

from rtstyle.cli import cameras as cameras_command
from rtstyle.cli.main import main
from rtstyle.media import CameraDevice, CameraMode
from rtstyle.types import Size
from tests.clips import make_clip
from tests.helpers import all_unfinished

STYLE = ("--style", "great-wave-32")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", size=(64, 48), frames=10, rate=10)


def live(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["live", *map(str, words)])
    return result.exit_code, result.output


def test_a_film_goes_through_to_a_file(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    code, said = live("--camera", clip, *STYLE, "--output", out, "--mirror")
    assert code == 0, said
    assert "of 10 pictures shown" in said
    assert "delay from capture: median" in said
    with av.open(str(out)) as film:
        assert 1 <= sum(1 for _ in film.decode(video=0)) <= 10


def test_a_run_can_be_recorded_while_it_goes_nowhere(clip: Path, tmp_path: Path) -> None:
    tape = tmp_path / "tape.mkv"
    code, said = live("--camera", clip, *STYLE, "--output", "none", "--record", tape)
    assert code == 0, said
    assert tape.is_file()
    assert "tape.mkv" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_a_run_that_is_told_to_end_finishes_its_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "long.mp4", size=(64, 48), frames=900, rate=10)
    out = tmp_path / "out.mkv"
    words = ["live", "--camera", str(clip), *STYLE, "--output", str(out)]
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(
        [sys.executable, "-m", "rtstyle.cli.main", *words],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        deadline = time.monotonic() + 60
        while not all_unfinished(out) and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.05)
        time.sleep(1.0)
        run.terminate()
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, said
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) >= 1
    assert all_unfinished(out) == []


def test_a_recording_never_replaces_a_file_unasked(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "there.mp4"
    out.write_bytes(b"precious")
    code, said = live("--camera", clip, *STYLE, "--output", out)
    assert code == 4, said
    assert out.read_bytes() == b"precious"
    code, said = live("--camera", clip, *STYLE, "--output", "none", "--record", clip, "--overwrite")
    assert code == 4, said
    assert clip.stat().st_size > 100


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--camera", "97", "--output", "none"), 7, "there is no camera 97"),
        (("--camera", "nix.mp4", "--output", "none"), 3, "no such file"),
        (("--output", "gopher://x"), 2, "cannot send there"),
        (("--output", "x.gif"), 4, "x.gif"),
        (("--size", "12by9"), 2, "1280x720"),
        (("--size", "0x9"), 2, "1280x720"),
        (("--camera", "97", "--style", "nix", "--output", "none"), 5, "nix"),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(
    words: tuple[str, ...], code: int, told: str
) -> None:
    got, said = live(*words)
    assert got == code, said
    assert told in said


def test_the_check_names_every_part_and_what_is_missing(clip: Path) -> None:
    code, said = live("--check", "--camera", clip)
    assert code == 0, said
    assert "ok  camera          in.mp4 gives 64x48 at 10 fps" in said
    assert "ok  address         --output mjpeg would serve http://127.0.0.1:" in said
    for part in ("window", "virtual camera", "codec h264"):
        assert part in said
    code, said = live("--check", "--camera", "97")
    assert code == 7
    assert "--  camera          there is no camera 97" in said


def test_cameras_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    mode = CameraMode("MJPG", Size(1280, 720), (Fraction(30),))
    found = [
        CameraDevice(0, "/dev/video0", "Good Cam", True, False, (mode,)),
        CameraDevice(9, "/dev/video9", "rtstyle", False, True),
    ]
    monkeypatch.setattr(cameras_command, "list_cameras", lambda: found)
    said = CliRunner().invoke(main, ["cameras", "--json"])
    assert json.loads(said.output)[0]["modes"] == [
        {"coding": "MJPG", "width": 1280, "height": 720, "fps": [30.0]}
    ]
    assert cameras_command.report(found, "linux") == [
        "0  Good Cam  /dev/video0  camera",
        "     MJPG 1280x720 at 30 fps",
        "9  rtstyle  /dev/video9  takes pictures (a virtual camera's input)",
    ]
    assert "no camera here" in cameras_command.report([], "linux")[0]
    assert "Linux only" in cameras_command.report([], "win32")[0]
