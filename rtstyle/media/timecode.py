"""The timecode with which a recording began: read from whatever says it, and given to an output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from av.container import Container, InputContainer
from av.video.stream import VideoStream

from rtstyle.media.streams import pick_video, rate_of

_KEY = "timecode"
_FORM = re.compile(r"\d{1,2}:([0-5]\d):([0-5]\d)([:;.,])(\d{1,3})")
_DROPPING = ";.,"
"""Marks before the frames where numbers are left out, so that 29.97 a second keep to the clock."""
_MOST = 255
"""Frames a second that a track of timecode can count."""
_CLOSE = Fraction(1, 10)
"""How far an average rate may be from the one at which a recording counts."""
_LONGEST_SHOWN = 20
_IN_TRACKS = ("mp4", "mov")
"""Muxers that make a track of it, which must be able to count it."""


def read_timecode(container: Container) -> str | None:
    """That of the pictures, or else of the file or of any of its streams; None where none is
    said."""
    streams = sorted(container.streams, key=lambda stream: stream.type != "video")
    said = [*(stream.metadata for stream in streams), container.metadata]
    found = (_in(tags) for tags in said)
    return next((timecode for timecode in found if timecode is not None), None)


def _in(tags: Mapping[str, str]) -> str | None:
    return next((value for key, value in tags.items() if key.lower() == _KEY and value), None)


def timecode_rate(container: Container, stream: VideoStream) -> Fraction | None:
    """Frames a second at which the pictures' timecode counts; None where there is none.

    Where some pictures are missing, more than there are on average.
    """
    if read_timecode(container) is None:
        return None
    average, guessed = rate_of(stream), stream.guessed_rate
    if average is None or guessed is None:
        return average or guessed
    return guessed if abs(guessed - average) <= _CLOSE * average else average


def drop_timecodes(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a file less its timecode, which is said of its pictures."""
    return {key: value for key, value in tags.items() if key.lower() != _KEY}


def give_timecode(picture: VideoStream, timecode: str, *, ranged: bool) -> tuple[str, ...]:
    """Let an output's pictures begin with ``timecode``; a sentence, and nothing given, where that
    would be false or cannot be stored.

    ``ranged``: whether the output begins later than its source.
    """
    if ranged:
        return ("the timecode was left out, since it counts from the source's start",)
    muxer = picture.container.format.name
    rate = picture.codec_context.framerate
    if muxer in _IN_TRACKS and not _counts(timecode, rate):
        # A broken tag is any text.
        said = ascii(timecode)[1:-1][:_LONGEST_SHOWN]
        return (
            f"the timecode {said} was left out, since {muxer} cannot count it at "
            f"{float(rate or 0):.5g} frames a second; use an .mkv name to keep it",
        )
    picture.metadata[_KEY] = timecode
    return ()


def can_count(container: InputContainer, muxer: str) -> bool:
    """Whether an output of ``muxer`` can hold the timecode of a source."""
    timecode = read_timecode(container)
    if timecode is None or muxer not in _IN_TRACKS:
        return timecode is not None
    return _counts(timecode, timecode_rate(container, pick_video(container, container.name)))


def _counts(timecode: str, rate: Fraction | None) -> bool:
    """Whether a track of so many frames a second has the timecode."""
    found = _FORM.fullmatch(timecode)
    frames = round(rate or 0)
    if found is None or not 1 <= frames <= _MOST or int(found[4]) >= frames:
        return False
    return found[3] not in _DROPPING or frames in (30, 60)
