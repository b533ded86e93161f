"""Which part of a film is looked at, on its own timeline and on its container's clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from rtstyle.errors import UsageError

Seconds = Fraction | float | int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Pictures with ``begin <= t < end``, in seconds from the film's first picture; None for its
    own ends."""

    begin: Fraction | None = None
    end: Fraction | None = None
    most: int | None = None
    """No more pictures than these: what a run had done when it was ended early."""

    def __post_init__(self) -> None:
        """Raises UsageError for a range that cannot hold a picture."""
        if self.begin is not None and self.begin < 0:
            raise UsageError(f"start is {float(self.begin):g} s, but a clip begins at 0")
        if self.end is not None and self.end <= (self.begin or 0):
            raise UsageError(
                f"end ({float(self.end):g} s) must be later than start "
                f"({float(self.begin or 0):g} s)"
            )

    @property
    def whole(self) -> bool:
        """Whether all of the film is looked at."""
        return self.begin is None and self.end is None

    def window(self, zero: Fraction) -> Window:
        """The same on the container's clock, where the first picture is shown at ``zero``."""
        return Window(
            begin=None if self.begin is None else zero + self.begin,
            end=None if self.end is None else zero + self.end,
        )


WHOLE = Stretch()


@dataclass(frozen=True, slots=True)
class Window:
    """``begin <= t < end`` in seconds of a container's own clock; None for its own ends."""

    begin: Fraction | None = None
    end: Fraction | None = None


def exact_seconds(name: str, value: Seconds | None) -> Fraction | None:
    """``value`` as the decimal that it prints as; raises UsageError where it is no number."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"{name} must be a number of seconds, got {value}")
        return Fraction(str(value))
    return None if value is None else Fraction(value)
