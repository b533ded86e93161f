"""Presentation times that always grow, made from times that may not."""

from __future__ import annotations

from fractions import Fraction

from rtstyle.errors import UsageError

_DISCONTINUITY_SECONDS = 1
"""A jump back by more than this is a new clock (two recordings joined), not a wrong stamp."""
_LONGEST_STILL_SECONDS = 6 * 3600
"""A picture that stands longer, past the end that the header promises, has a neighbour with a wild
stamp; mp4 holds less than seven hours at 90 kHz."""


class Timeline:
    """Repairs pts to strictly increasing, in ticks of one time base, and counts repairs.

    A missing pts follows its predecessor by one frame; a repeated or backward one by half a frame,
    so that the next frame usually keeps its own time. After a jump back by more than a second all
    later frames move with the jump. One stamp that lies more than a second off, while the one after
    it is where it should be, counts as missing: in a damaged file it would move the rest by hours.
    So do several in a row, and a last one, that lie hours behind the end of which the header tells.
    """

    def __init__(
        self, time_base: Fraction, rate: Fraction | None, *, ends: int | None = None
    ) -> None:
        """``rate`` in frames a second; 25 is taken where it is unknown. ``ends`` is the pts at
        which the header says that the pictures end."""
        self.repaired = 0
        self._step = max(1, round(1 / (time_base * (rate or 25))))
        self._jump = max(1, int(_DISCONTINUITY_SECONDS / time_base))
        self._ends = ends
        self._longest = int(_LONGEST_STILL_SECONDS / time_base)
        self._last: int | None = None
        self._offset = 0

    def place(self, pts: int | None, following: int | None = None) -> int:
        """The time at which to show the next frame, greater than every time given before.

        ``following`` is the pts of the frame after it, where there is one that has one.
        """
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
        after = None if following is None else following + self._offset
        if self._is_wild(placed, after):
            self.repaired += 1
            self._last = last + self._step
            if after is not None and last + 1 < after <= self._last:
                self._last = after - 1
            return self._last
        if placed <= last:
            self.repaired += 1
            if last - placed > self._jump:
                self._offset += last + self._step - placed
                placed = last + self._step
            else:
                placed = last + max(1, self._step // 2)
        self._last = placed
        return placed

    def _is_wild(self, placed: int, following: int | None) -> bool:
        assert self._last is not None
        late = self._ends is not None and placed - self._offset > self._ends
        if late and placed - self._last > self._longest:
            # Unless the picture after it has the new clock too.
            return following is None or not 0 < following - placed <= self._jump
        if following is None:
            return False
        if not self._last < following <= self._last + self._jump:
            return False
        return placed - following > self._jump or self._last - placed > self._jump

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
