"""Pictures that cannot or may no longer be written, and runs that are ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtstyle.errors import OutputError, OutputExists
from rtstyle.media import SequenceFile, SequenceWriter, open_video
from tests.clips import make_clip, moving_picture
from tests.helpers import names, unfinished
from tests.nets import make_pack

ROOT = Path(__file__).resolve().parents[2]

FULL_DISK = """
import os, resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from rtstyle.errors import DiskFull
from rtstyle.media import SequenceWriter
from rtstyle.types import Colour, Frame, Size, VideoInfo

output, limit, noisy = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
tick = Fraction(1, 25)
info = VideoInfo(Size(64, 48), tick, Fraction(25), None, None, 0, Fraction(1), Colour(), "x")
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
flat = np.zeros((48, 64, 3), np.uint8)
try:
    with SequenceWriter(output, info) as writer:
        for index in range(300):
            pixels = noise if index == noisy else flat
            writer.write(Frame(pixels, index, tick, 1, index))
        writer.finish()
except DiskFull as error:
    held = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{n}")]
    assert not any(str(output.parent) in name for name in held), held
    print(error)
    raise SystemExit(error.exit_code)
"""


def write(clip: Path, output: Path, *, overwrite: bool = False) -> None:
    with (
        open_video(clip) as video,
        SequenceWriter(output, video.info, source=clip, overwrite=overwrite) as writer,
    ):
        for frame in video:
            writer.write(frame)
        writer.finish()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return make_clip(tmp_path / "source" / "in.mp4", frames=6, size=(32, 24))


@pytest.mark.parametrize(
    ("limit", "noisy", "kept"),
    [(16, 300, 0), (40, 300, 0), (4000, 0, 0), (4000, 7, 7), (1000, 300, None)],
    ids=["header", "first time", "first picture", "a picture", "a time"],
)
def test_a_full_disk_is_said_and_what_is_whole_is_kept_with_its_times(
    tmp_path: Path, limit: int, noisy: int, kept: int | None
) -> None:
    output = tmp_path / "o" / "%04d.png"
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(output), str(limit), str(noisy)],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
    )
    assert result.returncode == 4, result.stderr
    assert "no room left" in result.stdout
    if kept == 0:
        assert names(tmp_path) == []
        return
    part = unfinished(output)
    assert part.name in result.stdout
    assert names(tmp_path / "o") == ["%04d.png.*.part"]
    with SequenceFile(part / "timestamps.txt") as source:
        frames = list(source)
        assert source.health.decode_failures == 0
        assert source.health.notes == ()
    assert len(names(part)) == len(frames) + 1
    assert len(frames) == kept if kept else 20 < len(frames) < 100


def test_a_second_run_on_the_same_pictures_is_refused(tmp_path: Path, clip: Path) -> None:
    output = tmp_path / "o" / "%d.png"
    with open_video(clip) as video, SequenceWriter(output, video.info) as writer:
        for frame in video:
            writer.write(frame)
            if frame.index == 2:
                for overwrite in (False, True):
                    with pytest.raises(OutputError, match=r"another run.*locked"):
                        write(clip, output, overwrite=overwrite)
        writer.finish()
    assert len(names(tmp_path / "o")) == 7


def test_what_a_killed_run_left_is_kept_and_named(tmp_path: Path, clip: Path) -> None:
    output = tmp_path / "o" / "%d.png"
    left = tmp_path / "o" / "%d.png.0123456789abcdef.part"
    left.mkdir(parents=True)
    for name in ("1.png", "77.png", "timestamps.txt", ".lock"):
        (left / name).write_bytes(b"half")
    with open_video(clip) as video, SequenceWriter(output, video.info) as writer:
        for frame in video:
            writer.write(frame)
        report = writer.finish()
    assert f"what an earlier run left unfinished is kept in {left.name}" in report.notes
    assert (left / "77.png").read_bytes() == b"half"
    with SequenceFile(output) as source:
        assert len(list(source)) == 6


@pytest.mark.parametrize("how", ["folder", "link", "dangling", "file"])
def test_what_others_call_part_is_left_as_it_is(tmp_path: Path, clip: Path, how: str) -> None:
    far, part = tmp_path / "far", tmp_path / "o" / "%d.png.part"
    far.mkdir()
    part.parent.mkdir()
    if how == "folder":
        part.mkdir()
    elif how == "link":
        part.symlink_to(far)
    elif how == "dangling":
        part.symlink_to(tmp_path / "nowhere")
    else:
        part.write_bytes(b"precious")
    for folder in (far, part):
        if folder.is_dir():
            (folder / "1.png").write_bytes(b"precious")
            (folder / "letter.doc").write_text("precious")
    write(clip, tmp_path / "o" / "%d.png")
    for folder in (far, part):
        if folder.is_dir():
            assert (folder / "1.png").read_bytes() == b"precious"
            assert (folder / "letter.doc").read_text() == "precious"
    assert how != "file" or part.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()
    assert len(list((tmp_path / "o").glob("?.png"))) == 6


def test_pictures_that_are_read_are_never_replaced(tmp_path: Path, clip: Path) -> None:
    """The folder is an earlier sequence of ours, but one of its pictures is what is read now."""
    write(clip, tmp_path / "o" / "%d.png")
    (tmp_path / "in").mkdir()
    for number in range(1, 7):
        (tmp_path / "in" / f"{number}.png").symlink_to(tmp_path / "o" / f"{number}.png")
    before = [path.read_bytes() for path in sorted((tmp_path / "o").iterdir())]
    with (
        SequenceFile(tmp_path / "in" / "%d.png") as source,
        pytest.raises(OutputExists, match="one of the files that this run reads"),
    ):
        SequenceWriter(
            tmp_path / "o" / "%d.png",
            source.info,
            source=tmp_path / "in" / "%d.png",
            overwrite=True,
        )
    assert [path.read_bytes() for path in sorted((tmp_path / "o").iterdir())] == before


def test_pictures_that_appear_meanwhile_are_left_alone(tmp_path: Path, clip: Path) -> None:
    output = tmp_path / "o" / "%d.png"
    for overwrite in (False, True):
        with (
            open_video(clip) as video,
            SequenceWriter(output, video.info, overwrite=overwrite) as writer,
        ):
            for frame in video:
                writer.write(frame)
            (tmp_path / "o" / "3.png").write_bytes(b"precious")
            with pytest.raises(OutputExists, match=r"kept in %d\.png\.\w+\.part"):
                writer.finish()
        assert names(tmp_path / "o") == ["%d.png.*.part", "3.png"]
        assert (tmp_path / "o" / "3.png").read_bytes() == b"precious"
        assert len(names(unfinished(output))) == 7
        shutil.rmtree(unfinished(output))
        (tmp_path / "o" / "3.png").unlink()


def test_pictures_placed_in_part_are_known_for_not_whole(tmp_path: Path, clip: Path) -> None:
    """As a run leaves them that is killed while it gives the pictures their names."""
    output = tmp_path / "o" / "%d.png"
    write(clip, output)
    for number in (5, 6):
        (tmp_path / "o" / f"{number}.png").unlink()
    with pytest.raises(Exception, match="6 times for 4 pictures"):
        SequenceFile(output)
    write(clip, output, overwrite=True)
    with SequenceFile(output) as source:
        assert len(list(source)) == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_nothing_under_the_names(tmp_path: Path, number: int) -> None:
    pack = make_pack(tmp_path / "negative", name="negative")
    clip = make_clip(tmp_path / "in.mp4", frames=1500, size=(320, 240))
    script = "import sys; from rtstyle.cli.main import main; sys.exit(main())"
    output = tmp_path / "o" / "%06d.png"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", script, "video", clip, "-o", output),
            *("--style", pack, "--backend", "onnxruntime"),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "o").glob("*/000005.png")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert names(tmp_path / "o") == ["%06d.png.*.part"]
        return
    assert process.returncode == 130, stderr
    assert "kept as o.partial" in stderr
    kept = tmp_path / "o.partial"
    assert names(tmp_path) == ["in.mp4", "negative", "o.partial"]
    with SequenceFile(kept / "timestamps.txt") as source:
        frames = list(source)
        assert source.health.decode_failures == 0
    assert 5 <= len(frames) < 1500
    assert len(names(kept)) == len(frames) + 1
    inverted = 255 - moving_picture((320, 240), 4).astype(int)
    assert abs(frames[4].pixels - inverted).mean() < 6
