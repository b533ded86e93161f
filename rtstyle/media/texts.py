"""Subtitles of text in another container's form: SubRip, ASS, WebVTT and the text of mp4."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from rtstyle.media.tracks import AnyPacket, SubtitleTrack
from rtstyle.media.trial import holds, styles_of, text_codec

_DRAWING = re.compile(rb"\{[^}]*\\p[1-9]")
_FIELDS_BEFORE_TEXT = 8


class TextTrack(SubtitleTrack):
    """One subtitle stream, each text encoded anew; italics and the like as far as both forms have
    them.

    The texts of mp4 cannot overlap: those that do in the source become one of several lines, for as
    long as they are shown together.
    """

    def __init__(
        self,
        output: OutputContainer,
        stream: SubtitleStream,
        name: str,
        *,
        codec: str,
        begin: Fraction | None,
        end: Fraction | None,
    ) -> None:
        """``codec`` is FFmpeg's name of the new form. Raises ValueError and av.FFmpegError."""
        self._source = stream
        self._codec = codec
        super().__init__(output, stream, name, begin=begin, end=end)
        self._joins = codec == "mov_text"
        self._shown: list[tuple[int, bytes]] = []
        """Until when, in ticks of the source, a text is shown."""
        self._written_to = 0

    def _add(self, output: OutputContainer, stream: Stream) -> Stream:
        new: SubtitleStream = output.add_stream(self._codec)  # type: ignore[assignment]
        new.codec_context.subtitle_header = styles_of(self._source)
        new.codec_context.open(strict=False)
        self._encoder = new.codec_context
        return new

    def take(self, packet: AnyPacket, shift: Fraction) -> Iterator[AnyPacket]:
        for cut in super().take(packet, shift):
            text = self._text_of(cut)
            if not text:
                continue
            start, length = cut.pts or 0, cut.duration or 0
            if not self._joins or not length:
                yield from self._packet(text, start, length)
                continue
            yield from self._until(start)
            self._shown.append((start + length, text))
            until = min(end for end, _ in self._shown)
            yield from self._packet(self._together(), start, until - start)
            self._written_to = until

    def finish(self) -> Iterator[AnyPacket]:
        yield from super().finish()
        if self._end is not None:
            last = self._end - round(self._shift / self._time_base)
            self._shown = [(min(end, last), text) for end, text in self._shown]
        yield from self._until(None)

    def _until(self, start: int | None) -> Iterator[AnyPacket]:
        """What is still shown of the texts before, up to the next one's start; None for all."""
        while rest := [shown for shown in self._shown if shown[0] > self._written_to]:
            until = min(end for end, _ in rest)
            until = until if start is None else min(until, start)
            if until <= self._written_to:
                break
            self._shown = rest
            length = until - self._written_to
            yield from self._packet(self._together(), self._written_to, length)
            self._written_to = until
        self._shown = [shown for shown in self._shown if start is not None and shown[0] > start]

    def _together(self) -> bytes:
        # Layers of one text, as ASS draws outlines, say the same.
        return b"\\N".join(dict.fromkeys(text for _, text in self._shown))

    def _text_of(self, packet: AnyPacket) -> bytes:
        """The words of a packet with ASS's codes for how they look; nothing for a drawing."""
        try:
            found = self._source.decode2(packet)
        except av.FFmpegError:
            self.damaged += 1
            return b""
        lines = [
            one.ass.split(b",", _FIELDS_BEFORE_TEXT)[-1].strip()
            for one in found or ()
            if isinstance(one, AssSubtitle)
        ]
        return b"\\N".join(line for line in lines if line and not _DRAWING.search(line))

    def _packet(self, text: bytes, start: int, length: int) -> Iterator[AnyPacket]:
        event = SubtitleSet.create(b"0,0,Default,,0,0,0,," + text, start=0, end=1)
        try:
            encoded: Packet[Stream] = self._encoder.encode_subtitle(event)
        except av.FFmpegError:
            self.damaged += 1
            return
        encoded.stream, encoded.time_base = self._stream, self._time_base
        encoded.pts = encoded.dts = start
        encoded.duration, encoded.is_keyframe = length, True
        yield encoded


def add_subtitles(
    output: OutputContainer,
    stream: SubtitleStream,
    name: str,
    *,
    begin: Fraction | None,
    end: Fraction | None,
) -> SubtitleTrack:
    """Add a stream that the output holds as it is, or in a form of its own; ``begin`` and ``end``
    in seconds of the source."""
    codec = text_codec(output.format.name, stream)
    if codec is None or holds(output.format.name, stream):
        return SubtitleTrack(output, stream, name, begin=begin, end=end)
    return TextTrack(output, stream, name, codec=codec, begin=begin, end=end)
