"""The pictures of two files side by side: decoded, never converted, a handful in memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from rtstyle.media.decode import Decoder, placed
from rtstyle.media.streams import end_pts, open_container, pick_video, shown
from rtstyle.media.timeline import Timeline
from rtstyle.types import Limits


@dataclass(frozen=True, slots=True)
class Moment:
    """When a picture is shown, in seconds of the file's own clock."""

    seconds: Fraction
    duration: Fraction | None


class Film:
    """The times of a file's pictures, in order: those that decode, as a conversion sees them."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Raises NotAVideo and NoVideoStream."""
        self._container = open_container(path, max_pixels=limits.max_pixels)
        try:
            stream = pick_video(self._container, shown(path))
            stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
            self._decoder = Decoder(
                self._container, stream, name=shown(path), max_failures=limits.max_decode_failures
            )
            self.tick = stream.time_base or Fraction(1, 1000)
            self._timeline = Timeline(
                self.tick,
                stream.average_rate or stream.guessed_rate,
                ends=end_pts(self._container, stream, stream.start_time),
            )
        except BaseException:
            self._container.close()
            raise

    @property
    def failures(self) -> int:
        """Packets that could not be decoded so far."""
        return self._decoder.failures

    @property
    def repaired(self) -> int:
        """Times that were missing or ran backwards so far."""
        return self._timeline.repaired

    def moments(self) -> Generator[Moment, None, None]:
        """Raises CorruptInput after more failures in a row than the limits allow."""
        with closing(self._decoder.pictures()) as pictures:
            for picture, pts in placed(self._decoder, pictures, self._timeline):
                length = picture.duration * self.tick if picture.duration else None
                yield Moment(pts * self.tick, length)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()


@dataclass(slots=True)
class Match:
    """What came of laying the pictures of two files side by side."""

    tick: Fraction
    """Seconds; the coarser of the two files'."""
    first_input: Fraction = Fraction(0)
    first_output: Fraction = Fraction(0)
    input_frames: int = 0
    output_frames: int = 0
    missing: int = 0
    """Pictures of the input that have no counterpart."""
    first_missing: tuple[int, Fraction] | None = None
    """Its number, from 0, and its time."""
    added: int = 0
    """Pictures of the output that have no counterpart."""
    first_added: tuple[int, Fraction] | None = None
    largest: Fraction = Fraction(0)
    """Seconds between the times of a pair, at most; a shift of the whole file taken off."""
    largest_at: tuple[int, Fraction] | None = None
    input_span: Fraction = Fraction(0)
    """Seconds from the first picture to the end of the last."""
    output_span: Fraction = Fraction(0)
    last_frame: Fraction = Fraction(0)
    """How long the input's last picture is shown."""

    @property
    def shift(self) -> Fraction:
        """Seconds by which the output as a whole is later; differences of a tick are none."""
        shift = self.first_output - self.first_input
        return shift if abs(shift) > self.tick else Fraction(0)


class _Reader:
    """Moments with a look at the next one."""

    def __init__(self, moments: Iterator[Moment]) -> None:
        self._moments = moments
        self.count = 0
        self.first = self.current = next(moments, None)
        self.following = next(moments, None)
        self.last: Moment | None = None
        self._step: Fraction | None = None

    def advance(self) -> None:
        if self.current is not None and self.following is not None:
            self._step = self.following.seconds - self.current.seconds
        self.last, self.current = self.current, self.following
        self.following = next(self._moments, None) if self.current is not None else None
        self.count += 1

    @property
    def last_length(self) -> Fraction:
        """How long the last picture is shown; as long as the one before it where that is unsaid."""
        stated = None if self.last is None else self.last.duration
        return stated or self._step or Fraction(0)


def match_pictures(input: Film, output: Film) -> Match:
    """Lay the pictures of two files side by side, by their times.

    A picture whose neighbour fits better has no counterpart, so that one dropped frame is counted
    as one and does not make all later ones late.
    """
    found = Match(tick=max(input.tick, output.tick))
    with closing(input.moments()) as mine, closing(output.moments()) as theirs:
        one, other = _Reader(mine), _Reader(theirs)
        if one.first is not None and other.first is not None:
            found.first_input, found.first_output = one.first.seconds, other.first.seconds
        _walk(one, other, found)
    found.input_frames, found.output_frames = one.count, other.count
    found.last_frame = one.last_length
    found.input_span = _span(one)
    found.output_span = _span(other)
    return found


def _walk(one: _Reader, other: _Reader, found: Match) -> None:
    shift = found.shift
    while one.current is not None or other.current is not None:
        gap = None
        if one.current is not None and other.current is not None:
            gap = abs(other.current.seconds - one.current.seconds - shift)
        if other.current is None or (
            gap is not None and gap > found.tick and _fits(one.following, other.current, shift, gap)
        ):
            assert one.current is not None
            found.first_missing = found.first_missing or (one.count, one.current.seconds)
            found.missing += 1
            one.advance()
        elif one.current is None or (
            gap is not None and gap > found.tick and _fits(one.current, other.following, shift, gap)
        ):
            found.first_added = found.first_added or (other.count, other.current.seconds)
            found.added += 1
            other.advance()
        else:
            assert gap is not None
            if gap > found.largest:
                found.largest, found.largest_at = gap, (one.count, one.current.seconds)
            one.advance()
            other.advance()


def _fits(one: Moment | None, other: Moment | None, shift: Fraction, gap: Fraction) -> bool:
    """Whether two pictures lie closer together than ``gap``."""
    if one is None or other is None:
        return False
    return abs(other.seconds - one.seconds - shift) < gap


def _span(reader: _Reader) -> Fraction:
    if reader.first is None or reader.last is None:
        return Fraction(0)
    return reader.last.seconds - reader.first.seconds + reader.last_length
