"""What of one file is in another, where one of them is numbered pictures: they and their times."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from rtstyle.media.file import open_video
from rtstyle.media.films import Film
from rtstyle.media.lockstep import Match, Moment, match_pictures
from rtstyle.media.moving import MovingPicture, is_moving_webp
from rtstyle.media.sequence import SequenceFile, is_sequence
from rtstyle.media.stretch import WHOLE, Stretch
from rtstyle.types import Check, Limits, VideoInfo

_FINEST = Fraction(1, 1_000_000)
_COUNTED_IN_FRAMES = Fraction(1, 1000)
"""Seconds; a longer tick is a frame of even times, which are exact."""


class _Pictures:
    """Numbered pictures, each of which is decoded."""

    def __init__(self, source: SequenceFile | MovingPicture) -> None:
        self._source = source
        tick = source.info.time_base
        self.tick = tick if tick <= _COUNTED_IN_FRAMES else _FINEST

    @property
    def failures(self) -> int:
        return self._source.health.decode_failures

    def moments(self) -> Generator[Moment, None, None]:
        for frame in self._source:
            yield Moment(frame.seconds, (frame.duration or 0) * frame.time_base or None)


def compare_pictures(
    input: Path,
    output: Path,
    *,
    stretch: Stretch = WHOLE,
    limits: Limits,
    progress: Callable[[int], None] | None = None,
) -> list[Check]:
    """Compare number and times of the pictures and their size; sound and the rest have no place in
    a folder of pictures.

    ``stretch``: the range of the input that the output holds. Raises InputError where either cannot
    be read.
    """
    with ExitStack() as stack:
        mine, before = _opened(input, stretch, limits, stack)
        theirs, after = _opened(output, WHOLE, limits, stack)
        match = match_pictures(mine, theirs, progress=progress)
        failures = mine.failures, theirs.failures
    checks = [*_check_times(match, failures, stretch), _check_size(before, after)]
    others = sorted({stream.kind for stream in before.streams} - {"video"})
    if others:
        left = f"pictures hold no {', no '.join(others)}; a video file keeps them"
        checks.append(Check("streams", False, left, required=False))
    return checks


def _opened(
    path: Path, stretch: Stretch, limits: Limits, stack: ExitStack
) -> tuple[_Pictures | Film, VideoInfo]:
    if is_sequence(path):
        source = stack.enter_context(
            SequenceFile(path, start=stretch.begin, end=stretch.end, limits=limits)
        )
        return _Pictures(source), source.info
    if is_moving_webp(path):
        moving = stack.enter_context(
            MovingPicture(path, start=stretch.begin, end=stretch.end, limits=limits)
        )
        return _Pictures(moving), moving.info
    with open_video(path, limits=limits, hdr="keep") as video:
        info = video.info
    return stack.enter_context(Film(path, limits, stretch)), info


def _check_times(match: Match, failures: tuple[int, int], stretch: Stretch) -> Iterator[Check]:
    frames = f"{match.input_frames} in both"
    if match.input_frames != match.output_frames:
        frames = f"{match.input_frames} in the input, {match.output_frames} in the output"
    for what, first in (("missing", match.first_missing), ("added", match.first_added)):
        if first is not None:
            frames += f"; first {what}: frame {first[0]} at {float(first[1]):.3f} s"
    for which, count in zip(("input", "output"), failures, strict=True):
        if count:
            frames += f"; {count} of the {which} cannot be decoded"
    yield Check("frames", not match.missing and not match.added and not failures[1], frames)
    times = f"largest difference {_ms(match.largest)}, one tick is {_ms(match.tick)}"
    yield Check("times", match.largest <= match.tick, times)
    start = f"first picture at {float(match.first_output):.3f} s"
    if match.shift:
        start += f", in the input at {float(match.first_input):.3f} s"
    yield Check("start", not match.shift or not stretch.whole, start)
    yield Check(
        "duration",
        abs(match.output_span - match.input_span) <= max(match.tick, match.last_frame),
        f"{float(match.input_span):.3f} s of pictures in the input, "
        f"{float(match.output_span):.3f} s in the output",
    )


def _check_size(before: VideoInfo, after: VideoInfo) -> Check:
    same = before.size == after.size
    return Check("size", same, f"{before.size}" if same else f"{before.size} to {after.size}")


def _ms(seconds: Fraction) -> str:
    return f"{float(1000 * seconds):.2f} ms"
