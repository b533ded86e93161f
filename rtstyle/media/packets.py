"""Copied streams of two files side by side: their packets' hashes, in order, in one pass."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.packet import Packet
from av.stream import Discard, Stream

from rtstyle.media.streams import open_container, packets_of

_MOST_WAITING = 2**16
"""Packets of one file that wait for their counterparts in the other, which is interleaved
otherwise; a stream of any file that plays needs a few hundred."""
_BLOCK = 4096
_MPEG_AUDIO = frozenset({"mp1", "mp2", "mp3"})
_ADTS_HEADER = 7
_ADTS_WITH_CHECKSUM = 9

_Hashed: TypeAlias = "tuple[bytes, Fraction | None]"


@dataclass(slots=True)
class Tally:
    """What came of comparing one stream of the input with its copy."""

    input_packets: int = 0
    output_packets: int = 0
    first_different: int | None = None
    """Number, from 0, of the first packet that is not the same."""
    first_different_at: Fraction | None = None
    """Its time in the input, in seconds; None where the input has no such packet or time."""
    input_starts: Fraction | None = None
    output_starts: Fraction | None = None
    earliest_gap: Fraction | None = None
    """Seconds by which a packet is later in the output than in the input: the least of all."""
    latest_gap: Fraction | None = None
    _waiting: tuple[deque[_Hashed], deque[_Hashed]] = field(
        default_factory=lambda: (deque(), deque())
    )

    def take(self, side: int, hashed: _Hashed) -> None:
        """Another packet of the input (side 0) or the output (side 1)."""
        seconds = hashed[1]
        if side == 0:
            self.input_packets += 1
            self.input_starts = seconds if self.input_starts is None else self.input_starts
        else:
            self.output_packets += 1
            self.output_starts = seconds if self.output_starts is None else self.output_starts
        if self.first_different is not None:
            return
        self._waiting[side].append(hashed)
        if self._waiting[0] and self._waiting[1]:
            self._compare(self._waiting[0].popleft(), self._waiting[1].popleft())
        elif len(self._waiting[side]) > _MOST_WAITING:
            self.end()

    def end(self) -> None:
        """What waits now has no counterpart."""
        for side in (0, 1):
            if self._waiting[side] and self.first_different is None:
                total = self.input_packets if side == 0 else self.output_packets
                at = self._waiting[side][0][1] if side == 0 else None
                self._differs(total - len(self._waiting[side]), at)

    def _compare(self, mine: _Hashed, theirs: _Hashed) -> None:
        if mine[0] != theirs[0]:
            compared = min(self.input_packets, self.output_packets) - 1
            self._differs(compared, mine[1])
        elif mine[1] is not None and theirs[1] is not None:
            gap = theirs[1] - mine[1]
            self.earliest_gap = gap if self.earliest_gap is None else min(gap, self.earliest_gap)
            self.latest_gap = gap if self.latest_gap is None else max(gap, self.latest_gap)

    def _differs(self, number: int, at: Fraction | None) -> None:
        self.first_different, self.first_different_at = number, at
        for waiting in self._waiting:
            waiting.clear()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All streams compared."""

    tallies: Mapping[int, Tally]
    """By the stream's index in the input."""
    unread: tuple[str, ...]
    """One sentence per file that could not be read to its end."""


def compare_packets(input: Path, output: Path, pairs: Mapping[int, int]) -> Comparison:
    """Compare streams packet for packet; ``pairs``: their index in the input and in the output.

    What containers add to a packet is taken off: ADTS headers of AAC, empty subtitles that fill a
    gap, and the cuts between packets of PCM.
    """
    tallies = {index: Tally() for index in pairs}
    if not pairs:
        return Comparison(tallies, ())
    by_output = {theirs: tallies[mine] for mine, theirs in pairs.items()}
    unread: list[str] = []
    with (
        closing(_read(input, set(pairs), "input", unread)) as mine,
        closing(_read(output, set(by_output), "output", unread)) as theirs,
    ):
        one, other = next(mine, None), next(theirs, None)
        # The file that is behind in time reads on, so that little has to wait.
        while one is not None or other is not None:
            if other is None or (one is not None and one[2] <= other[2]):
                assert one is not None
                tallies[one[0]].take(0, one[1])
                one = next(mine, None)
            else:
                by_output[other[0]].take(1, other[1])
                other = next(theirs, None)
    for tally in tallies.values():
        tally.end()
    return Comparison(tallies, tuple(unread))


def _read(
    path: Path, indices: set[int], which: str, unread: list[str]
) -> Generator[tuple[int, _Hashed, Fraction], None, None]:
    """Stream, hash, and how far the file is read in seconds from its first packet."""
    with open_container(path) as container:
        streams = [stream for stream in container.streams if stream.index in indices]
        for stream in container.streams:
            if stream.index not in indices:
                stream.discard = Discard.all
        hashers = {stream.index: _hasher(stream) for stream in streams}
        start: Fraction | None = None
        reached = Fraction(0)
        try:
            with closing(packets_of(container, *streams)) as packets:
                for packet in packets:
                    if packet.size == 0:
                        continue
                    seconds = _seconds(packet)
                    if seconds is not None:
                        start = seconds if start is None else start
                        reached = max(reached, seconds - start)
                    for hashed in hashers[packet.stream_index].feed(packet, seconds):
                        yield packet.stream_index, hashed, reached
        except av.FFmpegError as error:
            unread.append(f"the {which} could not be read to its end ({error.strerror})")
        for index, hasher in hashers.items():
            for hashed in hasher.finish():
                yield index, hashed, reached


class _Whole:
    """A hash a packet."""

    def __init__(self, codec: str) -> None:
        self._codec = codec

    def feed(self, packet: Packet[Stream], seconds: Fraction | None) -> Iterator[_Hashed]:
        payload = bytes(packet)
        if self._codec == "mov_text" and payload[:2] == b"\0\0":
            return
        if self._codec.startswith("aac"):
            payload = _without_adts(payload)
        yield _digest(payload), seconds

    def finish(self) -> Iterator[_Hashed]:
        return iter(())


class _Blocks:
    """A hash every so many bytes, wherever the container cuts them into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, packet: Packet[Stream], seconds: Fraction | None) -> Iterator[_Hashed]:
        # Only a block that begins with its packet has a time that does not depend on the cuts.
        time = None if self._rest else seconds
        data = self._rest + bytes(packet)
        whole = len(data) - len(data) % _BLOCK
        for begin in range(0, whole, _BLOCK):
            yield _digest(data[begin : begin + _BLOCK]), time
            time = None
        self._rest = data[whole:]

    def finish(self) -> Iterator[_Hashed]:
        if self._rest:
            yield _digest(self._rest), None
            self._rest = b""


def _hasher(stream: Stream) -> _Whole | _Blocks:
    name = codec_name(stream)
    return _Blocks() if name.startswith("pcm_") else _Whole(name)


def codec_name(stream: Stream) -> str:
    """The name of the codec, not of the library that decodes it; or ``unknown``."""
    # Typed as always present; None where FFmpeg has no decoder for the stream.
    context: object | None = stream.codec_context
    return "unknown" if context is None else stream.codec_context.codec.canonical_name


def same_codec(one: Stream, other: Stream) -> bool:
    """Whether two streams are stored alike; mp4 does not tell the layers of MPEG audio apart."""
    names = {codec_name(one), codec_name(other)}
    return len(names) == 1 or names <= _MPEG_AUDIO


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=16).digest()


def _without_adts(payload: bytes) -> bytes:
    """AAC less the header it has in broadcasts; anything else as it is."""
    if len(payload) < _ADTS_HEADER or payload[0] != 0xFF or payload[1] & 0xF6 != 0xF0:
        return payload
    length = (payload[3] & 0x03) << 11 | payload[4] << 3 | payload[5] >> 5
    if length != len(payload):
        return payload
    return payload[_ADTS_HEADER if payload[1] & 1 else _ADTS_WITH_CHECKSUM :]


def _seconds(packet: Packet[Stream]) -> Fraction | None:
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else ticks * packet.time_base
