"""Which streams a container takes, found out by trying."""

from __future__ import annotations

import contextlib
import io
from contextlib import closing
from fractions import Fraction

import av
from av.codec.context import CodecContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from rtstyle.media.streams import codec_name, copyable_subtitles, packet_seconds
from rtstyle.media.tags import shown_text

_TEXTS = ("subrip", "ass", "webvtt", "mov_text", "text")
_TEXT_FORMS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_PLAIN_HEADER = b"""[Script Info]\r
ScriptType: v4.00+\r
PlayResX: 384\r
PlayResY: 288\r
\r
[V4+ Styles]\r
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, \
Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\r
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\r
\r
[Events]\r
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r
"""
_SAID = {"hdmv_pgs_subtitle": "pgs", "dvd_subtitle": "vobsub"}
_MATROSKA_TICK = Fraction(1, 1000)
_SOME_BYTES = 64
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


def text_codec(muxer: str, stream: SubtitleStream) -> str | None:
    """The form of text that a container holds, for a stream of text that can be made into it; None
    for any other."""
    form = _TEXT_FORMS.get(muxer) if codec_name(stream) in _TEXTS else None
    if form is None:
        return None
    try:
        encoder = CodecContext.create(form, "w")
        assert isinstance(encoder, SubtitleCodecContext)
        encoder.subtitle_header = styles_of(stream)
        encoder.open(strict=False)
    except (ValueError, av.FFmpegError):
        return None
    return form


def styles_of(stream: SubtitleStream) -> bytes:
    """The header of an ASS file with the styles of a stream of text; raises av.FFmpegError where
    it cannot be decoded."""
    stream.codec_context.open(strict=False)
    header = stream.codec_context.subtitle_header
    return header if header and b"[Events]" in header else _PLAIN_HEADER


def made_later(muxer: str, stream: Stream, begins: Fraction) -> Fraction:
    """By how many seconds a muxer makes all of a file later because of a stream that begins at
    ``begins`` seconds, before zero: one that has no such times does unless the stream says that
    it begins with what is not heard, which PyAV does not tell."""
    written = io.BytesIO()
    try:
        with av.open(written, "w", format=muxer) as trial:
            new = trial.add_stream_from_template(stream, opaque=True)
            packet: Packet[Stream] = Packet(bytes(_SOME_BYTES))
            packet.stream, packet.time_base = new, stream.time_base or _MATROSKA_TICK
            packet.pts = packet.dts = round(begins / packet.time_base)
            trial.mux_one(packet)
        with (
            av.open(io.BytesIO(written.getvalue()), "r", format=muxer) as back,
            closing(back.demux()) as packets,  # type: ignore[type-var]
        ):
            begun = packet_seconds(next(packets))
    except (av.FFmpegError, ValueError, StopIteration):
        return Fraction(0)
    late = Fraction(0) if begun is None else begun - begins
    return round(late / _MATROSKA_TICK) * _MATROSKA_TICK


def close_quietly(container: OutputContainer) -> None:
    """Close a container that is given up; it may fail again on what made it fail before."""
    with contextlib.suppress(av.FFmpegError, OSError):
        container.close()


def fitting_subtitles(
    container: InputContainer, muxer: str
) -> tuple[tuple[SubtitleStream, ...], tuple[str, ...]]:
    """The subtitle streams that an output can hold, if need be in another form, and a sentence for
    each that it cannot hold as it is."""
    fitting, notes = [], []
    for number, stream in enumerate(container.streams.subtitles, 1):
        if stream not in copyable_subtitles(container):
            continue
        if holds(muxer, stream):
            fitting.append(stream)
            continue
        form = text_codec(muxer, stream)
        said = [_SAID.get(codec_name(stream), codec_name(stream))]
        if stream.language not in (None, "und"):
            said.append(shown_text(stream.language or ""))
        if form is not None:
            fitting.append(stream)
            notes.append(
                f"subtitle {number} ({', '.join(said)}) was made into {form}, since {muxer} holds "
                "no other text: its words and times are kept, of its looks only what that has"
            )
            continue
        names = [name for other, name in _REMEDIES.items() if holds(other, stream)]
        remedy = f"; use {names[0]} name to keep it" if names else ""
        notes.append(
            f"subtitle {number} ({', '.join(said)}) cannot be stored in {muxer} "
            f"and was left out{remedy}"
        )
    return tuple(fitting), tuple(notes)
