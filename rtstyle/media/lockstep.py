"""The pictures of two files side by side: decoded, never converted, a handful in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Moment:
    """When a picture is shown, in seconds of the file's own clock."""

    seconds: Fraction
    duration: Fraction | None


class Moments(Protocol):
    """A film as the times of its pictures."""

    @property
    def tick(self) -> Fraction:
        """Seconds."""
        ...

    def moments(self) -> Generator[Moment, None, None]:
        """In order, each later than the one before."""
        ...


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

    @property
    def complete(self) -> bool:
        """Whether every picture has its counterpart, none is added, and none moved."""
        paired = self.input_frames == self.output_frames and not self.missing and not self.added
        return paired and self.largest <= self.tick

    @property
    def spans_agree(self) -> bool:
        """Whether both are as long as each other, as far as lengths of a last picture are kept."""
        return abs(self.output_span - self.input_span) <= max(self.tick, self.last_frame)


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


def match_pictures(
    input: Moments,
    output: Moments,
    *,
    progress: Callable[[int], None] | None = None,
    until_apart: bool = False,
) -> Match:
    """Lay the pictures of two files side by side, by their times.

    A picture whose neighbour fits better has no counterpart, so that one dropped frame is counted
    as one and does not make all later ones late. ``progress`` hears how many pictures of the output
    were read; ``until_apart`` ends at the first difference, and the match is then not complete.
    """
    found = Match(tick=max(input.tick, output.tick))
    with closing(input.moments()) as mine, closing(output.moments()) as theirs:
        one, other = _Reader(mine), _Reader(theirs)
        if one.first is not None and other.first is not None:
            found.first_input, found.first_output = one.first.seconds, other.first.seconds
        _walk(one, other, found, progress, until_apart)
    found.input_frames, found.output_frames = one.count, other.count
    found.last_frame = one.last_length
    found.input_span = _span(one)
    found.output_span = _span(other)
    return found


def _walk(
    one: _Reader,
    other: _Reader,
    found: Match,
    progress: Callable[[int], None] | None,
    until_apart: bool,
) -> None:
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
        if progress is not None:
            progress(other.count)
        if until_apart and (found.missing or found.added or found.largest > found.tick):
            return


def _fits(one: Moment | None, other: Moment | None, shift: Fraction, gap: Fraction) -> bool:
    """Whether two pictures lie closer together than ``gap``."""
    if one is None or other is None:
        return False
    return abs(other.seconds - one.seconds - shift) < gap


def _span(reader: _Reader) -> Fraction:
    if reader.first is None or reader.last is None:
        return Fraction(0)
    return reader.last.seconds - reader.first.seconds + reader.last_length
