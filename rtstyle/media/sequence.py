"""Numbered pictures in a folder as a source of frames."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import numpy as np

from rtstyle.errors import CorruptInput, InputError, LimitExceeded, NotAVideo, UsageError
from rtstyle.media.alpha import alpha_bytes
from rtstyle.media.deep import to_bytes, to_deep
from rtstyle.media.image import Picture, read_picture
from rtstyle.media.numbered import (
    STAMPS_NAME,
    NumberedName,
    find_numbered,
    is_picture,
    list_names,
    numbered_name,
    only_sequence,
    some_names,
)
from rtstyle.media.stamps import Clock, Stamps, clock_of, is_stamps, read_stamps
from rtstyle.media.timeline import check_range
from rtstyle.media.under import extend_colours, on_white
from rtstyle.media.upright import letterbox
from rtstyle.types import (
    DEFAULT_LIMITS,
    Alpha,
    AnyPixels,
    Colour,
    Frame,
    Limits,
    Size,
    SourceHealth,
    VideoInfo,
)

_log = logging.getLogger(__name__)

TRANSPARENT = ("none", "as first", "all")
"""Which pictures give their transparency: with ``as first`` all where the first has any."""
USUAL_RATE = Fraction(25)
"""Frames a second of pictures that come without times."""
_FASTEST = 1000
_NTSC_RATES = tuple(Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120))
_NICKNAMED = Fraction(5, 1000)


def is_sequence(path: str | Path) -> bool:
    """Whether ``path`` names numbered pictures: a pattern such as ``shot/%06d.png``, or the
    timestamps file beside them. A file whose own name looks like a pattern is that file."""
    path = Path(path)
    return is_stamps(path) or (numbered_name(path) is not None and not _is_there(path))


class SequenceFile:
    """Numbered pictures in the order of their numbers, each with its time.

    Implements FrameSource. Read once: a second iteration goes on where the first stopped. A picture
    that cannot be read is left out and counted; the others keep their times.
    """

    live = False

    def __init__(
        self,
        path: str | Path,
        *,
        fps: Fraction | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
        limits: Limits = DEFAULT_LIMITS,
        transparent: str = "none",
        deep: bool = False,
    ) -> None:
        """``path`` is a pattern or a timestamps file (see ``is_sequence``).

        ``transparent``: which pictures give their transparency, of TRANSPARENT, and under it the
        nearest visible colour; others are laid on white. With ``deep`` frames are uint16 where the
        first picture has more than 8 bits a sample, else all are uint8.

        Times come from ``fps`` (frames a second), else from the file ``timestamps.txt`` beside the
        pictures, else are those of 25 frames a second. ``start`` and ``end`` are seconds from the
        first picture; frames with ``start <= t < end`` are given.

        Raises UsageError (a rate or range that cannot be), NotAVideo (no pictures), InputError
        (missing numbers, times that do not fit the pictures), CorruptInput (no picture that can be
        read), LimitExceeded.
        """
        check_range(start, end)
        fps = None if fps is None else exact_rate(fps)
        self._start, self._end, self._limits = start, end, limits
        self._transparent, self._deep = transparent, deep
        self._notes: list[str] = []
        self._said: set[str] = set()
        self._failures = 0
        path = Path(path)
        self.pattern = _pattern_of(path, fps)
        self._name = str(self.pattern)
        self._files, others = find_numbered(self.pattern)
        if others:
            self._notes.append(
                f"{others} picture{'s' if others > 1 else ''} whose number is padded otherwise "
                f"than {str(self.pattern)!r} says: left out"
            )
        self._clock = self._read_clock(path if is_stamps(path) else None, fps)
        self._check_length()
        first = self._first_readable()
        self._deep = deep and first.pixels.dtype == np.uint16
        if transparent == "as first":
            self._transparent = "all" if first.transparent else "none"
        self._info = self._describe(first)
        self._frames: Generator[Frame, None, None] | None = self._iterate()

    @property
    def info(self) -> VideoInfo:
        """Size of the first picture, and times; every figure is known, none is from a header."""
        return self._info

    @property
    def health(self) -> SourceHealth:
        """What had to be swallowed so far."""
        return SourceHealth(decode_failures=self._failures, notes=tuple(self._notes))

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is None:
            raise ValueError(f"{self._name} is closed")
        return self._frames

    def close(self) -> None:
        """End the iteration; calling it twice is allowed."""
        if self._frames is not None:
            self._frames.close()
        self._frames = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _inside(self, pts: int) -> bool:
        """Whether a picture lies in the range asked for."""
        seconds = (pts - self._clock.pts[0]) * self._clock.time_base
        return (self._start or 0) <= seconds and (self._end is None or seconds < self._end)

    def _check_length(self) -> None:
        clock, limits = self._clock, self._limits
        wanted = [pts for pts in clock.pts if self._inside(pts)]
        most = limits.max_frames
        if most is not None and len(wanted) > most:
            raise LimitExceeded(f"{self._name}: more than the {most} frames allowed; cut it first")
        longest = limits.max_seconds
        if longest is None or not wanted:
            return
        if (wanted[-1] - wanted[0]) * clock.time_base > longest:
            raise LimitExceeded(
                f"{self._name}: longer than the {longest:g} s allowed; cut it first"
            )

    def _read_clock(self, given: Path | None, fps: Fraction | None) -> Clock:
        stamps = given or self.pattern.folder / STAMPS_NAME
        count = len(self._files)
        if fps is None and (given is not None or is_stamps(stamps)):
            clock = clock_of(self._fitting(read_stamps(stamps), stamps))
        else:
            if fps is None:
                self._notes.append(
                    f"no {STAMPS_NAME} beside the pictures and no --fps: "
                    f"{USUAL_RATE} frames a second taken"
                )
            elif is_stamps(stamps):
                self._notes.append(f"{stamps} is not looked at, since --fps is given")
            rate = fps or USUAL_RATE
            clock = Clock(1 / rate, tuple(range(count)), count, rate)
        return clock

    def _fitting(self, stamps: Stamps, file: Path) -> Stamps:
        """The stamps, where there are as many as pictures; one more is the end of the last."""
        times, count = stamps.times, len(self._files)
        if len(times) == count + 1 and stamps.end is None:
            self._notes.append(
                f"{file.name} has one time more than there are pictures; it is taken for the end "
                "of the last"
            )
            return Stamps(times[:-1], times[-1], stamps.precision)
        if len(times) != count:
            raise InputError(
                f"{str(file)!r} has {len(times)} times for {count} pictures; put back what is "
                "missing, or give the rate of the pictures with --fps and their pattern"
            )
        return stamps

    def _first_readable(self) -> Picture:
        for index, file in enumerate(self._files):
            try:
                picture = self._read(file)
            except LimitExceeded:
                raise
            except InputError as error:
                if index + 1 >= min(len(self._files), self._limits.max_decode_failures):
                    raise CorruptInput(
                        f"{self._name}: not one picture can be read ({error}); copy them again"
                    ) from None
                continue
            return picture
        raise AssertionError("there is at least one picture")

    def _read(self, file: Path) -> Picture:
        picture = read_picture(file, limits=self._limits)
        if not picture.whole:
            raise CorruptInput(f"{str(file)!r} is cut short; copy it again")
        return picture

    def _describe(self, first: Picture) -> VideoInfo:
        clock = self._clock
        return VideoInfo(
            size=Size(first.pixels.shape[1], first.pixels.shape[0]),
            time_base=clock.time_base,
            average_rate=clock.rate,
            frames_in_header=len(self._files),
            duration_in_header=(clock.end - clock.pts[0]) * clock.time_base,
            rotation=0,
            pixel_aspect=Fraction(1),
            # Pictures are sRGB, whose primaries are those of BT.709.
            colour=Colour(matrix=1, primaries=1, transfer=1, full_range=False),
            codec=self.pattern.ending[1:],
            start_pts=clock.pts[0],
            alpha=self._transparent == "all" and first.transparent,
            bits=first.bits if self._deep else 8,
        )

    def _iterate(self) -> Generator[Frame, None, None]:
        clock = self._clock
        given = in_a_row = inside = 0
        for file, pts, after in zip(
            self._files, clock.pts, (*clock.pts[1:], clock.end), strict=True
        ):
            if not self._inside(pts):
                continue
            inside += 1
            try:
                picture = self._read(file)
            except InputError as error:
                self._failures += 1
                in_a_row += 1
                self._note("failure", f"pictures that cannot be read are left out, first: {error}")
                if in_a_row >= self._limits.max_decode_failures:
                    raise CorruptInput(
                        f"{self._name}: {in_a_row} pictures in a row cannot be read "
                        f"({error}); copy them again"
                    ) from None
                continue
            in_a_row = 0
            pixels, alpha = self._fitted(picture, file)
            yield Frame(
                pixels=pixels,
                pts=pts,
                time_base=clock.time_base,
                duration=after - pts,
                index=given,
                alpha=alpha,
            )
            given += 1
        if inside == 0:
            raise UsageError(f"{self._name}: no frame lies between start and end; it is shorter")

    def _fitted(self, picture: Picture, file: Path) -> tuple[AnyPixels, Alpha | None]:
        if picture.bits > 8 and not (self._deep and picture.pixels.dtype == np.uint16):
            self._note("bits", f"pictures have {picture.bits} bits a sample; they are read with 8")
        if picture.count > 1:
            self._note(
                "count",
                f"{file.name} holds {picture.count} frames or pages; the first is read",
            )
        pixels: AnyPixels = to_deep(picture.pixels) if self._deep else to_bytes(picture.pixels)
        alpha = None if picture.alpha is None else alpha_bytes(picture.alpha)
        if alpha is not None and self._transparent == "all":
            pixels = extend_colours(pixels, alpha)
        elif alpha is not None:
            self._note("alpha", "transparent pictures are laid on white")
            pixels, alpha = on_white(pixels, alpha), None
        size = Size(pixels.shape[1], pixels.shape[0])
        if size == self._info.size:
            return pixels, alpha
        self._note(
            "size",
            f"the picture's size changes from {self._info.size} to {size} at {file.name}; "
            f"such frames are fitted into {self._info.size}",
        )
        if alpha is not None:
            alpha = cast(Alpha, letterbox(alpha, self._info.size))
        return letterbox(pixels, self._info.size), alpha

    def _note(self, kind: str, note: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._notes.append(note)
            _log.warning("%s: %s", self._name, note)


def exact_rate(fps: Fraction | float) -> Fraction:
    """Frames a second as meant: 23.976 and 29.97 are 24000/1001 and 30000/1001.

    Raises UsageError for what is no rate above 0 and up to 1000.
    """
    if not 0 < fps <= _FASTEST:
        raise UsageError(f"fps must be more than 0 and at most {_FASTEST}, got {float(fps):g}")
    exact = Fraction(str(fps)) if isinstance(fps, float) else Fraction(fps)
    meant = next((rate for rate in _NTSC_RATES if abs(exact - rate) < _NICKNAMED), exact)
    return exact if exact.denominator == 1 else meant


def _pattern_of(path: Path, fps: Fraction | None) -> NumberedName:
    if not is_stamps(path):
        pattern = numbered_name(path)
        if pattern is None:
            raise NotAVideo(f"{str(path)!r} names no numbered pictures; write shot/%06d.png")
        return pattern
    if fps is not None:
        raise UsageError(
            f"{str(path)!r} says when each picture is shown, and --fps too; leave --fps out, or "
            "name the pictures by a pattern such as %06d.png"
        )
    found = only_sequence(path.parent)
    if found is None:
        pictures = [name for name in list_names(path.parent) if is_picture(name)]
        held = f"pictures of several kinds ({some_names(pictures)})" if pictures else "no picture"
        raise NotAVideo(
            f"the folder of {str(path)!r} holds {held}; name those meant by a pattern such as "
            "%06d.png"
        )
    return found


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
