"""What FFmpeg's muxer does not write into the index of an mp4 or mov, put there afterwards.

Tags that iTunes has no name for go where telephones put them: into ``moov/meta``, by keys of
their own (QuickTime File Format, "Metadata"), beside the ordinary ones in ``moov/udta``. FFmpeg's
own way (``use_metadata_tags``) would replace the ordinary ones, which players other than its own
then show no more. Marks of a sphere and of two pictures in one go into the entry of the pictures
(Spherical Video V2). The index grows into the free space behind it, at the file's end, or by
moving what follows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_NESTED = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_FREE = (b"free", b"skip")
_HEAD = 8
_LONG_HEAD = 16
_UTF8 = 1
_BLOCK = 2**20
_HANDLER_AT = 8
"""Bytes of an hdlr box before the four letters that say what a track holds."""
_MOST = {b"stco": 2**32 - 1, b"co64": 2**64 - 1}


class _ForeignError(Exception):
    """A file that is not built as FFmpeg builds it."""


@dataclass(slots=True)
class _Box:
    kind: bytes
    data: bytes = b""
    children: list[_Box] | None = None

    def encode(self) -> bytes:
        if self.children is not None:
            return box(self.kind, b"".join(child.encode() for child in self.children))
        return box(self.kind, self.data)

    def find(self, *path: bytes) -> Iterator[_Box]:
        """All boxes at that path below this one."""
        for child in self.children or ():
            if child.kind == path[0]:
                if len(path) == 1:
                    yield child
                else:
                    yield from child.find(*path[1:])


@dataclass(frozen=True, slots=True)
class _Place:
    """A box of the file's top level."""

    kind: bytes
    begin: int
    size: int

    @property
    def end(self) -> int:
        return self.begin + self.size


def box(kind: bytes, data: bytes) -> bytes:
    """One box with its head."""
    return struct.pack(">I", _HEAD + len(data)) + kind + data


def full_box(kind: bytes, data: bytes) -> bytes:
    """One box with its head, version 0 and no flags."""
    return box(kind, bytes(4) + data)


def store_in_index(
    path: Path, *, tags: Mapping[str, str], pictures: bytes, quicktime: bool
) -> bool:
    """Add ``tags`` to a finished file, and the boxes in ``pictures`` to the entry of its first
    stream of pictures; ``quicktime``: whether it is a mov.

    False, and nothing changed, where it is not built as FFmpeg does. Raises OSError.
    """
    with path.open("r+b") as file:
        places = list(_top_level(file))
        index = next((place for place in places if place.kind == b"moov"), None)
        if index is None:
            return False
        file.seek(index.begin)
        try:
            moov = _parse(file.read(index.size))
            if pictures:
                _extend_pictures(moov, pictures)
            if tags:
                assert moov.children is not None
                moov.children.append(_tag_box(tags, quicktime))
            _put(file, places, index, moov)
        except (_ForeignError, struct.error, IndexError):
            return False
    return True


def _top_level(file: BinaryIO) -> Iterator[_Place]:
    end = file.seek(0, 2)
    begin = 0
    while begin + _HEAD <= end:
        file.seek(begin)
        head = file.read(_LONG_HEAD)
        size, kind = struct.unpack_from(">I4s", head)
        if size == 1:
            (size,) = struct.unpack_from(">Q", head, _HEAD)
        size = end - begin if size == 0 else size
        if size < _HEAD:
            return
        yield _Place(kind, begin, size)
        begin += size


def _parse(data: bytes) -> _Box:
    """The box that is all of ``data``."""
    size, kind = struct.unpack_from(">I4s", data)
    if size != len(data):
        raise _ForeignError
    if kind not in _NESTED:
        return _Box(kind, data[_HEAD:])
    children, begin = [], _HEAD
    while begin < size:
        (length,) = struct.unpack_from(">I", data, begin)
        if length < _HEAD or begin + length > size:
            raise _ForeignError
        children.append(_parse(data[begin : begin + length]))
        begin += length
    return _Box(kind, children=children)


def _extend_pictures(moov: _Box, boxes: bytes) -> None:
    for track in moov.find(b"trak"):
        handler = next(track.find(b"mdia", b"hdlr"), None)
        if handler is None or handler.data[_HANDLER_AT : _HANDLER_AT + 4] != b"vide":
            continue
        table = next(track.find(b"mdia", b"minf", b"stbl", b"stsd"), None)
        if table is None:
            break
        first = 8
        (size,) = struct.unpack_from(">I", table.data, first)
        if first + size > len(table.data):
            break
        entry = table.data[first : first + size] + boxes
        table.data = (
            table.data[:first]
            + struct.pack(">I", len(entry))
            + entry[4:]
            + table.data[first + size :]
        )
        return
    raise _ForeignError


def _tag_box(tags: Mapping[str, str], quicktime: bool) -> _Box:
    keys, values = b"", b""
    for number, (key, value) in enumerate(tags.items(), 1):
        keys += box(b"mdta", key.encode("utf-8", "surrogateescape"))
        text = value.encode("utf-8", "surrogateescape")
        values += box(struct.pack(">I", number), box(b"data", struct.pack(">II", _UTF8, 0) + text))
    handler = full_box(b"hdlr", bytes(4) + b"mdta" + bytes(13))
    content = (
        handler + full_box(b"keys", struct.pack(">I", len(tags)) + keys) + box(b"ilst", values)
    )
    # In mp4 it has a version and flags; QuickTime's has none.
    return _Box(b"meta", content if quicktime else bytes(4) + content)


def _put(file: BinaryIO, places: list[_Place], index: _Place, moov: _Box) -> None:
    """Write the index where the old one is, and make room for it."""
    data = moov.encode()
    more = len(data) - index.size
    behind = [place for place in places if place.begin >= index.end]
    if behind and behind[0].kind in _FREE and _fits(behind[0].size - more):
        left = behind[0].size - more
        data += box(behind[0].kind, bytes(left - _HEAD)) if left else b""
    elif behind:
        _move_offsets(moov, index.begin, more)
        data = moov.encode()
        _move(file, index.end, more)
    file.seek(index.begin)
    file.write(data)


def _fits(left: int) -> bool:
    return left == 0 or left >= _HEAD


def _move_offsets(moov: _Box, behind: int, more: int) -> None:
    """Let the index find what lies behind it ``more`` bytes later."""
    for kind, layout in ((b"stco", "I"), (b"co64", "Q")):
        for table in moov.find(b"trak", b"mdia", b"minf", b"stbl", kind):
            (count,) = struct.unpack_from(">I", table.data, 4)
            offsets = struct.unpack_from(f">{count}{layout}", table.data, 8)
            moved = [offset + more if offset > behind else offset for offset in offsets]
            if moved and max(moved) > _MOST[kind]:
                raise _ForeignError
            table.data = table.data[:8] + struct.pack(f">{count}{layout}", *moved)


def _move(file: BinaryIO, begin: int, more: int) -> None:
    """Move all from ``begin`` on ``more`` bytes later, the last first."""
    end = file.seek(0, 2)
    while end > begin:
        first = max(begin, end - _BLOCK)
        file.seek(first)
        block = file.read(end - first)
        file.seek(first + more)
        file.write(block)
        end = first
