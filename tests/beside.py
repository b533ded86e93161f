"""Clips that say something beside their samples, made without the code that reads it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.packet import Packet
from av.sidedata.sidedata import SideData

CAPTIONS = [(0x14, 0x20), (0x14, 0x2E), (0x14, 0x70), (0x48, 0x45), (0x4C, 0x4C), (0x14, 0x2F)]


def side_data(path: Path) -> list[dict[str, bytes]]:
    """Of every picture, by FFmpeg's names."""
    with av.open(str(path), metadata_errors="surrogateescape") as container:
        return [
            {
                one.type.name: bytes(one)
                for one in cast(Sequence[SideData], frame.side_data)
                if one.type.name != "SEI_UNREGISTERED"
            }
            for frame in container.decode(video=0)
        ]


def captioned(source: Path, path: Path) -> Path:
    """A copy of a clip of H.264 in MPEG-TS, its pictures with CEA-608 captions."""
    with av.open(str(source)) as old, av.open(str(path), "w", format="mpegts") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        count = 0
        for packet in old.demux():
            if not packet.size:
                continue
            if packet.stream.type == "video":
                packet = _with_message(packet, CAPTIONS[count % len(CAPTIONS)])
                count += 1
            packet.stream = copies[packet.stream_index] if packet.stream else copies[0]
            new.mux_one(packet)
    return path


def _with_message(packet: Packet[Any], pair: tuple[int, int]) -> Packet[Any]:
    cc = bytes([0xFC, *pair, 0xF9, 0, 0])
    load = b"\xb5\0\x31GA94\3" + bytes([0xC2, 0xFF]) + cc + b"\xff"
    unit = bytes([6, 4, len(load)]) + load + b"\x80"
    data = bytes(packet)
    picture = re.search(rb"\x00\x00\x01[\x41\x61\x65\x01\x21\x25]", data)
    assert picture is not None
    place = picture.start()
    new: Packet[Any] = Packet(data[:place] + b"\0\0\1" + unit + data[place:])
    new.stream, new.time_base = packet.stream, packet.time_base
    new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
    new.is_keyframe = packet.is_keyframe
    return new


def copy_with(
    source: Path,
    path: Path,
    *,
    tags: Mapping[str, str] | None = None,
    titles: Mapping[int, str] | None = None,
    chapters: Sequence[str | None] = (),
    options: Mapping[str, str] | None = None,
) -> Path:
    """A copy of a clip with tags of any bytes, for the muxer's ``options``; ``titles`` by a
    stream's index, ``chapters`` one a second with or without a title."""
    with (
        av.open(str(source)) as old,
        av.open(
            str(path), "w", container_options=dict(options or {}), metadata_errors="surrogateescape"
        ) as new,
    ):
        new.metadata.update(tags or {})
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for index, title in (titles or {}).items():
            copies[index].metadata["title"] = title
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                new.mux_one(packet)
        new.set_chapters(
            [
                {
                    "id": number,
                    "start": number * 1000,
                    "end": number * 1000 + 1000,
                    "time_base": Fraction(1, 1000),
                    "metadata": {} if title is None else {"title": title},
                }
                for number, title in enumerate(chapters)
            ]
        )
    return path


def box(kind: bytes, load: bytes) -> bytes:
    return struct.pack(">I", 8 + len(load)) + kind + load


def marked(path: Path, boxes: bytes) -> Path:
    """Put boxes into the sample entry of an mp4 whose index comes last."""
    data = bytearray(path.read_bytes())
    places, begin, end = [], 0, len(data)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        while True:
            size, found = struct.unpack_from(">I4s", data, begin)
            if found == kind:
                break
            begin += size
            assert begin < end
        places.append(begin)
        begin, end = begin + 8, begin + size
    begin += 8
    places.append(begin)
    entry = begin + struct.unpack_from(">I", data, begin)[0]
    data[entry:entry] = boxes
    for place in places:
        (size,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, size + len(boxes))
    path.write_bytes(data)
    return path


def sphere_boxes(
    layout: int = 2, projection: bytes = b"", pose: tuple[int, ...] = (0, 0, 0)
) -> bytes:
    """st3d and sv3d; equirectangular unless another ``projection`` is given."""
    shape = projection or box(b"equi", bytes(20))
    turned = box(b"prhd", bytes(4) + struct.pack(">3i", *pose))
    whole = box(b"svhd", bytes(4) + b"camera\0") + box(b"proj", turned + shape)
    return box(b"st3d", bytes(4) + bytes([layout])) + box(b"sv3d", whole)


def without_packets(path: Path, pid: int, keep: Callable[[int], bool] = lambda n: False) -> Path:
    """An MPEG-TS less the packets of one PID, but for those whose number ``keep`` takes."""
    data, out, count = path.read_bytes(), b"", 0
    for begin in range(0, len(data), 188):
        packet = data[begin : begin + 188]
        if (packet[1] & 31) << 8 | packet[2] == pid:
            count += 1
            if not keep(count):
                continue
        out += packet
    path.write_bytes(out)
    return path


def element(name: int, content: bytes) -> bytes:
    """One element of Matroska."""
    head = name.to_bytes((name.bit_length() + 7) // 8, "big")
    return head + (len(content) | 1 << 56).to_bytes(8, "big") + content


def atom(uid: int, begin: float, end: float, title: str, more: bytes = b"") -> bytes:
    """A ChapterAtom, times in seconds."""
    shown = element(0x85, title.encode()) + element(0x437C, b"eng")
    return element(
        0xB6,
        element(0x73C4, bytes([uid]))
        + element(0x91, int(begin * 1e9).to_bytes(8, "big"))
        + element(0x92, int(end * 1e9).to_bytes(8, "big"))
        + element(0x80, shown)
        + more,
    )


def with_editions(path: Path, editions: bytes) -> Path:
    """Put editions in the place of the chapters of a Matroska file that has room for them."""
    data = bytearray(path.read_bytes())
    begin = data.rindex(b"\x10\x43\xa7\x70")
    head = data[begin + 4]
    length = 9 - head.bit_length()
    size = int.from_bytes(data[begin + 4 : begin + 4 + length], "big") & (2 ** (7 * length) - 1)
    content = begin + 4 + length
    spare = size - len(editions) - 9
    assert spare >= 0
    filler = b"\xec" + (spare | 1 << 56).to_bytes(8, "big") + bytes(spare)
    data[content : content + size] = editions + filler
    path.write_bytes(data)
    return path


def stored_editions(path: Path) -> list[bytes]:
    """The elements of a file's chapters that are neither checksums nor empty."""
    data = path.read_bytes()
    begin = data.rindex(b"\x10\x43\xa7\x70") + 4
    found = []
    _, at, end = _sized(data, begin)
    while at < end:
        width = 9 - data[at].bit_length()
        name = data[at : at + width]
        _, content, until = _sized(data, at + width)
        if name not in (b"\xec", b"\xbf"):
            found.append(name + data[content:until])
        at = until
    return found


def _sized(data: bytes, at: int) -> tuple[int, int, int]:
    width = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + width], "big") & (2 ** (7 * width) - 1)
    return size, at + width, at + width + size
