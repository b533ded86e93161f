"""Runs that were killed, gone on with: the film is the same as if nothing had happened."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import DiskFull, OutputError, OutputExists, OutputNotWritable
from rtstyle.media import PartFile, film
from rtstyle.pipeline import Progress, segments, stylize_video
from rtstyle.types import RunReport
from tests.clips import audio_packets, make_clip, read_frames, subtitle_packets, video_pts
from tests.helpers import names, work_file

ROOT = Path(__file__).resolve().parents[2]
FRAMES, SEGMENT = 100, 8

RUN = """
import sys
from rtstyle.backends import FakeStylizer
from rtstyle.pipeline import stylize_video

source, output, resume = sys.argv[1:]
with FakeStylizer(invert=True, delay=0.002) as stylizer:
    stylize_video(
        source, output, None, stylizer=stylizer, preset="ultrafast", resume=resume == "resume",
        segment_frames=8, progress=lambda now: print(now.frames_done, flush=True),
    )
print("end", flush=True)
"""


class Killed(BaseException):
    """Ends a run in this process as no handler expects."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With pictures out of order, varying lengths and two tracks of sound."""
    times = [40 * n + 5 * (n % 3) for n in range(FRAMES)]
    return make_clip(
        tmp_path_factory.mktemp("source") / "in.mkv",
        frames=FRAMES,
        pts=times,
        time_base=Fraction(1, 1000),
        audio=True,
        audio_tracks=2,
        options={"preset": "medium", "bf": "3", "g": "20"},
    )


@pytest.fixture(scope="module")
def unbroken(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes out of a run that nothing disturbs."""
    output = tmp_path_factory.mktemp("unbroken") / "out.mp4"
    report = convert(clip, output)
    assert report.frames_out == FRAMES
    return output


def convert(source: Path, output: Path, **options: Any) -> RunReport:  # noqa: ANN401
    options = {"segment_frames": SEGMENT, "preset": "ultrafast", **options}
    with FakeStylizer(invert=True) as stylizer:
        return stylize_video(source, output, None, stylizer=stylizer, **options)


def pictures(path: Path) -> list[tuple[Fraction, str]]:
    """Time and hash of each packet of pictures, as stored."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, hashlib.sha256(bytes(packet)).hexdigest())
            for packet in container.demux(container.streams.video[0])
            if packet.pts is not None
        ]


def assert_the_same(output: Path, unbroken: Path, clip: Path) -> None:
    assert video_pts(output) == video_pts(unbroken) == video_pts(clip)
    assert pictures(output) == pictures(unbroken)
    assert audio_packets(output) == audio_packets(unbroken)
    assert names(output.parent) == [output.name]


def kill_at(clip: Path, output: Path, frames: int, *, resume: bool = False, wait: float) -> None:
    """Run in a process of its own and kill it ``wait`` seconds after so many frames are done."""
    line = [sys.executable, "-c", RUN, str(clip), str(output), "resume" if resume else "begin"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        for told in child.stdout:
            if told.strip() == "end" or int(told) >= frames:
                break
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)


def test_twenty_runs_killed_anywhere_are_gone_on_with(
    tmp_path: Path, clip: Path, unbroken: Path
) -> None:
    chance = random.Random(20)
    broken = 0
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        output = folder / "out.mp4"
        # Behind the last frame the film is put together and checked.
        frames = chance.choice([0, FRAMES, *(chance.randint(1, FRAMES - 1) for _ in range(6))])
        kill_at(clip, output, frames, wait=chance.uniform(0, 0.03))
        if output.exists():
            # Quicker than the signal.
            continue
        broken += 1
        if chance.random() < 0.3:
            kill_at(clip, output, chance.randint(1, FRAMES), resume=True, wait=0.0)
        if not output.exists():
            report = convert(clip, output, resume=True)
            assert report.frames_in == report.frames_out == FRAMES
            assert not report.finished_with_loss
        assert_the_same(output, unbroken, clip)
    assert broken >= 15


def stopped(at: int) -> Callable[[Progress], None]:
    def progress(now: Progress) -> None:
        if now.frames_done >= at:
            raise Killed

    return progress


@pytest.fixture
def begun(tmp_path: Path, clip: Path) -> Path:
    """An output of which four segments are done, and a part of the fifth."""
    output = tmp_path / "out.mp4"
    with pytest.raises(Killed):
        convert(clip, output, progress=stopped(4 * SEGMENT + 3))
    assert names(tmp_path) == ["out.mp4.parts"]
    return output


def test_only_what_is_missing_is_painted(begun: Path, clip: Path, unbroken: Path) -> None:
    done: list[int] = []
    report = convert(clip, begun, resume=True, progress=lambda now: done.append(now.frames_done))
    assert done == list(range(4 * SEGMENT, FRAMES + 1))
    assert report.frames_in == report.frames_out == FRAMES
    assert any(f"{4 * SEGMENT} frames of an earlier run" in note for note in report.notes)
    assert_the_same(begun, unbroken, clip)


def test_the_work_of_an_earlier_run_is_not_thrown_away(
    begun: Path, clip: Path, unbroken: Path
) -> None:
    with pytest.raises(OutputExists, match=rf"{4 * SEGMENT} frames.*--resume.*--overwrite"):
        convert(clip, begun)
    assert names(begun.parent) == ["out.mp4.parts"]
    convert(clip, begun, overwrite=True)
    assert_the_same(begun, unbroken, clip)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quality": 30}, "quality.*none then, 30 now"),
        ({"codec": "hevc"}, "codec.*h264 then, hevc now"),
        ({"strength": 0.5}, "strength.*1.0 then, 0.5 now"),
        ({"end": 2}, "end.*none then, 2 now"),
        ({"segment_frames": 10}, "length of segments.*8 then, 10 now"),
    ],
)
def test_another_setting_is_refused_by_name(
    begun: Path, clip: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(OutputError, match=rf"cannot resume.*{told}.*--overwrite") as caught:
        convert(clip, begun, resume=True, **change)
    assert caught.value.exit_code == 4
    assert len(list((begun.parent / "out.mp4.parts").glob("*.mkv"))) >= 4


def test_a_changed_input_is_refused_by_name(begun: Path, clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mkv"
    shutil.copyfile(clip, other)
    with pytest.raises(OutputError, match="cannot resume, since the time of the input"):
        convert(other, begun, resume=True)
    with other.open("ab") as file:
        file.write(b"more")
    shutil.copystat(clip, other)
    with pytest.raises(OutputError, match="cannot resume, since the size of the input"):
        convert(other, begun, resume=True)


def test_sound_may_be_chosen_anew(begun: Path, clip: Path, unbroken: Path) -> None:
    convert(clip, begun, resume=True, audio="none")
    assert pictures(begun) == pictures(unbroken)
    assert audio_packets(begun) == []


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 0x55
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a segment is gone": lambda parts: work_file(parts, "000001", ".mkv").unlink(),
    "a segment is cut": lambda parts: truncate(work_file(parts, "000002", ".mkv")),
    "a bit is wrong": lambda parts: flip(work_file(parts, "000000", ".mkv")),
    "the last one is empty": lambda parts: work_file(parts, "000003", ".mkv").write_bytes(b""),
    "facts are gone": lambda parts: work_file(parts, "000002", ".json").unlink(),
    "facts are cut": lambda parts: truncate(work_file(parts, "000001", ".json")),
    "facts are others": lambda parts: work_file(parts, "000001", ".json").write_text("[]"),
    "the first facts are gone": lambda parts: work_file(parts, "000000", ".json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_segments_are_made_anew(
    begun: Path, clip: Path, unbroken: Path, damage: str
) -> None:
    DAMAGE[damage](begun.with_name("out.mp4.parts"))
    report = convert(clip, begun, resume=True)
    if not damage.startswith(("facts", "the first")):
        assert any("made again" in note for note in report.notes)
    assert_the_same(begun, unbroken, clip)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"format": 99, "asked": {}}'])
@pytest.mark.parametrize("flags", [{"resume": True}, {"overwrite": True}, {}])
def test_a_folder_that_is_not_known_for_ours_is_left_as_it_is(
    begun: Path, clip: Path, content: bytes, flags: dict[str, bool]
) -> None:
    parts = begun.with_name("out.mp4.parts")
    (parts / "journal.json").write_bytes(content)
    before = {path.name: path.read_bytes() for path in parts.iterdir()}
    with pytest.raises(OutputNotWritable, match=r"not known for this program's.*move it away"):
        convert(clip, begun, **flags)
    assert {path.name: path.read_bytes() for path in parts.iterdir()} == before
    assert not begun.exists()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"sha256": "", "record": {}}'])
def test_without_what_was_asked_a_run_is_not_resumed_and_keeps_its_frames(
    begun: Path, clip: Path, unbroken: Path, content: str
) -> None:
    parts = begun.with_name("out.mp4.parts")
    work_file(parts, "asked", ".json").write_text(content)
    with pytest.raises(OutputError, match=r"journal of the earlier run is damaged.*--overwrite"):
        convert(clip, begun, resume=True)
    assert len(list(parts.glob("0*.mkv"))) >= 4
    convert(clip, begun, overwrite=True)
    assert_the_same(begun, unbroken, clip)


def test_nothing_to_resume_is_a_run_from_the_start(
    tmp_path: Path, clip: Path, unbroken: Path
) -> None:
    output = tmp_path / "out.mp4"
    convert(clip, output, resume=True)
    assert_the_same(output, unbroken, clip)


def test_a_run_that_was_killed_at_its_very_end_only_puts_together(
    tmp_path: Path, clip: Path, unbroken: Path
) -> None:
    output = tmp_path / "out.mp4"
    kill_at(clip, output, FRAMES, wait=0)
    if output.exists():
        pytest.skip("it was quicker than the signal")
    calls = count()
    convert(clip, output, resume=True, progress=lambda now: next(calls))
    assert_the_same(output, unbroken, clip)


def test_files_of_others_in_the_folder_are_left_alone(
    begun: Path, clip: Path, unbroken: Path
) -> None:
    parts = begun.with_name("out.mp4.parts")
    (parts / "notes.txt").write_text("mine")
    convert(clip, begun, resume=True)
    assert names(parts) == ["notes.txt"]
    assert pictures(begun) == pictures(unbroken)


def test_a_run_going_on_holds_the_output(begun: Path, clip: Path) -> None:
    def again(now: Progress) -> None:
        if now.frames_done == 50:
            with pytest.raises(OutputError, match="another run is writing it"):
                convert(clip, begun, resume=True)

    convert(clip, begun, resume=True, progress=again)
    assert video_pts(begun) == video_pts(clip)


def test_an_error_on_the_way_says_how_to_go_on(
    tmp_path: Path, clip: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"

    def full(now: Progress) -> None:
        if now.frames_done == 21:
            raise DiskFull("out.mp4: no room left; free some space")

    with pytest.raises(DiskFull, match=r"no room left.*16 frames are kept.*--resume"):
        convert(clip, output, progress=full)
    convert(clip, output, resume=True)
    assert_the_same(output, unbroken, clip)


@pytest.mark.parametrize(
    ("codec", "name"), [("hevc", "out.mp4"), ("av1", "out.mkv"), ("ffv1", "out.mkv")]
)
def test_every_codec_goes_on_to_the_same_film(
    tmp_path: Path, clip: Path, codec: str, name: str
) -> None:
    (tmp_path / "whole").mkdir()
    preset = {"hevc": "ultrafast", "av1": "12"}.get(codec)
    options = {"codec": codec, "preset": preset, "segment_frames": 40}
    whole, output = tmp_path / "whole" / name, tmp_path / name
    convert(clip, whole, **options)
    with pytest.raises(Killed):
        convert(clip, output, progress=stopped(55), **options)
    convert(clip, output, resume=True, **options)
    assert pictures(output) == pictures(whole)
    # Matroska counts milliseconds, and so does the source.
    assert video_pts(output) == video_pts(clip)


def test_what_the_journal_says_is_enough_for_another_machine(begun: Path, clip: Path) -> None:
    """A segment stands by itself: where it begins in the source, how long it is, what it holds."""
    parts = begun.with_name("out.mp4.parts")
    second = json.loads(work_file(parts, "000001", ".json").read_text())["record"]
    assert second["after"]["frames"] == SEGMENT
    assert second["next"]["frames"] == 2 * SEGMENT
    assert len(second["facts"]["pts"]) == SEGMENT
    assert sorted(second["facts"]["pts"]) == [
        int(pts * 1000) for pts in video_pts(clip)[SEGMENT : 2 * SEGMENT]
    ]


def test_a_subtitle_and_a_range_survive(tmp_path: Path, clip: Path) -> None:
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    span = {"start": Fraction(1, 2), "end": Fraction(7, 2)}
    convert(clip, whole, **span)
    with pytest.raises(Killed):
        convert(clip, output, progress=stopped(40), **span)
    convert(clip, output, resume=True, **span)
    assert pictures(output) == pictures(whole)
    assert audio_packets(output) == audio_packets(whole)
    assert subtitle_packets(output) == subtitle_packets(whole)


JOIN = """
import os, signal, sys
from rtstyle.backends import FakeStylizer
from rtstyle.pipeline import segments, stylize_video

source, output, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
move = segments.Mover.__call__

def and_die(self):
    global calls
    move(self)
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)

segments.Mover.__call__ = and_die
with FakeStylizer(invert=True) as stylizer:
    stylize_video(
        source, output, None, stylizer=stylizer, preset="ultrafast", resume=True, segment_frames=8
    )
"""


def die_while_joining(clip: Path, output: Path, calls: int) -> None:
    line = [sys.executable, "-c", JOIN, str(clip), str(output), str(calls)]
    done = subprocess.run(line, cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of noise: large enough to leave the muxers' memory soon."""
    noise = np.random.default_rng(5).integers(0, 256, (FRAMES, 96, 128, 3), dtype=np.uint8)
    return make_clip(
        tmp_path_factory.mktemp("noise") / "in.mkv",
        size=(128, 96),
        frames=FRAMES,
        pictures=list(noise),
        audio=True,
        options={"preset": "medium", "bf": "3", "g": "20"},
    )


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
@pytest.mark.parametrize("calls", [7, 13])
def test_a_run_killed_while_its_film_is_put_together(
    tmp_path: Path, long_clip: Path, name: str, calls: int
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, output = tmp_path / "whole" / name, tmp_path / "killed" / name
    convert(long_clip, whole)
    die_while_joining(long_clip, output, calls)
    parts = output.with_name(f"{name}.parts")
    if name != "out.mkv":
        # Matroska is written in clusters of some seconds.
        assert len(list(parts.glob("*.mkv"))) < len(list(parts.glob("0*.json")))
    painted: list[int] = []
    report = convert(
        long_clip, output, resume=True, progress=lambda now: painted.append(now.frames_done)
    )
    assert painted == [FRAMES]
    assert not any("made again" in note for note in report.notes)
    assert_the_same(output, whole, long_clip)
    assert output.read_bytes() == whole.read_bytes()


PLACE = """
import os, signal, sys
from rtstyle.backends import FakeStylizer
from rtstyle.media import PartFile
from rtstyle.pipeline import stylize_video
from rtstyle.pipeline.journal import Journal

source, output, when = sys.argv[1:]
place, remove = PartFile.place, Journal.remove

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def place_and_die(self):
    place(self)
    die()

if when == "before":
    PartFile.place = die
elif when == "after":
    PartFile.place = place_and_die
else:
    Journal.remove = die
with FakeStylizer(invert=True) as stylizer:
    stylize_video(source, output, None, stylizer=stylizer, preset="ultrafast", segment_frames=8)
"""


@pytest.mark.parametrize("when", ["before", "after", "tidying"])
def test_a_run_killed_around_its_film_getting_its_name(
    tmp_path: Path, clip: Path, unbroken: Path, when: str
) -> None:
    output = tmp_path / "out.mp4"
    line = [sys.executable, "-c", PLACE, str(clip), str(output), when]
    done = subprocess.run(line, cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert output.exists() == (when != "before")
    assert (tmp_path / "out.mp4.parts").is_dir()
    if output.exists():
        with pytest.raises(OutputExists):
            convert(clip, output)
        with pytest.raises(OutputExists):
            convert(clip, output, resume=True, audio="none")
    report = convert(clip, output, resume=True)
    assert report.frames_in == report.frames_out == FRAMES
    assert any("finished by an earlier run" in note for note in report.notes) == (when != "before")
    assert output.read_bytes() == unbroken.read_bytes()
    assert_the_same(output, unbroken, clip)


def test_a_film_of_others_under_the_name_is_not_taken_for_ours(
    begun: Path, clip: Path, unbroken: Path
) -> None:
    shutil.copyfile(unbroken, begun)
    with pytest.raises(OutputExists):
        convert(clip, begun, resume=True)
    assert (begun.parent / "out.mp4.parts").is_dir()


def test_what_was_moved_and_lost_is_made_anew(tmp_path: Path, long_clip: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, output = tmp_path / "whole" / "out.mp4", tmp_path / "killed" / "out.mp4"
    convert(long_clip, whole)
    die_while_joining(long_clip, output, 13)
    work_file(output.with_name("out.mp4.parts"), "film", ".mp4").unlink()
    report = convert(long_clip, output, resume=True)
    assert any("made again" in note for note in report.notes)
    assert_the_same(output, whole, long_clip)


def test_a_film_never_lies_on_the_disk_twice(
    tmp_path: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use: list[int] = []
    move = segments.Mover.__call__

    def weighed(self: segments.Mover) -> None:
        in_use.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))
        move(self)

    monkeypatch.setattr(segments.Mover, "__call__", weighed)
    output = tmp_path / "out.mp4"
    convert(long_clip, output)
    size = output.stat().st_size
    assert len(in_use) == -(-FRAMES // SEGMENT)
    # Twice on the disk: the first segment, the last two, and the second that a muxer holds back.
    twice = 3 * SEGMENT + 30
    assert max(in_use) < size * (1 + twice / FRAMES)


def test_an_index_that_needs_more_room_is_written_all_the_same(
    tmp_path: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "tight").mkdir()
    whole, output = tmp_path / "whole" / "out.mp4", tmp_path / "tight" / "out.mp4"
    convert(long_clip, whole)
    monkeypatch.setattr(film, "_INDEX_ROOM", 64)
    monkeypatch.setattr(film, "_INDEX_ENTRY", 1)
    convert(long_clip, output)
    assert_the_same(output, whole, long_clip)
    assert whole.read_bytes().index(b"moov") < whole.read_bytes().index(b"mdat")


def test_a_film_whose_finish_fails_is_kept_and_gone_on_with(
    tmp_path: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "failed").mkdir()
    whole, output = tmp_path / "whole" / "out.mp4", tmp_path / "failed" / "out.mp4"
    convert(long_clip, whole)

    def full(self: PartFile) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "place", full)
        with pytest.raises(DiskFull, match=rf"{FRAMES} frames are kept.*--resume"):
            convert(long_clip, output)
    assert not output.exists()
    report = convert(long_clip, output, resume=True)
    assert not any("made again" in note for note in report.notes)
    assert_the_same(output, whole, long_clip)


FULL = """
import resource, sys
from rtstyle.backends import FakeStylizer
from rtstyle.errors import DiskFull
from rtstyle.pipeline import stylize_video

source, output, limit, every = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with FakeStylizer(invert=True) as stylizer:
        stylize_video(
            source, output, None, stylizer=stylizer, preset="ultrafast", segment_frames=every
        )
except DiskFull as error:
    print(error)
    raise SystemExit(error.exit_code)
"""


@pytest.mark.parametrize(
    ("limit", "every", "kept"),
    [(400_000, FRAMES, 0), (400_000, SEGMENT, FRAMES)],
    ids=["in a segment", "in the film"],
)
def test_a_full_disk_costs_no_work(
    tmp_path: Path, long_clip: Path, limit: int, every: int, kept: int
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "full").mkdir()
    whole, output = tmp_path / "whole" / "out.mp4", tmp_path / "full" / "out.mp4"
    convert(long_clip, whole, segment_frames=every)
    line = [sys.executable, "-c", FULL, str(long_clip), str(output), str(limit), str(every)]
    done = subprocess.run(line, cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert "no room left" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert (f"{kept} frames are kept" in done.stdout) == bool(kept)
    parts = output.with_name("out.mp4.parts")
    assert not output.exists()
    assert parts.is_dir()
    if not kept:
        # Encoded frames of noise are some ten kilobytes each.
        assert len(read_frames(work_file(parts, "000000", ".mkv"))) > 20
    report = convert(long_clip, output, resume=True, segment_frames=every)
    assert not any("made again" in note for note in report.notes)
    assert_the_same(output, whole, long_clip)
