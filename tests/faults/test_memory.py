"""Too little memory, through the command: one line and its exit code, never a hang or a killing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import ImageFile

from rtstyle.backends import FakeStylizer
from rtstyle.cli import image as image_command
from rtstyle.cli import styles as styles_command
from rtstyle.cli import video as video_command
from rtstyle.cli.checkup import PARTS, look_apart
from rtstyle.cli.main import main
from rtstyle.errors import BackendOutOfMemory
from rtstyle.media import read_image
from rtstyle.media.decode import Decoder
from rtstyle.pipeline import stylize_image, stylize_video
from tests.clips import make_clip

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set as Linux does")

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from rtstyle.cli.main import main
main(sys.argv[2:], prog_name="rtstyle")
"""


def limited(megabytes: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command with so much address space and no more."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(megabytes * 10**6), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )


def large_picture(folder: Path) -> Path:
    file = folder / "large.png"
    cv2.imwrite(str(file), np.full((2160, 3840, 3), 99, np.uint8))
    return file


@linux
def test_a_4k_picture_beyond_the_limit_is_refused_in_a_line(tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    done = limited(2000, "image", large_picture(tmp_path), "-o", output, "--style", "hayao")
    assert done.returncode == 6, done
    (line,) = done.stderr.splitlines()
    assert "a picture of 3840x2160 in style hayao" in line
    assert "GB of memory, and this process has" in line
    assert not output.exists()


@linux
def test_a_4k_film_beyond_the_limit_is_refused_in_a_line(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", size=(3840, 2160), frames=3)
    output = tmp_path / "out.mp4"
    done = limited(2000, "video", clip, "-o", output, "--style", "hayao-fast")
    assert done.returncode == 6, done
    line = done.stderr.splitlines()[-1]
    assert "a film of 3840x2160 in style hayao-fast" in line
    assert "scale the source down to" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


@linux
@pytest.mark.parametrize("command", ["image", "video"])
def test_where_nothing_would_load_a_line_says_so(tmp_path: Path, command: str) -> None:
    done = limited(400, command, tmp_path / "in.mp4", "-o", tmp_path / "out.mp4")
    assert done.returncode == 6, done
    (line,) = done.stderr.splitlines()
    assert "to start" in line


def test_a_film_in_plenty_of_memory_is_converted_as_ever(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", size=(320, 180), frames=6)
    result = CliRunner().invoke(
        main, ["video", str(clip), "-o", str(tmp_path / "out.mp4"), "--style", "hayao-fast"]
    )
    assert result.exit_code == 0, result.output
    assert "memory" not in result.output


@linux
def test_the_doctor_comes_where_libraries_do_not_load(tmp_path: Path) -> None:
    began = time.monotonic()
    done = limited(500, "doctor")
    assert time.monotonic() - began < 30
    assert done.returncode == 6, done
    assert "memory" in done.stdout
    assert "ulimit" in done.stdout
    assert "pip install --force-reinstall" not in done.stdout.split("Problems")[1]


def sleeping(part: str) -> list[str]:
    return [sys.executable, "-c", "import time; time.sleep(60)", part]


def test_a_check_that_hangs_is_ended_and_the_others_answer() -> None:
    def command(part: str) -> list[str]:
        answer = [sys.executable, "-c", "print('{\"backends\": []}')", part]
        crash = [sys.executable, "-c", "import os; os.abort()", part]
        return {"openvino": sleeping(part), "tensorrt": crash}.get(part, answer)

    began = time.monotonic()
    found = look_apart(PARTS, each=2.0, together=20.0, command=command)
    assert time.monotonic() - began < 15
    assert "gave no answer" in found["openvino"].reason
    assert found["media"].found == {"backends": []}
    assert found["tensorrt"].found is None
    assert found["tensorrt"].reason
    # All of them hang: the time for all together ends it.
    began = time.monotonic()
    found = look_apart(PARTS, each=30.0, together=1.0, command=sleeping)
    assert time.monotonic() - began < 10
    assert [found[part].found for part in PARTS] == [None] * len(PARTS)


HANGING = """
import subprocess, sys
from rtstyle.cli import checkup
real = checkup._start
def start(command):
    process = real([sys.executable, "-c", "import signal, time;"
        "signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"])
    print(process.pid, flush=True)
    return process
checkup._start = start
from rtstyle.cli.main import main
main(["doctor"], prog_name="rtstyle")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_ctrl_c_ends_a_doctor_whose_checks_hang() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        children = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        for child in children:
            with pytest.raises(ProcessLookupError):
                os.kill(child, 0)
    finally:
        process.kill()
        process.communicate()


def raising(error: Exception) -> Callable[..., object]:
    def run(*arguments: object, **options: object) -> object:
        raise error

    return run


LACKS = [
    MemoryError(),
    RuntimeError("std::bad_alloc"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    cv2.error("OpenCV(5.0.0) (-4:Insufficient memory) Failed to allocate 4 bytes"),
]


@pytest.mark.parametrize("error", LACKS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("command", ["image", "video", "sheet"])
def test_whoever_runs_out_of_memory_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, error: Exception
) -> None:
    picture = tmp_path / "in.png"
    cv2.imwrite(str(picture), np.zeros((32, 32, 3), np.uint8))
    for module, name in (
        (image_command, "open_stylizer"),
        (video_command, "stylize_video"),
        (styles_command, "open_stylizer"),
    ):
        monkeypatch.setattr(module, name, raising(error))
    out = str(tmp_path / "out")
    arguments = {
        "image": ["image", str(picture), "-o", f"{out}.png"],
        "video": ["video", str(picture), "-o", f"{out}.mp4"],
        "sheet": ["styles", "sheet", "-o", f"{out}.png"],
    }[command]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 6, result.output
    line = result.output.splitlines()[-1]
    assert "memory ran out" in line
    assert "unexpected" not in line


@pytest.mark.parametrize("error", LACKS, ids=lambda error: type(error).__name__)
def test_a_net_that_runs_out_of_memory_is_told_by_the_library_too(
    tmp_path: Path, error: Exception
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=4)
    with pytest.raises(BackendOutOfMemory):
        stylize_video(
            clip, tmp_path / "out.mp4", None, stylizer=FakeStylizer(fail_at=2, error=error)
        )
    with pytest.raises(BackendOutOfMemory):
        stylize_image(
            np.zeros((8, 8, 3), np.uint8), None, stylizer=FakeStylizer(fail_at=1, error=error)
        )
    assert not (tmp_path / "out.mp4").exists()


def test_a_decoder_that_runs_out_of_memory_loses_no_frame_untold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=12)
    real, calls = Decoder._decode, 0

    def decode(self: Decoder, packet: av.Packet | None) -> object:  # type: ignore[type-arg]
        nonlocal calls
        calls += 1
        if calls != 5:
            return real(self, packet)
        stream = self._stream

        class Failing:
            def decode(self, packet: object) -> object:
                raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

        self._stream = Failing()  # type: ignore[assignment]
        try:
            return real(self, packet)
        finally:
            self._stream = stream

    monkeypatch.setattr(Decoder, "_decode", decode)
    with pytest.raises(BackendOutOfMemory):
        stylize_video(clip, tmp_path / "out.mp4", None, stylizer=FakeStylizer())
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_picture_is_not_called_damaged_for_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deep: bool
) -> None:
    picture = large_picture(tmp_path)
    if deep:
        assert cv2.imwrite(str(picture), np.zeros((40, 60, 3), np.uint16))
        monkeypatch.setattr(cv2, "imdecode", raising(LACKS[3]))
    else:
        monkeypatch.setattr(ImageFile.ImageFile, "load", raising(MemoryError()))
    with pytest.raises(BackendOutOfMemory, match="while a picture was read"):
        read_image(picture)


def test_the_doctor_says_how_much_is_left() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert json.loads(result.output)["memory"] > 0
