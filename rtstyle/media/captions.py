"""Closed captions that lie in the pictures of a film (CEA-608 and 708, as ATSC A/53 carries them).

American television, its recorders and DVDs have them. FFmpeg gives them with each decoded picture;
its encoders would write them, but PyAV has no way to hand them over. So they are put into the
encoded picture as those encoders do: as a message (SEI) of registered user data in front of it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TypeVar

from av.packet import Packet
from av.stream import Stream

S = TypeVar("S", bound=Stream)

HELD_BY = ("h264", "hevc")
"""Codecs whose pictures hold them here."""
MARKS = (b"GA94", b"CC\x01\xf8", b"\x00\x00\x01\xb2\x03\x81", b"\x00\x00\x01\xb2\x03\x01")
"""What a packet has near its beginning where its picture may have captions: A/53's, a DVD's, and
those of cable (SCTE 20)."""
NEAR = 4096
"""Bytes of a packet before which that must stand."""

_START = re.compile(rb"\x00\x00\x01")
_SEI_HEAD = {"h264": b"\x06", "hevc": b"\x4e\x01"}
_REGISTERED = 4
_ATSC = b"\xb5\x00\x31GA94\x03"
"""United States, ATSC, its identifier, and that captions follow."""
_PROCESS = 0x40
_TRIPLET = 3
_MOST_BYTES = 31 * _TRIPLET


def with_captions(packet: Packet[S], codec: str, captions: bytes) -> Packet[S]:
    """The encoded picture with ``captions`` (triplets of cc_data) in front of it; as it is where
    it is not built of units with start codes, as software encoders build it."""
    data = bytes(packet)
    place = _first_picture(data, codec)
    if place is None or not captions:
        return packet
    units = b"".join(
        b"\0\0\0\1" + _SEI_HEAD[codec] + _safe(_message(captions[begin : begin + _MOST_BYTES]))
        for begin in range(0, len(captions), _MOST_BYTES)
    )
    new: Packet[S] = Packet(data[:place] + units + data[place:])  # type: ignore[assignment]
    new.stream, new.time_base = packet.stream, packet.time_base
    new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
    new.is_keyframe = packet.is_keyframe
    return new


def _first_picture(data: bytes, codec: str) -> int | None:
    """Where the start code of the first unit stands that holds a part of the picture itself."""
    if not data.startswith((b"\0\0\1", b"\0\0\0\1")):
        return None
    for found in _START.finditer(data):
        if found.end() >= len(data):
            return None
        head = data[found.end()]
        if (1 <= head & 31 <= 5) if codec == "h264" else (head >> 1 & 63) < 32:
            # A start code may have a zero more.
            begin = found.start()
            return begin - 1 if begin and data[begin - 1] == 0 else begin
    return None


def _message(captions: bytes) -> bytes:
    count = len(captions) // _TRIPLET
    load = _ATSC + bytes([_PROCESS | count, 0xFF]) + captions[: count * _TRIPLET] + b"\xff"
    return bytes([_REGISTERED, len(load)]) + load + b"\x80"


def _safe(load: bytes) -> bytes:
    """With a byte 3 where it would read like a start code."""
    out = bytearray()
    zeros = 0
    for byte in load:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def may_have_captions(packet: Packet[S]) -> bool:
    """Whether a packet looks as if its picture had captions, which only decoding tells."""
    begin = bytes(memoryview(packet)[:NEAR])
    return any(mark in begin for mark in MARKS)


class CaptionCount:
    """How many pictures of a film have captions, and all of these in short."""

    def __init__(self) -> None:
        self.pictures = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, captions: bytes) -> None:
        """Those of the next picture."""
        if captions:
            self.pictures += 1
            self._digest.update(captions)

    @property
    def digest(self) -> bytes:
        """The same for the same captions in the same order."""
        return self._digest.digest()
