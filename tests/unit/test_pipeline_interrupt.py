"""Ctrl-C during a conversion: what was done is kept under a name of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import Interrupted
from rtstyle.pipeline import Progress, stylize_video
from tests.clips import audio_packets, make_clip, read_frames, video_pts

FRAMES, DONE = 50, 20
PACKET = Fraction(1024, 48000)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=FRAMES, audio=True, audio_tracks=2)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def signals(at: int, *numbers: signal.Signals) -> Callable[[Progress], None]:
    """A progress callback that sends signals to this process once ``at`` frames are done."""

    def progress(now: Progress) -> None:
        if now.frames_done == at:
            for number in numbers:
                signal.raise_signal(number)

    return progress


def interrupted(
    source: Path,
    output: Path,
    *,
    at: int = DONE,
    **options: Any,  # noqa: ANN401 - whatever stylize_video takes
) -> Interrupted:
    with FakeStylizer() as stylizer, pytest.raises(Interrupted) as caught:
        stylize_video(
            source,
            output,
            None,
            stylizer=stylizer,
            progress=signals(at, signal.SIGINT),
            **options,
        )
    return caught.value


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
@pytest.mark.parametrize("audio", ["copy", "aac"])
def test_pictures_and_sound_end_together(clip: Path, tmp_path: Path, name: str, audio: str) -> None:
    error = interrupted(clip, tmp_path / name, audio=audio)
    kept = tmp_path / name.replace("out", "out.partial")
    assert names(tmp_path) == sorted(["in.mp4", kept.name])
    assert (error.kept, error.frames) == (str(kept), DONE)
    assert str(error) == (
        f"interrupted after {DONE} of {FRAMES} frames; what was done is kept as {kept.name}"
    )
    tick = Fraction(1, 1000) if name.endswith("mkv") else Fraction(0)
    times = video_pts(kept)
    moved = times[0]
    assert len(times) == DONE
    for got, wanted in zip(times, video_pts(clip)[:DONE], strict=True):
        assert abs(got - moved - wanted) <= tick
    end = moved + Fraction(DONE, 25)
    tracks = audio_packets(kept)
    assert len(tracks) == 2
    for old, new in zip(audio_packets(clip), tracks, strict=True):
        if audio == "copy":
            assert [digest for digest, _ in new] == [digest for digest, _ in old][: len(new)]
        assert end - PACKET - tick <= new[-1][1] + PACKET <= end + PACKET + tick


def test_a_range_is_kept_from_its_start(clip: Path, tmp_path: Path) -> None:
    interrupted(clip, tmp_path / "out.mp4", at=5, start=1, audio="aac")
    kept = tmp_path / "out.partial.mp4"
    assert video_pts(kept) == [Fraction(index, 25) for index in range(5)]
    assert Fraction(5, 25) - PACKET <= audio_packets(kept)[0][-1][1] + PACKET
    assert audio_packets(kept)[0][-1][1] < Fraction(5, 25)


def test_the_second_interrupt_keeps_nothing(clip: Path, tmp_path: Path) -> None:
    progress = signals(DONE, signal.SIGINT, signal.SIGINT)
    with FakeStylizer() as stylizer, pytest.raises(KeyboardInterrupt) as caught:
        stylize_video(clip, tmp_path / "out.mp4", None, stylizer=stylizer, progress=progress)
    assert not isinstance(caught.value, Interrupted)
    assert names(tmp_path) == ["in.mp4"]


@pytest.mark.parametrize(("at", "keep"), [(0, True), (DONE, False)])
def test_where_nothing_is_kept_nothing_is_promised(
    clip: Path, tmp_path: Path, at: int, keep: bool
) -> None:
    progress = signals(at, signal.SIGINT)
    with FakeStylizer() as stylizer, pytest.raises(KeyboardInterrupt) as caught:
        stylize_video(
            clip,
            tmp_path / "out.mp4",
            None,
            stylizer=stylizer,
            progress=progress,
            keep_partial=keep,
        )
    assert not isinstance(caught.value, Interrupted)
    assert names(tmp_path) == ["in.mp4"]


def test_earlier_partial_files_are_never_replaced(clip: Path, tmp_path: Path) -> None:
    older, output = tmp_path / "out.partial.mp4", tmp_path / "out.mp4"
    older.write_bytes(b"older")
    assert interrupted(clip, output).kept == str(tmp_path / "out.partial-2.mp4")
    assert interrupted(clip, output).kept == str(tmp_path / "out.partial-3.mp4")
    assert older.read_bytes() == b"older"
    output.write_bytes(b"finished")
    fourth = tmp_path / "out.partial-4.mp4"
    assert interrupted(clip, output, overwrite=True).kept == str(fourth)
    assert len(read_frames(fourth)) == DONE
    assert older.read_bytes() == b"older"
    assert output.read_bytes() == b"finished"


def test_the_source_is_never_replaced_by_what_is_kept(clip: Path, tmp_path: Path) -> None:
    source = clip.rename(tmp_path / "out.partial.mp4")
    before = source.read_bytes()
    error = interrupted(source, tmp_path / "out.mp4", overwrite=True)
    assert error.kept == str(tmp_path / "out.partial-2.mp4")
    assert source.read_bytes() == before


def test_handlers_are_put_back_and_others_left_alone(clip: Path, tmp_path: Path) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    terminate = signal.getsignal(signal.SIGTERM)
    interrupted(clip, tmp_path / "one.mp4")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is terminate

    class OwnError(Exception):
        pass

    def own(number: int, frame: FrameType | None) -> None:
        raise OwnError

    signal.signal(signal.SIGINT, own)
    try:
        with FakeStylizer() as stylizer, pytest.raises(OwnError):
            stylize_video(
                clip,
                tmp_path / "two.mp4",
                None,
                stylizer=stylizer,
                progress=signals(DONE, signal.SIGINT),
            )
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert names(tmp_path) == ["in.mp4", "one.partial.mp4"]


def test_a_conversion_may_run_in_any_thread(clip: Path, tmp_path: Path) -> None:
    def work() -> None:
        with FakeStylizer() as stylizer:
            stylize_video(clip, tmp_path / "out.mp4", None, stylizer=stylizer)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(read_frames(tmp_path / "out.mp4")) == FRAMES
