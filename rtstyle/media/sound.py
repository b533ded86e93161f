"""The source's sound, carried over beside the new pictures."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard

from rtstyle.errors import OutputError
from rtstyle.media.streams import (
    copyable_sounds,
    left_behind,
    open_container,
    pick_video,
    shown,
    start_seconds,
)
from rtstyle.media.tracks import AudioPacket, CopyTrack, EncodeTrack

_SEEK_MARGIN = Fraction(2)
_STRAGGLING = Fraction(1)
"""Seconds by which packets of two streams may lie in the wrong order in a file."""


class Sound(Protocol):
    """What a VideoWriter asks of the sound it muxes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence per thing that did not go as a listener would expect."""
        ...

    def attach(self, output: OutputContainer, shift: Fraction) -> None:
        """Add the output's audio streams; times will be ``shift`` seconds less than the source's.

        Raises OutputError where the container cannot hold them.
        """
        ...

    def packets(self, until: Fraction | None) -> Iterator[AudioPacket]:
        """What is due up to ``until`` seconds of the output; None for all that is left."""
        ...

    def end(self, at: Fraction) -> Iterator[AudioPacket]:
        """The last packets, where the output ends early: none begins at ``at`` seconds or later."""
        ...

    def lose(self) -> None:
        """Count a packet that the muxer refused as damaged."""
        ...

    def close(self) -> None:
        """Release the source; calling it twice is allowed."""
        ...


class SourceSound:
    """Every audio stream of a file: copied packet for packet, or encoded anew as AAC."""

    def __init__(
        self,
        source: Path,
        *,
        mode: str,
        begin: Fraction | None,
        end: Fraction | None,
    ) -> None:
        """``mode`` is ``copy``, ``aac`` or ``none``; only what lies in ``begin <= t < end``
        (seconds of the source's own clock) is taken."""
        self._name = shown(source)
        self._mode = mode
        self._begin, self._end = begin, end
        self._container: InputContainer | None = open_container(source)
        self._streams = () if mode == "none" else copyable_sounds(self._container)
        self._notes = list(_not_carried(self._container, self._name))
        starts = [start_seconds(stream) for stream in self._container.streams]
        known = [start for start in starts if start is not None]
        self.clock_start = min(known) if known and _has_foreign_clock(self._container) else None
        """Where the source's clock starts, if it means nothing (a broadcast); else None."""
        self._tracks: dict[int, CopyTrack | EncodeTrack] = {}
        self._shift = Fraction(0)
        self._lost = 0
        self._waiting: AudioPacket | None = None
        self._demuxer: Generator[AudioPacket, None, None] | None = None

    @property
    def rates(self) -> tuple[int, ...]:
        """Samples a second of each stream."""
        return tuple(stream.codec_context.sample_rate for stream in self._streams)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence per stream left behind and per repair."""
        bumped = sum(track.repaired for track in self._tracks.values())
        damaged = self._lost + sum(track.damaged for track in self._tracks.values())
        notes = list(self._notes)
        if bumped:
            notes.append(f"{bumped} sound packet(s) had wrong timestamps and were moved")
        if damaged:
            notes.append(f"{damaged} damaged sound packet(s) were left out")
        return tuple(notes)

    def lose(self) -> None:
        """Count a packet that the muxer refused as damaged."""
        self._lost += 1

    def attach(self, output: OutputContainer, shift: Fraction) -> None:
        """Add one output stream for each of the source's, with its language and disposition."""
        self._shift = shift
        for stream in self._streams:
            try:
                track: CopyTrack | EncodeTrack = (
                    CopyTrack(output, stream)
                    if self._mode == "copy"
                    else EncodeTrack(output, stream, shift, self._begin, self._end)
                )
            except (ValueError, av.FFmpegError) as error:
                raise OutputError(
                    f"the {stream.codec_context.name} sound of {self._name} does not fit into the "
                    f"output ({error}); use --audio aac or none, or an .mkv name"
                ) from None
            self._tracks[stream.index] = track
        if self._streams:
            self._demuxer = self._demux()

    def packets(self, until: Fraction | None) -> Iterator[AudioPacket]:
        """What is due up to ``until`` seconds of the output, in the source's order."""
        if self._demuxer is None:
            return
        while True:
            if self._waiting is None:
                self._waiting = next(self._demuxer, None)
            if self._waiting is None:
                break
            time = _seconds(self._waiting)
            if until is not None and time is not None and time - self._shift > until:
                return
            packet, self._waiting = self._waiting, None
            yield from self._tracks[packet.stream_index].take(packet, self._shift)
        if until is None:
            for track in self._tracks.values():
                yield from track.finish()

    def end(self, at: Fraction) -> Iterator[AudioPacket]:
        """The last packets, where the output ends early: none begins at ``at`` seconds or later."""
        for track in self._tracks.values():
            track.cut(at)
        while self._demuxer is not None:
            packet = self._waiting or next(self._demuxer, None)
            self._waiting = None
            time = None if packet is None else _seconds(packet)
            if packet is None or time is None or time - self._shift > at + _STRAGGLING:
                break
            if time - self._shift < at:
                yield from self._tracks[packet.stream_index].take(packet, self._shift)
        for track in self._tracks.values():
            yield from track.finish()

    def close(self) -> None:
        """Release the source; calling it twice is allowed."""
        # A packet or demuxer must not outlive its container.
        self._waiting = None
        if self._demuxer is not None:
            self._demuxer.close()
            self._demuxer = None
        if self._container is not None:
            self._container.close()
            self._container = None
        self._streams = ()
        self._tracks.clear()

    def _demux(self) -> Generator[AudioPacket, None, None]:
        """Packets in the range; in encoding also those before it, which the decoder needs."""
        assert self._container is not None
        indices = set(self._tracks)
        for stream in self._container.streams:
            if stream.index not in indices:
                stream.discard = Discard.all
        if self._begin is not None:
            self._seek(self._begin)
        done: set[int] = set()
        failures = 0
        while failures < 2 and done != indices:
            try:
                with closing(self._packets(self._container)) as packets:
                    for packet in packets:
                        failures = 0
                        if packet.size == 0 or packet.stream_index in done:
                            continue
                        time = _seconds(packet)
                        if self._end is not None and time is not None and time >= self._end:
                            done.add(packet.stream_index)
                            if done == indices:
                                return
                            continue
                        if (
                            self._mode == "copy"
                            and time is not None
                            and time < (self._begin if self._begin is not None else time)
                        ):
                            continue
                        yield packet
                return
            except av.FFmpegError as error:
                failures += 1
                self._notes.append(
                    f"some sound of {self._name} could not be read ({error.strerror})"
                )

    def _packets(self, container: InputContainer) -> Generator[AudioPacket, None, None]:
        # PyAV types several streams' packets as those of any stream.
        return cast("Generator[AudioPacket, None, None]", container.demux(*self._streams))

    def _seek(self, seconds: Fraction) -> None:
        assert self._container is not None
        stream = self._streams[0]
        time_base = stream.time_base or Fraction(1, 1000)
        try:
            self._container.seek(int((seconds - _SEEK_MARGIN) / time_base), stream=stream)
        except av.FFmpegError:
            # Reading from the start finds the same packets, later.
            return


def _seconds(packet: AudioPacket) -> Fraction | None:
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else ticks * packet.time_base


def _has_foreign_clock(container: InputContainer) -> bool:
    """Whether the container's clock starts anywhere (MPEG streams) and not near zero."""
    return container.format.name in ("mpegts", "mpeg")


def _not_carried(container: InputContainer, name: str) -> tuple[str, ...]:
    sounds = {stream.index for stream in container.streams.audio}
    notes = left_behind(container, sounds | {pick_video(container, name).index})
    unknown = len(sounds) - len(copyable_sounds(container))
    if unknown:
        return (*notes, f"{unknown} audio stream(s) of unknown codec not carried over")
    return notes
