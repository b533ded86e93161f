"""One stream of an output beside its pictures, made from one of the source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, TypeAlias

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from rtstyle.media.aac import AacTrack
from rtstyle.media.tags import Label, dress

AnyPacket: TypeAlias = "Packet[Any]"
"""A packet of sound, of subtitles or of a cover: PyAV types each by its stream."""

_HEADER: Final = "new_extradata"
_TEXT_TICK = Fraction(1, 1_000_000)


class CopyTrack:
    """One stream, copied packet for packet."""

    kind = "audio"

    def __init__(self, output: OutputContainer, stream: Stream, name: str) -> None:
        """``name`` is what messages call the stream."""
        self.repaired = 0
        self.damaged = 0
        self.changes = 0
        """How often the coding changed on the way."""
        self._header = stream.codec_context.extradata
        self._time_base = stream.time_base or _ticks_of(stream)
        self._stream = self._add(output, stream)
        self.label: Label = dress(self._stream, stream, name)
        self._strict = output.format.name in ("mp4", "mov")
        self._last_dts: int | None = None
        self._next: int = 0

    def _add(self, output: OutputContainer, stream: Stream) -> Stream:
        return output.add_stream_from_template(stream, opaque=True)

    def _ticks(self) -> tuple[Fraction, int]:
        """Seconds in which times are counted here, and how many of them two packets must be apart;
        the muxer's own ticks are known once it has begun.

        The finer of the source's and the muxer's: one that refuses two packets at one time must not
        make a packet later than the source's clock can tell. Matroska holds them as they are.
        """
        theirs = self._stream.time_base
        if not self._strict or theirs is None:
            return self._time_base, 0
        tick = min(self._time_base, theirs)
        return tick, max(1, math.ceil(theirs / tick))

    def take(self, packet: AnyPacket, shift: Fraction) -> Iterator[AnyPacket]:
        tick, apart = self._ticks()
        scale, moved = self._time_base / tick, round(shift / self._time_base)
        pts = packet.pts if packet.pts is not None else packet.dts
        dts = packet.dts if packet.dts is not None else packet.pts
        if pts is None or dts is None:
            self.repaired += 1
            pts = dts = self._next
        else:
            pts, dts = round((pts - moved) * scale), round((dts - moved) * scale)
        if self._last_dts is not None and dts < self._last_dts + apart:
            least = self._last_dts + apart
            # Times that the source's clock cannot tell apart are not wrong.
            self.repaired += least - dts > scale
            dts, pts = least, max(pts, least)
        packet.duration = round((packet.duration or 0) * scale)
        if not packet.duration and scale > 1:
            # Shorter than the source can tell; the last of all would end before it begins.
            packet.duration = max(1, dts - (dts if self._last_dts is None else self._last_dts))
        self._last_dts = dts
        self._next = dts + max(1, packet.duration)
        packet = self._without_header(packet)
        packet.pts, packet.dts, packet.time_base = pts, dts, tick
        packet.stream = self._stream
        yield packet

    def _without_header(self, packet: AnyPacket) -> AnyPacket:
        """The packet less the header of its coding that recordings put together repeat: Matroska's
        muxer writes it over whatever stands in the file's head."""
        if not packet.has_sidedata(_HEADER):
            return packet
        same = bytes(packet.get_sidedata(_HEADER)) == self._header
        self.changes += not same
        if not same and self._strict:
            return packet
        plain: AnyPacket = Packet(bytes(packet))
        plain.duration, plain.is_keyframe = packet.duration, packet.is_keyframe
        for side in packet.iter_sidedata():
            if side.data_type != _HEADER:
                plain.set_sidedata(side)
        return plain

    def cut(self, end: Fraction) -> None:
        """Nothing is held back that could be cut."""

    def settle(self) -> Iterator[AnyPacket]:
        """Nothing is held back that could be due."""
        return iter(())

    def finish(self) -> Iterator[AnyPacket]:
        return iter(())


class SubtitleTrack(CopyTrack):
    """One subtitle stream, copied; what is shown across a cut is shown for its part of the time."""

    kind = "subtitle"

    def __init__(
        self,
        output: OutputContainer,
        stream: SubtitleStream,
        name: str,
        *,
        begin: Fraction | None,
        end: Fraction | None,
    ) -> None:
        """``begin`` and ``end`` in seconds of the source."""
        super().__init__(output, stream, name)
        if output.format.name in ("mp4", "mov"):
            # Their muxer writes where a text ends once a packet of any stream has more ticks, of
            # whatever length: with fine ticks, no stream is ahead of what is copied here.
            self._stream.time_base = _TEXT_TICK
        self._begin = None if begin is None else math.ceil(begin / self._time_base)
        self._end = None if end is None else math.ceil(end / self._time_base)
        self._shift = Fraction(0)
        self._showing: AnyPacket | None = None

    def _ticks(self) -> tuple[Fraction, int]:
        # Several subtitles may begin together.
        return self._time_base, 0

    def take(self, packet: AnyPacket, shift: Fraction) -> Iterator[AnyPacket]:
        self._shift = shift
        start = packet.pts if packet.pts is not None else packet.dts
        if start is not None and self._begin is not None and start < self._begin:
            if not packet.duration:
                # A picture that stays until the next one comes.
                self._showing = packet
                return
            packet.duration = start + packet.duration - self._begin
            if packet.duration <= 0:
                return
            start = packet.pts = packet.dts = self._begin
        elif start is not None and start == self._begin:
            self._showing = None
        yield from self.settle()
        if start is not None and self._end is not None:
            if start >= self._end:
                return
            if packet.duration:
                packet.duration = min(packet.duration, self._end - start)
        yield from super().take(packet, shift)

    def cut(self, end: Fraction) -> None:
        """Keep nothing from ``end``, in seconds of the output, on."""
        last = math.ceil((end + self._shift) / self._time_base)
        self._end = last if self._end is None else min(self._end, last)

    def settle(self) -> Iterator[AnyPacket]:
        """What was shown already when the range began."""
        packet, self._showing = self._showing, None
        if packet is not None:
            packet.pts = packet.dts = self._begin
            yield from super().take(packet, self._shift)

    def finish(self) -> Iterator[AnyPacket]:
        yield from self.settle()


class EncodeTrack:
    """One audio stream, decoded and encoded as AAC; times are kept to the sample."""

    kind = "audio"

    def __init__(
        self,
        output: OutputContainer,
        stream: AudioStream,
        name: str,
        *,
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
        self.label: Label = dress(self._track.stream, stream, name)

    def take(self, packet: AnyPacket, shift: Fraction) -> Iterator[AnyPacket]:
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

    def settle(self) -> Iterator[AnyPacket]:
        """Nothing is held back that could be due."""
        return iter(())

    def finish(self) -> Iterator[AnyPacket]:
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

    def _feed(self, frame: AudioFrame) -> Iterator[AnyPacket]:
        seconds = None
        if frame.pts is not None and frame.time_base is not None:
            seconds = frame.pts * frame.time_base - self._shift
        yield from self._track.feed(frame, seconds)


def _ticks_of(stream: Stream) -> Fraction:
    if isinstance(stream, AudioStream):
        return Fraction(1, stream.codec_context.sample_rate)
    return Fraction(1, 1000)
