"""Destinations that cannot, must not or may no longer be written."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rtstyle.errors import (
    EncoderUnavailable,
    OutputError,
    OutputExists,
    OutputNotWritable,
)
from rtstyle.media import EncodeOptions, VideoWriter, check_output, open_video, write_image
from rtstyle.media.part_file import PartFile
from rtstyle.media.verify import check_written
from tests.clips import make_clip, moving_picture, read_frames
from tests.helpers import names, unfinished

FAST = EncodeOptions(preset="ultrafast")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return make_clip(folder / "in.mp4", frames=10, audio=True)


def write(clip: Path, output: Path, *, overwrite: bool = False, fail_at: int | None = None) -> None:
    with (
        open_video(clip) as video,
        VideoWriter(output, video.info, FAST, source=clip, overwrite=overwrite) as writer,
    ):
        for frame in video:
            if frame.index == fail_at:
                raise RuntimeError("the net broke")
            writer.write(frame)
        writer.finish()


def test_an_existing_file_is_left_alone(tmp_path: Path, clip: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"precious")
    with pytest.raises(OutputExists, match=r"out\.mp4.*--overwrite"):
        check_output(output, source=clip, overwrite=False)
    with pytest.raises(OutputExists, match=r"out\.mp4.*--overwrite"):
        write(clip, output)
    assert output.read_bytes() == b"precious"
    check_output(output, source=clip, overwrite=True)
    with pytest.raises(RuntimeError, match="net broke"):
        write(clip, output, overwrite=True, fail_at=5)
    assert output.read_bytes() == b"precious"
    assert names(tmp_path) == ["out.mp4", "source"]
    write(clip, output, overwrite=True)
    assert len(read_frames(output)) == 10


def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path: Path, clip: Path) -> None:
    output = tmp_path / "out.mp4"
    with (
        open_video(clip) as video,
        VideoWriter(output, video.info, FAST) as writer,
    ):
        for frame in video:
            writer.write(frame)
        output.write_bytes(b"precious")
        with pytest.raises(OutputExists, match=r"kept as out\.mp4\.\w+\.part"):
            writer.finish()
    assert output.read_bytes() == b"precious"
    assert len(read_frames(unfinished(output))) == 10


@pytest.mark.parametrize("how", ["same", "symlink", "hard link", "other spelling"])
def test_the_source_is_never_written_over(tmp_path: Path, clip: Path, how: str) -> None:
    output = tmp_path / "out.mp4"
    if how == "symlink":
        output.symlink_to(clip)
    elif how == "hard link":
        os.link(clip, output)
    elif how == "same":
        output = clip
    else:
        output = tmp_path / "source" / ".." / "source" / "in.mp4"
    before = digest(clip)
    for overwrite in (False, True):
        with pytest.raises(OutputExists, match="input itself"):
            check_output(output, source=clip, overwrite=overwrite)
        with pytest.raises(OutputExists, match="input itself"):
            write(clip, output, overwrite=overwrite)
    assert digest(clip) == before


def test_places_where_no_file_can_be_are_refused(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    wrong = {
        tmp_path / "missing" / "out.mp4": "does not exist",
        tmp_path / "file" / "out.mp4": "not a folder",
        tmp_path / "folder.mp4": "is a folder",
        tmp_path / "out.xyz": r"'\.xyz'.*\.mp4",
        tmp_path / "out": "extension",
        tmp_path / "out.avi": r"\.mkv",
    }
    for output, reason in wrong.items():
        for overwrite in (False, True):
            with pytest.raises(OutputNotWritable, match=reason) as caught:
                check_output(output, source=clip, overwrite=overwrite)
            assert caught.value.exit_code == 4
            assert "\n" not in str(caught.value)
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    with pytest.raises(OutputNotWritable, match="regular"):
        check_output(tmp_path / "null.mp4", source=clip, overwrite=True)
    assert names(tmp_path) == ["file", "folder.mp4", "null.mp4", "source"]


@pytest.mark.parametrize(
    ("codec", "name", "remedy"),
    [
        ("h264", "out.webm", "av1"),
        ("ffv1", "out.mp4", r"\.mkv"),
        ("hevc", "out.webm", "--codec av1"),
    ],
)
def test_a_codec_that_the_container_does_not_take_is_refused(
    tmp_path: Path, clip: Path, codec: str, name: str, remedy: str
) -> None:
    with pytest.raises(EncoderUnavailable, match=remedy) as caught:
        check_output(
            tmp_path / name, source=clip, overwrite=False, options=EncodeOptions(codec=codec)
        )
    assert codec in str(caught.value)
    assert name in str(caught.value)


def test_sound_that_the_container_does_not_take_is_refused(tmp_path: Path, clip: Path) -> None:
    av1 = EncodeOptions(codec="av1")
    with pytest.raises(OutputError, match=r"webm.*aac.*--audio none"):
        check_output(tmp_path / "out.webm", source=clip, overwrite=False, options=av1)
    with pytest.raises(OutputError, match="aac"):
        check_output(
            tmp_path / "out.webm",
            source=clip,
            overwrite=False,
            options=EncodeOptions(codec="av1", audio="aac"),
        )
    silent = EncodeOptions(codec="av1", audio="none")
    check_output(tmp_path / "out.webm", source=clip, overwrite=False, options=silent)
    law = make_clip(tmp_path / "law.mov", audio=True, audio_codec="pcm_mulaw")
    with pytest.raises(OutputError, match=r"mp4.*pcm_mulaw.*--audio aac"):
        check_output(tmp_path / "out.mp4", source=law, overwrite=False)
    with pytest.raises(OutputError, match=r"webm.*aac.*\.mkv"):
        check_output(tmp_path / "out.webm", source=clip, overwrite=False, options=av1)
    check_output(tmp_path / "out.mov", source=law, overwrite=False)
    check_output(
        tmp_path / "out.mp4", source=law, overwrite=False, options=EncodeOptions(audio="aac")
    )


FULL_DISK = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from rtstyle.errors import DiskFull
from rtstyle.media import EncodeOptions, VideoWriter
from rtstyle.types import Colour, Frame, Size, VideoInfo

output, limit, frames = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
tick = Fraction(1, 25)
info = VideoInfo(Size(320, 240), tick, Fraction(25), None, None, 0, Fraction(1), Colour(), "x")
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(1)
written = 0
options = EncodeOptions(preset="ultrafast", quality=10)
try:
    with VideoWriter(output, info, options) as writer:
        for index in range(frames):
            pixels = noise.integers(0, 256, (240, 320, 3), dtype=np.uint8)
            writer.write(Frame(pixels, index, tick, 1, index))
            written += 1
        writer.finish()
except DiskFull as error:
    import os
    held = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{n}")]
    assert not any(str(output) in name for name in held), held
    print(written, error)
    raise SystemExit(error.exit_code)
"""


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
@pytest.mark.parametrize(
    ("limit", "frames"), [(16, 3), (2_000_000, 200)], ids=["at the start", "in the middle"]
)
def test_a_full_disk_is_said_and_what_was_written_is_kept(
    tmp_path: Path, name: str, limit: int, frames: int
) -> None:
    output = tmp_path / name
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(output), str(limit), str(frames)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 4, result.stderr
    assert name in result.stdout
    if limit < 100:
        assert names(tmp_path) == []
        return
    assert unfinished(output).name in result.stdout
    assert names(tmp_path) == [f"{name}.*.part"]
    assert int(result.stdout.split()[0]) < frames
    if name.endswith("mkv"):
        # A frame of noise takes some 80 kB: what lies on the disk can be played.
        assert len(read_frames(unfinished(output))) > 15


def test_a_full_disk_at_the_very_end_is_said(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    noise = np.random.default_rng(2).integers(0, 256, (10, 120, 160, 3), dtype=np.uint8)
    clip = make_clip(
        tmp_path / "source" / "in.mp4", size=(160, 120), pictures=list(noise), frames=10
    )
    write(clip, tmp_path / "size.mp4")
    size = (tmp_path / "size.mp4").stat().st_size
    script = f"""
import resource, sys
from pathlib import Path
from tests.faults.test_outputs import write
from rtstyle.errors import DiskFull
resource.setrlimit(resource.RLIMIT_FSIZE, ({size - 20}, {size - 20}))
try:
    write(Path({str(clip)!r}), Path({str(tmp_path / "out.mp4")!r}))
except DiskFull as error:
    raise SystemExit(error.exit_code)
"""
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 4, result.stderr
    assert names(tmp_path) == ["out.mp4.*.part", "size.mp4", "source"]


def test_a_second_run_on_the_same_output_is_refused(tmp_path: Path, clip: Path) -> None:
    output = tmp_path / "out.mp4"
    with open_video(clip) as video, VideoWriter(output, video.info, FAST) as writer:
        for frame in video:
            writer.write(frame)
            if frame.index == 3:
                with pytest.raises(OutputError, match=r"another run.*out\.mp4\.\w+\.part"):
                    write(clip, output, overwrite=True)
        writer.finish()
    assert len(read_frames(output)) == 10


def test_what_a_killed_run_left_is_kept_and_named(tmp_path: Path, clip: Path) -> None:
    left = tmp_path / "out.mp4.0123456789abcdef.part"
    left.write_bytes(b"x" * 10**6)
    with open_video(clip) as video, VideoWriter(tmp_path / "out.mp4", video.info, FAST) as writer:
        for frame in video:
            writer.write(frame)
        report = writer.finish()
    assert f"what an earlier run left unfinished is kept as {left.name}" in report.notes
    assert left.read_bytes() == b"x" * 10**6
    assert len(read_frames(tmp_path / "out.mp4")) == 10


@pytest.mark.parametrize("how", ["file", "link", "hard link", "dangling", "folder", "pipe"])
def test_what_others_call_part_is_left_as_it_is(tmp_path: Path, clip: Path, how: str) -> None:
    victim, part = tmp_path / "victim", tmp_path / "out.mp4.part"
    victim.write_bytes(b"precious")
    if how == "file":
        part.write_bytes(b"precious")
    elif how == "link":
        part.symlink_to(victim)
    elif how == "hard link":
        part.hardlink_to(victim)
    elif how == "dangling":
        part.symlink_to(tmp_path / "nowhere")
    elif how == "folder":
        part.mkdir()
    else:
        os.mkfifo(part)
    before = os.lstat(part)
    write(clip, tmp_path / "out.mp4")
    assert victim.read_bytes() == b"precious"
    after = os.lstat(part)
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert not (tmp_path / "nowhere").exists()
    assert len(read_frames(tmp_path / "out.mp4")) == 10


def test_a_link_that_appears_in_place_of_the_unfinished_file_is_not_written_through(
    tmp_path: Path, clip: Path
) -> None:
    output, victim = tmp_path / "out.mp4", tmp_path / "victim"
    victim.write_bytes(b"precious")
    with pytest.raises(OutputError):
        PartFile(output, overwrite=False, path=victim)
    part = PartFile(output, overwrite=False)
    part.path.unlink()
    part.path.symlink_to(victim)
    part.url.write_bytes(b"film")
    part.remove()
    assert victim.read_bytes() == b"precious"
    assert part.path.is_symlink()


def test_a_result_that_is_not_whole_gets_no_name(tmp_path: Path, clip: Path) -> None:
    write(clip, tmp_path / "good.mp4")
    seconds = Fraction(9, 25)
    for frames, last in ((11, seconds), (10, seconds * 2)):
        part = PartFile(tmp_path / "out.mp4", overwrite=False)
        part.path.write_bytes((tmp_path / "good.mp4").read_bytes())
        with pytest.raises(OutputError, match=r"out\.mp4.*kept as out\.mp4\.\w+\.part"):
            check_written(part, name="out.mp4", frames=frames, first=Fraction(0), last=last)
        assert part.path.exists()
    part = PartFile(tmp_path / "out.mp4", overwrite=False)
    part.path.write_bytes((tmp_path / "good.mp4").read_bytes()[:1000])
    with pytest.raises(OutputError, match="read back"):
        check_written(part, name="out.mp4", frames=10, first=Fraction(0), last=seconds)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("fail_at", [0, 5, 9])
def test_a_broken_run_leaves_nothing(tmp_path: Path, clip: Path, fail_at: int) -> None:
    with pytest.raises(RuntimeError, match="net broke"):
        write(clip, tmp_path / "out.mp4", fail_at=fail_at)
    assert names(tmp_path) == ["source"]


def test_an_output_that_is_a_link_is_written_where_it_points(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real.mp4").write_bytes(b"old")
    (tmp_path / "out.mp4").symlink_to(tmp_path / "far" / "real.mp4")
    write(clip, tmp_path / "out.mp4", overwrite=True)
    assert (tmp_path / "out.mp4").is_symlink()
    assert len(read_frames(tmp_path / "far" / "real.mp4")) == 10


@pytest.mark.parametrize(
    "name", ["with space.mp4", "line\nbreak.mp4", "ü 視.mp4", "-x.mp4", "%03d.mp4"]
)
def test_output_names_are_taken_literally(
    tmp_path: Path, clip: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write(clip, Path(name))
    assert names(folder) == [name]
    assert len(read_frames(folder / name)) == 10


def test_pictures_keep_to_the_same_rules(tmp_path: Path) -> None:
    pixels = moving_picture((16, 16), 0)
    output = tmp_path / "a.png"
    output.write_bytes(b"precious")
    with pytest.raises(OutputExists):
        write_image(output, pixels)
    assert output.read_bytes() == b"precious"
    for wrong in (tmp_path / "a.xyz", tmp_path / "a", tmp_path / "missing" / "a.png"):
        with pytest.raises(OutputNotWritable):
            write_image(wrong, pixels)
    write_image(output, pixels, overwrite=True)
    assert names(tmp_path) == ["a.png"]
