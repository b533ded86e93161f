"""What comes of comparing a stream with its copy, piece by piece, or by the time that it fills."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

from rtstyle.media.payload import Piece

_MOST_WAITING = 2**16
"""Pieces of one file that wait for their counterparts in the other, which is interleaved
otherwise; a stream of any file that plays needs a few hundred."""
_LONGEST_UNSAID = Fraction(1)
"""Seconds to the next packet that count as the length of one that does not say its own."""
_CLOCK_JUMP = Fraction(30)
"""Seconds; sound encoded anew does not follow a clock that leaps by more, in either direction."""


@dataclass(slots=True)
class Tally:
    """What came of comparing one stream of the input with its copy."""

    spare: int = 0
    """Packets that may be missing from the copy: those that were counted as damaged."""
    lacked: int = 0
    """Those of them that are."""
    input_packets: int = 0
    output_packets: int = 0
    first_different: int | None = None
    """Number, from 0, of the first packet that is not the same."""
    first_different_at: Fraction | None = None
    """Its time in the input, in seconds; None where the input has no such packet or time."""
    input_starts: Fraction | None = None
    output_starts: Fraction | None = None
    earliest_gap: Fraction | None = None
    """Seconds by which a packet is later in the output than in the input: the least of all."""
    latest_gap: Fraction | None = None
    _waiting: tuple[deque[Piece], deque[Piece]] = field(default_factory=lambda: (deque(), deque()))

    def take(self, side: int, piece: Piece) -> None:
        """Another piece of the input (side 0) or the output (side 1)."""
        if side == 0:
            self.input_packets += 1
            self.input_starts = piece.seconds if self.input_starts is None else self.input_starts
        else:
            self.output_packets += 1
            self.output_starts = piece.seconds if self.output_starts is None else self.output_starts
        if self.first_different is not None:
            return
        self._waiting[side].append(piece)
        while self._waiting[0] and self._waiting[1] and self.first_different is None:
            self._compare()
        if len(self._waiting[side]) > _MOST_WAITING:
            self.end()

    def end(self) -> None:
        """What waits now has no counterpart."""
        mine, theirs = self._waiting
        while mine and self._may_lack(mine[0]):
            mine.popleft()
        for side, waiting in enumerate((mine, theirs)):
            if waiting and self.first_different is None:
                total = self.input_packets if side == 0 else self.output_packets
                at = waiting[0].seconds if side == 0 else None
                self._differs(total - len(waiting), at)

    def _compare(self) -> None:
        mine, theirs = self._waiting[0][0], self._waiting[1][0]
        if mine.digest != theirs.digest:
            if self._may_lack(mine):
                self._waiting[0].popleft()
            else:
                compared = self.input_packets - len(self._waiting[0])
                self._differs(compared, mine.seconds)
            return
        for waiting in self._waiting:
            waiting.popleft()
        if mine.seconds is not None and theirs.seconds is not None:
            gap = theirs.seconds - mine.seconds
            self.earliest_gap = gap if self.earliest_gap is None else min(gap, self.earliest_gap)
            self.latest_gap = gap if self.latest_gap is None else max(gap, self.latest_gap)

    def _may_lack(self, piece: Piece) -> bool:
        """Whether the copy may do without it, which for a damaged one is then used up."""
        if piece.optional:
            return True
        if self.spare <= 0:
            return False
        self.spare -= 1
        self.lacked += 1
        return True

    def _differs(self, number: int, at: Fraction | None) -> None:
        self.first_different, self.first_different_at = number, at
        for waiting in self._waiting:
            waiting.clear()


@dataclass(slots=True)
class Extent:
    """The time that a stream fills."""

    begins: Fraction | None = None
    """Seconds of its file's clock."""
    ends: Fraction | None = None
    filled: Fraction = Fraction(0)
    """Seconds in which there is anything, what overlaps counted once."""
    longest: Fraction = Fraction(0)
    """Seconds of the longest packet."""
    leaps: bool = False
    """Whether its clock jumps, or is not said."""
    _last: Piece | None = None

    @property
    def empty(self) -> bool:
        """Whether there was no packet."""
        return self.begins is None and not self.leaps

    def take(self, piece: Piece) -> None:
        """Another packet."""
        if piece.seconds is None:
            self.leaps = True
            return
        if self._last is not None and self._last.seconds is not None:
            step = piece.seconds - self._last.seconds
            self.leaps |= abs(step) > _CLOCK_JUMP or step < 0
            if not self._last.duration and 0 < step <= _LONGEST_UNSAID:
                self._fill(self._last.seconds, step)
        self._last = piece
        if self.begins is None:
            self.begins = self.ends = piece.seconds
        self._fill(piece.seconds, piece.duration)

    def _fill(self, begins: Fraction, duration: Fraction) -> None:
        assert self.ends is not None
        ends = begins + duration
        self.longest = max(self.longest, duration)
        if ends > self.ends:
            self.filled += ends - max(begins, self.ends)
            self.ends = ends


@dataclass(slots=True)
class Extents:
    """A stream and what was encoded anew from it."""

    mine: Extent = field(default_factory=Extent)
    theirs: Extent = field(default_factory=Extent)

    def take(self, side: int, piece: Piece) -> None:
        """Another packet of the input (side 0) or the output (side 1)."""
        if not piece.optional:
            (self.theirs if side else self.mine).take(piece)

    def end(self) -> None:
        """Nothing waits."""
