"""Times of pictures in a text file: "timestamp format v2", as mkvtoolnix and x264 read it.

A header line, then one time a line in milliseconds, which may have decimals. Lines that begin with
``#`` are comments; in one of them we note when the last picture ends, which the format cannot say.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rtstyle.errors import InputError
from rtstyle.files import open_regular
from rtstyle.media.streams import check_readable

_HEADER = "# timestamp format v2"
_ANY_HEADER = re.compile(r"#\s*time(?:stamp|code) format v(\d+)\s*")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.(\d{0,12}))?")
_END = re.compile(r"#\s*end:\s*(\S+)\s*")
_MILLISECOND = Fraction(1, 1000)
_NANOSECOND = Fraction(1, 10**9)
_COARSE, _FINE = Fraction(1, 1000), Fraction(1, 1_000_000)
_MOST_BYTES = 2**27
_RATES = (
    *(Fraction(rate) for rate in (24, 25, 30, 50, 60, 12, 15, 48, 100, 120)),
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 48, 120)),
)
"""Frames a second that are used, so that times rounded to milliseconds are not taken for others."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """What a timestamps file says."""

    times: tuple[Fraction, ...]
    """Seconds, growing, one a picture."""
    end: Fraction | None
    """Seconds at which the last picture ends; None where the file does not say."""
    precision: Fraction
    """Seconds; the last digit that the file writes."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Presentation times as integers."""

    time_base: Fraction
    """Seconds a tick."""
    pts: tuple[int, ...]
    """Growing, in ticks, one a picture."""
    end: int
    """In ticks; when the last picture ends."""
    rate: Fraction
    """Frames a second, on average."""


def is_stamps(path: Path) -> bool:
    """Whether ``path`` is a regular file that begins as timestamps files do."""
    if path.suffix.lower() != ".txt":
        return False
    try:
        # A pipe of that name would be waited for without end.
        with os.fdopen(open_regular(Path(os.path.realpath(path))), "rb") as file:
            start = file.read(64)
    except (OSError, ValueError):
        return False
    return (
        _ANY_HEADER.match(start.removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace"))
        is not None
    )


def read_stamps(path: Path) -> Stamps:
    """Read a file in timestamp format v2.

    Raises NotAVideo where it cannot be read, InputError where it is in another format, or a line is
    no time or does not follow the one before it.
    """
    path = check_readable(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{str(path)!r} is too large for a timestamps file; check the name")
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read ({error.strerror}); check it") from None
    header = _ANY_HEADER.fullmatch(lines[0]) if lines else None
    if header is None or header[1] != "2":
        raise InputError(f"{str(path)!r} does not begin with {_HEADER!r}; write it in that format")
    times: list[Fraction] = []
    end: Fraction | None = None
    decimals = 0
    for number, line in enumerate(lines[1:], 2):
        text = line.strip()
        if (ending := _END.fullmatch(text)) is not None and _NUMBER.fullmatch(ending[1]):
            end = Fraction(ending[1]) * _MILLISECOND
        if not text or text.startswith("#"):
            continue
        match = _NUMBER.fullmatch(text)
        if match is None:
            raise InputError(
                f"{str(path)!r}, line {number}: {text[:40]!r} is no time in milliseconds; mend it"
            )
        time = Fraction(text.rstrip(".")) * _MILLISECOND
        if times and time <= times[-1]:
            raise InputError(
                f"{str(path)!r}, line {number}: {text} does not follow the time before it; "
                "times must grow"
            )
        times.append(time)
        decimals = max(decimals, len(match[1] or ""))
    if end is not None and times and end <= times[-1]:
        end = None
    return Stamps(tuple(times), end, _MILLISECOND / 10**decimals)


def header_line() -> str:
    """The first line of a timestamps file."""
    return f"{_HEADER}\n"


def stamp_line(seconds: Fraction) -> str:
    """One time, to the nanosecond: finer than a tick of any film."""
    return f"{_milliseconds(seconds)}\n"


def end_line(seconds: Fraction) -> str:
    """The comment that says when the last picture ends."""
    return f"# end: {_milliseconds(seconds)}\n"


def _milliseconds(seconds: Fraction) -> str:
    count = round(seconds / _NANOSECOND)
    whole, rest = divmod(abs(count), 10**6)
    return f"{'-' if count < 0 else ''}{whole}.{rest:06}"


def clock_of(stamps: Stamps) -> Clock:
    """Count the times in ticks: in frames where they are even, else as finely as they are written.

    Raises InputError where two times are less than a microsecond apart.
    """
    times = stamps.times
    if len(times) == 1:
        span = stamps.end - times[0] if stamps.end is not None else Fraction(1, 25)
        mean = 1 / span
    else:
        mean = (len(times) - 1) / (times[-1] - times[0])
    for rate in (*_RATES, Fraction(round(mean)), mean.limit_denominator(1001)):
        if rate > 0 and _is_even(stamps, rate):
            first = round(times[0] * rate)
            last = first + len(times) - 1
            end = last + 1 if stamps.end is None else max(last + 1, round(stamps.end * rate))
            return Clock(1 / rate, tuple(range(first, last + 1)), end, rate)
    tick = _COARSE if stamps.precision >= _COARSE else _FINE
    pts = tuple(round(time / tick) for time in times)
    for index in range(1, len(pts)):
        if pts[index] <= pts[index - 1]:
            raise InputError(
                f"the times of pictures {index} and {index + 1} are less than a microsecond apart; "
                "mend the timestamps file"
            )
    step = pts[-1] - pts[-2] if len(pts) > 1 else round(1 / mean / tick)
    end = pts[-1] + step if stamps.end is None else max(pts[-1] + 1, round(stamps.end / tick))
    return Clock(tick, pts, end, mean.limit_denominator(100_000))


def _is_even(stamps: Stamps, rate: Fraction) -> bool:
    """Whether the times, rounded as they are, are those of ``rate`` frames a second."""
    slack = min(stamps.precision * rate, Fraction(1, 4))
    if stamps.end is not None and abs(stamps.end * rate - round(stamps.end * rate)) > slack:
        return False
    first = round(stamps.times[0] * rate)
    return all(abs(at * rate - first - index) <= slack for index, at in enumerate(stamps.times))
