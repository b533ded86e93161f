"""One audio stream of an output, made from one of the source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TypeAlias

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from rtstyle.media.aac import AacTrack
from rtstyle.media.languages import QUICKTIME_LANGUAGES

AudioPacket: TypeAlias = "Packet[AudioStream]"


class CopyTrack:
    """One audio stream, copied."""

    def __init__(self, output: OutputContainer, stream: AudioStream) -> None:
        self.repaired = 0
        self.damaged = 0
        self._time_base = stream.time_base or Fraction(1, stream.codec_context.sample_rate)
        self._stream = output.add_stream_from_template(stream)
        _dress(self._stream, stream)
        self._strict = output.format.name in ("mp4", "mov")
        self._last_dts: int | None = None
        self._next: int = 0

    @property
    def _least_step(self) -> int:
        """Ticks of the source between two packets: those muxers refuse two in one tick of theirs,
        which is known once they have begun."""
        if not self._strict or self._stream.time_base is None:
            return 1
        return max(1, math.ceil(self._stream.time_base / self._time_base))

    def take(self, packet: AudioPacket, shift: Fraction) -> Iterator[AudioPacket]:
        moved = round(shift / self._time_base)
        pts = packet.pts if packet.pts is not None else packet.dts
        dts = packet.dts if packet.dts is not None else packet.pts
        if pts is None or dts is None:
            self.repaired += 1
            pts = dts = self._next
        else:
            pts, dts = pts - moved, dts - moved
        if self._last_dts is not None and dts < self._last_dts + self._least_step:
            self.repaired += 1
            dts = self._last_dts + self._least_step
            pts = max(pts, dts)
        self._last_dts = dts
        self._next = dts + max(1, packet.duration or 1)
        packet.pts, packet.dts = pts, dts
        packet.stream = self._stream
        yield packet

    def cut(self, end: Fraction) -> None:
        """Nothing is held back that could be cut."""

    def finish(self) -> Iterator[AudioPacket]:
        return iter(())


class EncodeTrack:
    """One audio stream, decoded and encoded as AAC; times are kept to the sample."""

    def __init__(
        self,
        output: OutputContainer,
        stream: AudioStream,
        shift: Fraction,
        begin: Fraction | None,
        end: Fraction | None,
    ) -> None:
        context = stream.codec_context
        self.repaired = 0
        self._undecodable = 0
        self._source = stream
        self._track = AacTrack(
            output,
            rate=context.sample_rate,
            channels=context.layout.nb_channels,
            begin=None if begin is None else begin - shift,
            end=None if end is None else end - shift,
        )
        self._shift = shift
        _dress(self._track.stream, stream)

    def take(self, packet: AudioPacket, shift: Fraction) -> Iterator[AudioPacket]:
        try:
            frames = self._source.decode(packet)
        except av.FFmpegError:
            # The gap is filled with silence when the next frame comes.
            self._undecodable += 1
            return
        for frame in frames:
            yield from self._feed(frame)

    def cut(self, end: Fraction) -> None:
        """Keep nothing from ``end``, in seconds of the output, on."""
        self._track.cut(end)

    def finish(self) -> Iterator[AudioPacket]:
        try:
            frames = self._source.decode(None)
        except av.FFmpegError:
            frames = []
        for frame in frames:
            yield from self._feed(frame)
        yield from self._track.finish()

    @property
    def damaged(self) -> int:
        return self._undecodable + self._track.damaged

    def _feed(self, frame: AudioFrame) -> Iterator[AudioPacket]:
        seconds = None
        if frame.pts is not None and frame.time_base is not None:
            seconds = frame.pts * frame.time_base - self._shift
        yield from self._track.feed(frame, seconds)


def _dress(new: AudioStream, old: AudioStream) -> None:
    new.disposition = old.disposition
    for key in ("language", "title", "handler_name"):
        if key in old.metadata:
            new.metadata[key] = old.metadata[key]
    if new.container.format.name == "mov":
        language = new.metadata.get("language", "")
        new.metadata["language"] = QUICKTIME_LANGUAGES.get(language, language)
