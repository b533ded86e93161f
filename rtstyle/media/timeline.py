"""Presentation times that always grow, made from times that may not."""

from __future__ import annotations

from fractions import Fraction

from rtstyle.errors import UsageError

_DISCONTINUITY_SECONDS = 1
"""A jump back by more than this is a new clock (two recordings joined), not a wrong stamp."""


class Timeline:
    """Repairs pts to strictly increasing, in ticks of one time base, and counts repairs.

    A missing pts follows its predecessor by one frame; a repeated or backward one by half a frame,
    so that the next frame usually keeps its own time. After a jump back by more than a second all
    later frames move with the jump.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        """``rate`` in frames a second; 25 is taken where it is unknown."""
        self.repaired = 0
        self._step = max(1, round(1 / (time_base * (rate or 25))))
        self._jump = max(1, int(_DISCONTINUITY_SECONDS / time_base))
        self._last: int | None = None
        self._offset = 0

    def place(self, pts: int | None) -> int:
        """The time at which to show the next frame, greater than every time given before."""
        if self._last is None:
            if pts is None:
                self.repaired += 1
            self._last = 0 if pts is None else pts
            return self._last
        last = self._last
        if pts is None:
            self.repaired += 1
            self._last = last + self._step
            return self._last
        placed = pts + self._offset
        if placed <= last:
            self.repaired += 1
            if last - placed > self._jump:
                self._offset += last + self._step - placed
                placed = last + self._step
            else:
                placed = last + max(1, self._step // 2)
        self._last = placed
        return placed

    @property
    def last(self) -> int | None:
        """The time given last."""
        return self._last

    @property
    def offset(self) -> int:
        """By how much jumps of the clock have moved all times since."""
        return self._offset

    def go_on(self, *, last: int, offset: int, repaired: int) -> None:
        """Take up where another timeline of the same film was."""
        self._last, self._offset, self.repaired = last, offset, repaired

    def skip(self) -> None:
        """Leave room for a frame that was lost and had no pts of its own."""
        if self._last is not None:
            self._last += self._step


def check_range(start: Fraction | None, end: Fraction | None) -> None:
    """Raise UsageError for seconds of a clip between which no frame can lie."""
    if start is not None and start < 0:
        raise UsageError(f"start is {float(start):g} s, but a clip begins at 0")
    if end is not None and end <= (start or 0):
        raise UsageError(
            f"end ({float(end):g} s) must be later than start ({float(start or 0):g} s)"
        )
