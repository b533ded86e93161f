"""What FFmpeg's muxer does not know of pictures when it writes the head of a Matroska or WebM file,
put into the finished file in place.

The shape of pixels: the muxer writes it only where the stream itself was given it, which PyAV does
not do (the codec's context is not asked). H.264 and HEVC also say it in their own headers; of other
codecs it would be lost, and an anamorphic film be shown squeezed. The muxer counts the length of a
track's entry in eight bytes, where one or two are enough, and so leaves room for it.

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

_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_CLUSTER, _VOID, _CRC = 0x1F43B675, 0xEC, 0xBF
_TYPE, _PIXEL_WIDTH = 0x83, 0xB0
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_DEFAULT_DURATION = 0x23E383
_TYPE_VIDEO = b"\x01"
_HEAD = 2**20
"""Bytes in which the tracks stand; what is large, covers and fonts, follows them."""
_LONGEST_SIZE = 8


@dataclass(frozen=True, slots=True)
class _Element:
    """One element in a buffer."""

    id: int
    begin: int
    """Where its id begins."""
    content: int
    end: int


_Change = Callable[[bytes, _Element], bytes | None]
"""From a head and a track's entry in it to what is to stand in its place, as long; None where that
is not possible."""


def store_pixel_aspect(path: Path, aspect: Fraction) -> bool:
    """Say in the finished file that pixels of its first video track are ``aspect`` times as wide
    as high, by the width at which it is to be shown, in whole pixels.

    False, and nothing changed, where the file has no room for it or is not built as FFmpeg does.
    """
    return _store(path, lambda head, entry: _new_entry(head, entry, aspect))


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
            first = next(_children(head, 0, len(head)))
            name, after = _number(head, first.end, with_marker=True)
            length, content = _number(head, after, with_marker=False)
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


def _patched(head: bytes, change: _Change) -> tuple[int, bytes] | None:
    """New content of the file's tracks and where it goes."""
    segment = _child(head, 0, len(head), _SEGMENT)
    tracks = segment and _child(head, segment.content, len(head), _TRACKS)
    if tracks is None or tracks.end > len(head):
        return None
    for entry in _children(head, tracks.content, tracks.end):
        if entry.id != _ENTRY:
            continue
        kind = _child(head, entry.content, entry.end, _TYPE)
        if kind is None or head[kind.content : kind.end] != _TYPE_VIDEO:
            continue
        new = change(head, entry)
        if new is None:
            return None
        content = head[tracks.content : entry.begin] + new + head[entry.end : tracks.end]
        return tracks.content, _with_checksum(content)
    return None


def _new_entry(head: bytes, entry: _Element, aspect: Fraction) -> bytes | None:
    """The track's entry, as long as it was, with the width; None where that does not fit."""
    content = b""
    for child in _children(head, entry.content, entry.end):
        if child.id == _VIDEO:
            video = _new_video(head, child, aspect)
            if video is None:
                return None
            content += video
        elif child.id != _VOID:
            content += head[child.begin : child.end]
    whole = entry.end - entry.begin
    for length in range(1, _LONGEST_SIZE + 1):
        spare = whole - 1 - length - len(content)
        if spare < 0:
            return None
        # An empty element is two bytes at least.
        if spare != 1 and len(content) + spare < 2 ** (7 * length) - 1:
            return bytes([_ENTRY]) + _size(len(content) + spare, length) + content + _filler(spare)
    return None


def _without_duration(head: bytes, entry: _Element) -> bytes | None:
    """The track's entry, as long as it was, with nothing where the duration stood."""
    new = head[entry.begin : entry.content]
    for child in _children(head, entry.content, entry.end):
        said = child.id == _DEFAULT_DURATION
        new += _filler(child.end - child.begin) if said else head[child.begin : child.end]
    return new


def _new_video(head: bytes, video: _Element, aspect: Fraction) -> bytes | None:
    content = b""
    width = 0
    for child in _children(head, video.content, video.end):
        if child.id == _PIXEL_WIDTH:
            width = int.from_bytes(head[child.content : child.end], "big")
        if child.id not in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT):
            content += head[child.begin : child.end]
    shown = max(1, round(width * aspect))
    if not width or shown >= 2**24:
        return None
    # Its height is then that of the pixels.
    number = shown.to_bytes((shown.bit_length() + 7) // 8, "big")
    return _element(_VIDEO, content + _element(_DISPLAY_WIDTH, number))


def _filler(length: int) -> bytes:
    """An element without meaning, ``length`` bytes in all; none for 0."""
    if length == 0:
        return b""
    counted = 1 if length < 2**7 else _LONGEST_SIZE
    empty = length - 1 - counted
    return bytes([_VOID]) + _size(empty, counted) + bytes(empty)


def _with_checksum(content: bytes) -> bytes:
    """``content``, its leading checksum, where it has one, that of the rest."""
    if content[:2] != bytes([_CRC, 0x84]):
        return content
    return content[:2] + struct.pack("<I", zlib.crc32(content[6:])) + content[6:]


def _children(data: bytes, begin: int, end: int) -> Iterator[_Element]:
    while begin < end:
        name, after = _number(data, begin, with_marker=True)
        length, content = _number(data, after, with_marker=False)
        if name == _CLUSTER:
            return
        yield _Element(name, begin, content, content + length)
        begin = content + length


def _child(data: bytes, begin: int, end: int, name: int) -> _Element | None:
    return next((one for one in _children(data, begin, end) if one.id == name), None)


def _number(data: bytes, begin: int, *, with_marker: bool) -> tuple[int, int]:
    """A number of variable length, and where it ends; raises ValueError and IndexError."""
    length = 9 - data[begin].bit_length()
    if length > _LONGEST_SIZE or begin + length > len(data):
        raise ValueError("no number of Matroska's")
    value = int.from_bytes(data[begin : begin + length], "big")
    return value if with_marker else value & (2 ** (7 * length) - 1), begin + length


def _size(size: int, length: int) -> bytes:
    return (size | 1 << (7 * length)).to_bytes(length, "big")


def _element(name: int, content: bytes) -> bytes:
    length = next(n for n in range(1, _LONGEST_SIZE) if len(content) < 2 ** (7 * n) - 1)
    return (
        name.to_bytes((name.bit_length() + 7) // 8, "big") + _size(len(content), length) + content
    )
