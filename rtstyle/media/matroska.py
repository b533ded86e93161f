"""What FFmpeg's muxer does not know of pictures when it writes the head of a Matroska or WebM file,
put into the finished file in place.

The shape of pixels, and the sphere they lie on: the muxer writes them only where the stream itself
was given them, which PyAV does not do (the codec's context is not asked). H.264 and HEVC also say
the shape in their own headers; of other codecs it would be lost, and an anamorphic film be shown
squeezed. The muxer counts the length of a track's entry in eight bytes, where one or two are
enough, and so leaves room for the shape; room for a sphere is made beforehand, in the track's name
(``padded``).

The duration of every picture: the muxer writes it wherever it is told a rate, but only when all
times are known can it be said that they are even. Where they are not, it is emptied.

Elements and their numbers: RFC 9559, section 5.1.4; their coding: RFC 8794.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rtstyle.media.marks import projection_of
from rtstyle.types import Sphere

_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_CLUSTER, _VOID, _CRC = 0x1F43B675, 0xEC, 0xBF
_TYPE, _PIXEL_WIDTH = 0x83, 0xB0
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_NAME, _PROJECTION = 0x536E, 0x7670
_PROJECTION_TYPE, _PROJECTION_PRIVATE = 0x7671, 0x7672
_POSE = (0x7673, 0x7674, 0x7675)
_ROOM = 96
"""Letters that take as many bytes as a sphere does, and more."""
_DEFAULT_DURATION = 0x23E383
_TYPE_VIDEO = b"\x01"
_HEAD = 2**20
"""Bytes in which the tracks stand; what is large, covers and fonts, follows them."""
_LONGEST_SIZE = 8


@dataclass(frozen=True, slots=True)
class Element:
    """One element in a buffer."""

    id: int
    begin: int
    """Where its id begins."""
    content: int
    end: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What to say of a video track."""

    aspect: Fraction | None = None
    """How many times as wide as high its pixels are, said by the width at which it is to be shown,
    in whole pixels; None to leave that as it is."""
    sphere: Sphere | None = None
    """None to say nothing of one; else the track's name must have been ``padded``."""
    title: str | None = None
    """With a sphere: the track's name as it is to be."""


_Change = Callable[[bytes, Element], bytes | None]
"""From a head and a track's entry in it to what is to stand in its place, as long; None where that
is not possible."""


def padded(title: str | None) -> str:
    """A track's name with room behind it for a sphere, which ``store_shape`` takes away."""
    return (title or "") + " " * _ROOM


def store_shape(path: Path, shape: Shape) -> bool:
    """Say in the finished file what its first video track is to be shown like.

    False, and nothing changed, where the file has no room for it or is not built as FFmpeg does.
    """
    return _store(path, lambda head, entry: _new_entry(head, entry, shape))


def drop_default_duration(path: Path) -> bool:
    """Say no longer in the finished file that all pictures of its first video track are shown
    equally long.

    False, and nothing changed, where the file is not built as FFmpeg does.
    """
    return _store(path, _without_duration)


def is_closed(path: Path) -> bool:
    """Whether the file is one segment that says where it ends and ends there: the work of a muxer
    that came to its end, to which nothing was added."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            first = next(children(head, 0, len(head)))
            name, after = read_number(head, first.end, with_marker=True)
            length, content = read_number(head, after, with_marker=False)
    except (OSError, IndexError, ValueError, StopIteration):
        return False
    unknown = 2 ** (7 * (content - after)) - 1
    return name == _SEGMENT and length != unknown and content + length >= path.stat().st_size


def _store(path: Path, change: _Change) -> bool:
    with path.open("r+b") as file:
        head = file.read(_HEAD)
        try:
            found = _patched(head, change)
        except (IndexError, ValueError):
            return False
        if found is None:
            return False
        place, data = found
        file.seek(place)
        file.write(data)
    return True


def store_pixel_aspect(path: Path, aspect: Fraction) -> bool:
    """``store_shape`` of nothing but how wide pixels are for their height."""
    return store_shape(path, Shape(aspect=aspect))


def _patched(head: bytes, change: _Change) -> tuple[int, bytes] | None:
    """New content of the file's tracks and where it goes."""
    segment = _child(head, 0, len(head), _SEGMENT)
    tracks = segment and _child(head, segment.content, len(head), _TRACKS)
    if tracks is None or tracks.end > len(head):
        return None
    for entry in children(head, tracks.content, tracks.end):
        if entry.id != _ENTRY:
            continue
        kind = _child(head, entry.content, entry.end, _TYPE)
        if kind is None or head[kind.content : kind.end] != _TYPE_VIDEO:
            continue
        new = change(head, entry)
        if new is None:
            return None
        content = head[tracks.content : entry.begin] + new + head[entry.end : tracks.end]
        return tracks.content, with_checksum(content)
    return None


def _new_entry(head: bytes, entry: Element, shape: Shape) -> bytes | None:
    """The track's entry, as long as it was, with the shape; None where that does not fit."""
    content = b""
    if shape.sphere is not None and shape.title is not None:
        content += element(_NAME, shape.title.encode("utf-8", "surrogateescape"))
    for child in children(head, entry.content, entry.end):
        if child.id == _VIDEO:
            video = _new_video(head, child, shape)
            if video is None:
                return None
            content += video
        elif child.id != _VOID and (child.id != _NAME or shape.sphere is None):
            content += head[child.begin : child.end]
    whole = entry.end - entry.begin
    for length in range(1, _LONGEST_SIZE + 1):
        spare = whole - 1 - length - len(content)
        if spare < 0:
            return None
        # An empty element is two bytes at least.
        if spare != 1 and len(content) + spare < 2 ** (7 * length) - 1:
            return bytes([_ENTRY]) + _size(len(content) + spare, length) + content + filler(spare)
    return None


def _without_duration(head: bytes, entry: Element) -> bytes | None:
    """The track's entry, as long as it was, with nothing where the duration stood."""
    new = head[entry.begin : entry.content]
    for child in children(head, entry.content, entry.end):
        said = child.id == _DEFAULT_DURATION
        new += filler(child.end - child.begin) if said else head[child.begin : child.end]
    return new


def _new_video(head: bytes, video: Element, shape: Shape) -> bytes | None:
    content = b""
    width = 0
    replaced = (
        *(() if shape.aspect is None else (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)),
        *(() if shape.sphere is None else (_PROJECTION,)),
    )
    for child in children(head, video.content, video.end):
        if child.id == _PIXEL_WIDTH:
            width = int.from_bytes(head[child.content : child.end], "big")
        if child.id not in replaced:
            content += head[child.begin : child.end]
    if shape.aspect is not None:
        shown = max(1, round(width * shape.aspect))
        if not width or shown >= 2**24:
            return None
        # Its height is then that of the pixels.
        wide = shown.to_bytes((shown.bit_length() + 7) // 8, "big")
        content += element(_DISPLAY_WIDTH, wide)
    if shape.sphere is not None:
        content += _projection(shape.sphere)
    return element(_VIDEO, content)


def _projection(sphere: Sphere) -> bytes:
    kind, private, pose = projection_of(sphere)
    content = element(_PROJECTION_TYPE, bytes([kind])) + element(_PROJECTION_PRIVATE, private)
    for name, angle in zip(_POSE, pose, strict=True):
        if angle:
            content += element(name, struct.pack(">d", angle))
    return element(_PROJECTION, content)


def filler(length: int) -> bytes:
    """An element without meaning, ``length`` bytes in all; none for 0."""
    if length == 0:
        return b""
    counted = 1 if length < 2**7 else _LONGEST_SIZE
    empty = length - 1 - counted
    return bytes([_VOID]) + _size(empty, counted) + bytes(empty)


def with_checksum(content: bytes) -> bytes:
    """``content``, its leading checksum, where it has one, that of the rest."""
    if content[:2] != bytes([_CRC, 0x84]):
        return content
    return content[:2] + struct.pack("<I", zlib.crc32(content[6:])) + content[6:]


def children(data: bytes, begin: int, end: int) -> Iterator[Element]:
    """The elements between two places, up to the first cluster; raises as ``read_number``."""
    while begin < end:
        name, after = read_number(data, begin, with_marker=True)
        length, content = read_number(data, after, with_marker=False)
        if name == _CLUSTER:
            return
        yield Element(name, begin, content, content + length)
        begin = content + length


def _child(data: bytes, begin: int, end: int, name: int) -> Element | None:
    return next((one for one in children(data, begin, end) if one.id == name), None)


def read_number(data: bytes, begin: int, *, with_marker: bool) -> tuple[int, int]:
    """A number of variable length, and where it ends; raises ValueError and IndexError."""
    length = 9 - data[begin].bit_length()
    if length > _LONGEST_SIZE or begin + length > len(data):
        raise ValueError("no number of Matroska's")
    value = int.from_bytes(data[begin : begin + length], "big")
    return value if with_marker else value & (2 ** (7 * length) - 1), begin + length


def _size(size: int, length: int) -> bytes:
    return (size | 1 << (7 * length)).to_bytes(length, "big")


def element(name: int, content: bytes) -> bytes:
    """One element with its id and length."""
    length = next(n for n in range(1, _LONGEST_SIZE) if len(content) < 2 ** (7 * n) - 1)
    return (
        name.to_bytes((name.bit_length() + 7) // 8, "big") + _size(len(content), length) + content
    )
