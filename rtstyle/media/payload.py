"""What a copied packet carries, whatever its container adds to it or however it cuts it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, Protocol

import av
from av.packet import Packet
from av.stream import Stream

from rtstyle.media.streams import codec_name

READ_ERRORS = (av.FFmpegError, IndexError)
"""What reading on raises in a damaged file; PyAV knows no stream that begins after the header."""
_BLOCK = 4096
_MPEG_AUDIO = frozenset({"mp1", "mp2", "mp3"})
_ADTS_HEADER = 7
_ADTS_WITH_CHECKSUM = 9
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Mishaps:
    """Packets that a conversion could not copy as they are, counted by the type of their stream."""

    left_out: Mapping[str, int] = field(default_factory=dict)
    """Damaged ones."""
    moved: Mapping[str, int] = field(default_factory=dict)
    """Those with wrong timestamps."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each kind of stream and of mishap."""
        found = []
        for kind, said in (("audio", "sound"), ("subtitle", "subtitle"), ("video", "cover")):
            if moved := self.moved.get(kind):
                found.append(f"{moved} {said} packet(s) had wrong timestamps and were moved")
            if damaged := self.left_out.get(kind):
                found.append(f"{damaged} damaged {said} packet(s) were left out")
        return tuple(found)


class Piece(NamedTuple):
    """Something of a stream that its copy should have too."""

    digest: bytes
    seconds: Fraction | None
    """Of its file's clock; None where that is not said."""
    duration: Fraction
    """Seconds; 0 where that is not said."""
    optional: bool = False
    """Whether the copy may lack it."""


class Pieces(Protocol):
    """Makes pieces of one stream's packets."""

    def feed(
        self, packet: Packet[Stream], seconds: Fraction | None, *, optional: bool
    ) -> Iterator[Piece]:
        """Pieces that are complete with this packet."""
        ...

    def finish(self) -> Iterator[Piece]:
        """What is left when the stream has ended."""
        ...


class Whole:
    """A piece a packet; ``hashed`` is False where only their times can be the same."""

    def __init__(self, codec: str, *, hashed: bool = True) -> None:
        self._codec = codec
        self._hashed = hashed

    def feed(
        self, packet: Packet[Stream], seconds: Fraction | None, *, optional: bool
    ) -> Iterator[Piece]:
        payload = bytes(packet)
        if self._codec == "mov_text" and payload[:2] == b"\0\0":
            # An empty text, which fills the time between two.
            return
        if self._codec.startswith("aac"):
            payload = _without_adts(payload)
        digest = _digest(payload) if self._hashed else b""
        yield Piece(digest, seconds, (packet.duration or 0) * packet.time_base, optional)

    def finish(self) -> Iterator[Piece]:
        return iter(())


class Blocks:
    """A piece every so many bytes, wherever the container cuts them into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(
        self, packet: Packet[Stream], seconds: Fraction | None, *, optional: bool
    ) -> Iterator[Piece]:
        # Only a block that begins with its packet has a time that does not depend on the cuts.
        time = None if self._rest else seconds
        data = self._rest + bytes(packet)
        whole = len(data) - len(data) % _BLOCK
        for begin in range(0, whole, _BLOCK):
            yield Piece(_digest(data[begin : begin + _BLOCK]), time, Fraction(0))
            time = None
        self._rest = data[whole:]

    def finish(self) -> Iterator[Piece]:
        if self._rest:
            yield Piece(_digest(self._rest), None, Fraction(0))
            self._rest = b""


def pieces_of(stream: Stream, *, hashed: bool) -> Pieces:
    """What makes comparable pieces of the stream's packets."""
    name = codec_name(stream)
    return Blocks() if hashed and name.startswith("pcm_") else Whole(name, hashed=hashed)


def same_codec(one: Stream, other: Stream) -> bool:
    """Whether two streams are stored alike; mp4 does not tell the layers of MPEG audio apart."""
    names = {codec_name(one), codec_name(other)}
    return len(names) == 1 or names <= _MPEG_AUDIO


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest()


def _without_adts(payload: bytes) -> bytes:
    """AAC less the header it has in broadcasts; anything else as it is.

    No block of AAC that holds sound begins with the bits of that header, so that its length need
    not be right: that of a block cut short is not.
    """
    if len(payload) < _ADTS_HEADER or payload[0] != 0xFF or payload[1] & 0xF0 != 0xF0:
        return payload
    return payload[_ADTS_HEADER if payload[1] & 1 else _ADTS_WITH_CHECKSUM :]
