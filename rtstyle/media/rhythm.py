"""Whether the pictures of a film follow each other evenly."""

from __future__ import annotations

from fractions import Fraction


class Rhythm:
    """Compares the times of pictures, given in any order, with those of an even rate."""

    def __init__(self, rate: Fraction, tick: Fraction) -> None:
        """``rate``: frames a second; ``tick``: seconds in which times are counted."""
        self._step = 1 / (rate * tick)
        self._first: int | None = None
        self._low, self._high, self._count = 0, 0, 0
        self._on_grid = True

    def add(self, pts: int) -> None:
        """Another picture, shown at ``pts`` ticks."""
        if self._first is None:
            self._first = pts
        place = round((pts - self._first) / self._step)
        # Clocks that cannot say the exact time round it.
        self._on_grid &= abs(pts - self._first - place * self._step) <= 1
        self._low, self._high = min(self._low, place), max(self._high, place)
        self._count += 1

    @property
    def even(self) -> bool:
        """Whether every picture came when it was due, and none was left out."""
        return self._on_grid and self._high - self._low + 1 == self._count
