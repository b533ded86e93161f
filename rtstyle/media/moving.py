"""A moving WebP as a source of frames: FFmpeg, which reads all other films here, knows only its
first picture."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from rtstyle.errors import CorruptInput, InputError, LimitExceeded, UsageError
from rtstyle.media.alpha import alpha_bytes
from rtstyle.media.deep import to_bytes
from rtstyle.media.image import open_picture
from rtstyle.media.picture_file import SHORTEST_DELAY, USUAL_DELAY, Leaf
from rtstyle.media.timeline import check_range
from rtstyle.media.under import extend_colours, on_white
from rtstyle.types import (
    DEFAULT_LIMITS,
    Alpha,
    Colour,
    Frame,
    Limits,
    Pixels,
    SourceHealth,
    VideoInfo,
)

_TICK = Fraction(1, 1000)
_ANIMATED = 0x02
"""Of the flags in the header of an extended WebP."""
_CLEAR = 0x10


def is_moving_webp(path: str | Path) -> bool:
    """Whether ``path`` is a file that begins as a WebP of several pictures does."""
    return bool(_flags(Path(path)) & _ANIMATED)


class MovingPicture:
    """The pictures of a moving WebP in their order, each with its time.

    Implements FrameSource. Read once: a second iteration goes on where the first stopped.
    """

    live = False

    def __init__(
        self,
        path: str | Path,
        *,
        start: Fraction | None = None,
        end: Fraction | None = None,
        transparent: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """``start`` and ``end`` are seconds; frames with ``start <= t < end`` are given.

        ``transparent``: give each picture's transparency, and under it the nearest visible colour;
        pictures are laid on white otherwise. Raises UsageError for a range that cannot be,
        NotAVideo, CorruptInput, LimitExceeded.
        """
        check_range(start, end)
        self._path, self._name = Path(path), Path(path).name
        self._start, self._end, self._limits = start, end, limits
        self._transparent = transparent and bool(_flags(self._path) & _CLEAR)
        self._notes: list[str] = []
        self._file = open_picture(path, limits=limits)
        size = self._file.size
        assert size is not None, "Pillow knows every WebP"
        self._count = self._file.count
        length = _milliseconds(self._file.data)
        self._info = VideoInfo(
            size=size,
            time_base=_TICK,
            average_rate=Fraction(1000 * self._count, length) if length else None,
            frames_in_header=self._count,
            duration_in_header=length * _TICK if length else None,
            rotation=0,
            pixel_aspect=Fraction(1),
            # Pictures are sRGB, whose primaries are those of BT.709.
            colour=Colour(matrix=1, primaries=1, transfer=1, full_range=False),
            codec="webp",
            alpha=self._transparent,
        )
        self._frames: Generator[Frame, None, None] | None = self._iterate()

    @property
    def info(self) -> VideoInfo:
        """What the headers of the file and its pictures say."""
        return self._info

    @property
    def health(self) -> SourceHealth:
        """What had to be swallowed so far."""
        return SourceHealth(notes=tuple(self._notes))

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is None:
            raise ValueError(f"{self._name} is closed")
        return self._frames

    def close(self) -> None:
        """End the iteration; calling it twice is allowed."""
        if self._frames is not None:
            self._frames.close()
        self._frames = None
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _iterate(self) -> Generator[Frame, None, None]:
        now = Fraction(0)
        given = 0
        try:
            for leaf in self._file.leaves():
                begins, now = now, now + max(Fraction(1), leaf.delay)
                seconds = begins * _TICK
                if self._start is not None and seconds < self._start:
                    continue
                if self._end is not None and seconds >= self._end:
                    break
                self._check_length(given, seconds - (self._start or 0))
                pixels, alpha = self._layers(leaf)
                pts = round(begins)
                yield Frame(
                    pixels=pixels,
                    pts=pts,
                    time_base=_TICK,
                    duration=round(now) - pts,
                    index=given,
                    alpha=alpha,
                )
                given += 1
        except LimitExceeded:
            raise
        except InputError as error:
            raise CorruptInput(f"{error} (after {given} frames)") from None
        if given == 0:
            raise UsageError(f"{self._name}: no frame lies between start and end; it is shorter")

    def _layers(self, leaf: Leaf) -> tuple[Pixels, Alpha | None]:
        if leaf.alpha is None:
            opaque = np.full(leaf.pixels.shape[:2], 255, np.uint8) if self._transparent else None
            return to_bytes(leaf.pixels), opaque
        if self._transparent:
            return to_bytes(extend_colours(leaf.pixels, leaf.alpha)), alpha_bytes(leaf.alpha)
        note = "transparent pictures are laid on white"
        if note not in self._notes:
            self._notes.append(note)
        return to_bytes(on_white(leaf.pixels, leaf.alpha)), None

    def _check_length(self, index: int, seconds: Fraction) -> None:
        most, longest = self._limits.max_frames, self._limits.max_seconds
        if most is not None and index >= most:
            raise LimitExceeded(f"{self._name}: more than the {most} frames allowed; cut it first")
        if longest is not None and seconds > longest:
            raise LimitExceeded(
                f"{self._name}: longer than the {longest:g} s allowed; cut it first"
            )


def _milliseconds(data: bytes) -> int:
    """How long all pictures are shown, as their headers say; Pillow only tells when it decodes."""
    at, total = 12, 0
    while at + 24 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"ANMF":
            said = int.from_bytes(data[at + 20 : at + 23], "little")
            total += said if said > SHORTEST_DELAY else USUAL_DELAY
        at += 8 + length + length % 2
    return total


def _flags(path: Path) -> int:
    try:
        if not path.is_file():
            return 0
        with path.open("rb") as file:
            head = file.read(21)
    except (OSError, ValueError):
        return 0
    known = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21
    return head[20] if known else 0
