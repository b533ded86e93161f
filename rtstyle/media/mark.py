"""Where reading a film had come to, so that another process can go on with the very next frame."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtstyle.types import AnyPixels

TAIL = 3
"""Frames by which a place is known again; a still picture gives the same pixels twice, but at
another time."""


_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Mark:
    """A place between two frames of a source."""

    frames: int
    """How many lie before it."""
    stamps: tuple[int | None, ...]
    """The pts of the last of them, at most TAIL, as the file has them; None where it has none."""
    crc32: tuple[int, ...]
    """Of the same frames' pixels."""
    last: int
    """The last frame's pts as it was given."""
    offset: int
    """By how much a jump of the clock has moved every pts since."""
    repaired: int
    """Times repaired so far."""
    failures: int
    """Packets so far that could not be decoded."""
    deinterlaced: int = 0
    """Frames so far that were made of two fields."""
    notes: tuple[str, ...] = ()
    """What had to be said of the source so far."""

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Mark:
        """Raises KeyError, TypeError and ValueError for what to_json did not make."""
        mark = cls(
            frames=_number(value["frames"]),
            stamps=tuple(None if s is None else _number(s) for s in value["stamps"]),
            crc32=tuple(_number(c) for c in value["crc32"]),
            last=_number(value["last"]),
            offset=_number(value["offset"]),
            repaired=_number(value["repaired"]),
            failures=_number(value["failures"]),
            deinterlaced=_number(value["deinterlaced"]),
            notes=tuple(str(note) for note in value["notes"]),
        )
        if mark.frames < 1 or not mark.crc32 or len(mark.crc32) != len(mark.stamps):
            raise ValueError("a mark lies behind at least one frame")
        return mark


class Tail:
    """The last frames that were read."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int | None, AnyPixels]] = deque(maxlen=TAIL)

    def add(self, stamp: int | None, pixels: AnyPixels) -> None:
        """Note a frame; ``stamp`` is its pts in the file."""
        self._frames.append((stamp, pixels))

    @property
    def stamps(self) -> tuple[int | None, ...]:
        """Of the last frames, oldest first."""
        return tuple(stamp for stamp, _ in self._frames)

    @property
    def crc32(self) -> tuple[int, ...]:
        """Of the last frames, oldest first."""
        return tuple(pixels_crc32(pixels) for _, pixels in self._frames)


class Finder:
    """Looks for a mark's place among frames that are read again from somewhere before it."""

    def __init__(self, mark: Mark) -> None:
        self._wanted = list(zip(mark.stamps, mark.crc32, strict=True))
        self._matched = 0

    @property
    def first(self) -> int | None:
        """The time from which on to look; None where the place cannot be known by times."""
        stamps = [stamp for stamp, _ in self._wanted if stamp is not None]
        return stamps[0] if len(stamps) == len(self._wanted) else None

    def is_there(self, stamp: int | None, pixels: Callable[[], AnyPixels]) -> bool:
        """Whether the frame with that stamp is the last one before the mark."""
        wanted, crc32 = self._wanted[self._matched]
        if stamp == wanted and pixels_crc32(pixels()) == crc32:
            self._matched += 1
        else:
            self._matched = 0
        return self._matched == len(self._wanted)


def _number(value: object) -> int:
    """A count or a time as a file can have it: 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"a number of 64 bits, got {str(value)[:40]}")
    return value


def pixels_crc32(pixels: AnyPixels) -> int:
    """CRC-32 of all the bytes of a picture."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)
