"""The file of a segment's pictures, and the facts that belong to it."""

from __future__ import annotations

import mmap
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from rtstyle.errors import InputError, OutputError
from rtstyle.files import open_regular
from rtstyle.media.streams import open_container, pick_video

_OVERHEAD = 256
"""Bytes that Matroska spends on a picture besides its own, and more than it ever does."""


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What a segment's file holds, packet by packet in decoding order.

    Kept as arrays of 4 or 8 bytes a number: a film has hundreds of thousands of pictures.
    """

    pts: Sequence[int]
    """Ticks of the film at which each is shown; on the source's clock."""
    lengths: Sequence[int]
    """Ticks for which each is shown."""
    sizes: Sequence[int]
    """Bytes."""
    keys: Sequence[int]
    """Places of the key frames."""
    crc32: int
    """Of all bytes, one packet after the other."""

    def __post_init__(self) -> None:
        if not self.pts or not len(self.pts) == len(self.lengths) == len(self.sizes):
            raise ValueError("a segment has as many times, lengths and sizes as pictures, and some")
        if len(set(self.pts)) != len(self.pts):
            raise ValueError("two pictures of a segment have one time")
        if min(self.lengths) < 1 or min(self.sizes) < 1:
            raise ValueError("every picture has a length and a size")
        if any(not 0 <= key < len(self.pts) for key in self.keys):
            raise ValueError("key frames are pictures of the segment")
        for name in ("pts", "lengths", "sizes", "keys"):
            object.__setattr__(self, name, _packed(getattr(self, name)))

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        numbers = {name: list(getattr(self, name)) for name in ("pts", "lengths", "sizes", "keys")}
        return {**numbers, "crc32": self.crc32}

    @property
    def frames(self) -> int:
        """How many pictures it holds."""
        return len(self.pts)

    @property
    def first(self) -> int:
        """Ticks at which the first picture is shown."""
        return min(self.pts)

    @property
    def last(self) -> int:
        """Ticks at which the last picture is shown."""
        return max(self.pts)

    @property
    def end(self) -> int:
        """Ticks at which the last picture ends."""
        return self.last + self.lengths[self.pts.index(self.last)]

    @property
    def delay(self) -> int:
        """By how many pictures decoding must run ahead of showing."""
        shown = sorted(self.pts)
        place = {pts: index for index, pts in enumerate(shown)}
        return max(0, *(index - place[pts] for index, pts in enumerate(self.pts)))


@dataclass(slots=True)
class _Found:
    """What a file of pictures was found to hold."""

    sizes: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    crc32: int = 0

    def add(self, packet: Packet[VideoStream]) -> None:
        if packet.is_keyframe:
            self.keys.append(len(self.sizes))
        self.sizes.append(packet.size)
        self.crc32 = zlib.crc32(bytes(packet), self.crc32)


def read_back(path: Path) -> _Found:
    """Raises OutputError where the file cannot be read."""
    found = _Found()
    try:
        with open_container(path) as container:
            for packet in only_pictures(container.demux(pick_video(container, path.name))):
                found.add(packet)
    except (InputError, av.FFmpegError) as error:
        raise OutputError(f"{str(path)!r} cannot be read back ({error})") from None
    return found


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """Where a segment's pictures are: in a file of their own, or at places in one of many."""

    path: Path
    offsets: Sequence[int] | None = None
    """Bytes at which each picture begins, where the file is no segment's own."""

    def __post_init__(self) -> None:
        if self.offsets is not None:
            object.__setattr__(self, "offsets", _packed(self.offsets))


def is_whole(file: SegmentFile, facts: SegmentFacts) -> bool:
    """Whether a file still holds exactly what a segment's facts say.

    A link, a pipe or a file far larger than its pictures holds nothing, and is not read.
    """
    try:
        if file.offsets is not None:
            crc32 = 0
            for data in read_pictures(file, facts):
                crc32 = zlib.crc32(data, crc32)
            return crc32 == facts.crc32
        descriptor = open_regular(file.path)
        try:
            if os.fstat(descriptor).st_size > sum(facts.sizes) + _OVERHEAD * (facts.frames + 64):
                return False
        finally:
            os.close(descriptor)
        found = read_back(file.path)
        same = found.sizes == list(facts.sizes) and found.keys == list(facts.keys)
        return same and found.crc32 == facts.crc32
    except (OSError, OutputError):
        return False


def find_pictures(own: Path, film: Path, begin: int) -> list[int] | None:
    """The places in ``film`` at which the pictures of a segment's own file stand, from the byte
    ``begin`` on and in their order; None where they are not all there (yet), or need more than
    their bytes to be shown."""
    offsets: list[int] = []
    if film.stat().st_size == 0:
        return None
    with (
        open_container(own) as container,
        film.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written,
    ):
        for packet in only_pictures(container.demux(pick_video(container, own.name))):
            place = -1 if any(packet.iter_sidedata()) else written.find(bytes(packet), begin)
            if place < 0:
                return None
            offsets.append(place)
            begin = place + packet.size
    return offsets


def read_pictures(file: SegmentFile, facts: SegmentFacts) -> Iterator[bytes]:
    """The bytes of pictures that stand at places of a file."""
    assert file.offsets is not None
    with os.fdopen(open_regular(file.path), "rb") as source:
        ends = os.fstat(source.fileno()).st_size
        for offset, size in zip(file.offsets, facts.sizes, strict=True):
            if offset + size > ends:
                raise OutputError(f"{file.path.name} ends before its last picture")
            source.seek(offset)
            yield source.read(size)


def _packed(numbers: Sequence[int]) -> Sequence[int]:
    small = not numbers or (min(numbers) >= 0 and max(numbers) < 2**32)
    return array("I" if small else "q", numbers)


def only_pictures(packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    """Packets less the empty ones at the end of a stream."""
    return (packet for packet in packets if packet.size)
