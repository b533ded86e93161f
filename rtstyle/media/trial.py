"""Which streams a container takes, found out by trying."""

from __future__ import annotations

import contextlib
import io

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from rtstyle.media.streams import codec_name, copyable_subtitles
from rtstyle.media.tags import shown_text

_SAID = {"hdmv_pgs_subtitle": "pgs", "dvd_subtitle": "vobsub"}
_REMEDIES = {"matroska": "an .mkv", "mp4": "an .mp4"}


def holds(muxer: str, stream: Stream) -> bool:
    """Whether a container takes the stream: its header is tried, in memory."""
    trial = av.open(io.BytesIO(), "w", format=muxer)
    try:
        trial.add_stream_from_template(stream, opaque=True)
        trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    finally:
        close_quietly(trial)
    return True


def close_quietly(container: OutputContainer) -> None:
    """Close a container that is given up; it may fail again on what made it fail before."""
    with contextlib.suppress(av.FFmpegError, OSError):
        container.close()


def fitting_subtitles(
    container: InputContainer, muxer: str
) -> tuple[tuple[SubtitleStream, ...], tuple[str, ...]]:
    """The subtitle streams that an output can hold, and a sentence for each that it cannot."""
    fitting, notes = [], []
    for number, stream in enumerate(container.streams.subtitles, 1):
        if stream not in copyable_subtitles(container):
            continue
        if holds(muxer, stream):
            fitting.append(stream)
            continue
        said = [_SAID.get(codec_name(stream), codec_name(stream))]
        if stream.language not in (None, "und"):
            said.append(shown_text(stream.language or ""))
        names = [name for other, name in _REMEDIES.items() if holds(other, stream)]
        remedy = f"; use {names[0]} name to keep it" if names else ""
        notes.append(
            f"subtitle {number} ({', '.join(said)}) cannot be stored in {muxer} "
            f"and was left out{remedy}"
        )
    return tuple(fitting), tuple(notes)
