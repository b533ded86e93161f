"""Matroska files with thousands of tags, opened without all of them.

FFmpeg looks for each tag among all that it has read before, so that 20,000 of them take seconds
every time a file is opened, and a conversion opens its files some twenty times. Where there are so
many, a file is shown to FFmpeg with its tags covered up: an element that is marked as void in its
place is passed over (RFC 9559, section 5.1.8.1.2; RFC 8794, section 11.3.2). All of them are read
once, some thousand at a time, and kept for as long as the file stays as it is.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rtstyle.media.matroska import Element, children, read_number

_HEADER, _SEGMENT, _SEEK_HEAD, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1F43B675
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_TAGS, _TAG, _SIMPLE, _NAME = 0x1254C367, 0x7373, 0x67C8, 0x45A3
_VOID = 0xEC
_MAGIC = _HEADER.to_bytes(4, "big")
_HEAD = 16
"""Bytes of an element's id and length, at most 12."""
_FEW = 500
"""Tags that cost no time."""
_AT_ONCE = 2000
_MOST_BYTES = 2**26
_MOST_ELEMENTS = 1000
"""Elements before the first pictures that are looked at."""
_STAYS = frozenset(
    (b"DURATION", b"LANGUAGE", b"TITLE", b"NAME", b"TIMECODE", b"ALPHA_MODE", b"STEREO_MODE")
)
"""What is asked of a stream, beside all of its tags."""

Version = tuple[int, int, int, int, int]
"""What tells a file from another and from itself after a change."""


@dataclass(frozen=True, slots=True)
class Span:
    """The place of one tag in a file."""

    begin: int
    end: int
    stays: bool


def crowd_of(path: Path) -> tuple[Span, ...]:
    """The tags of a Matroska file with very many of them; none for any other file, also for one
    that is not built as they should be."""
    try:
        status = os.stat(path)
        return _crowd(os.path.realpath(path), version_of(status))
    except OSError:
        return ()


def version_of(status: os.stat_result) -> Version:
    """Equal for two looks at a file that did not change."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


@functools.lru_cache(maxsize=16)
def _crowd(path: str, version: Version) -> tuple[Span, ...]:
    """Raises OSError."""
    found: list[Span] = []
    with open(path, "rb") as file:
        if file.read(4) != _MAGIC:
            return ()
        try:
            for begin, end in _tag_places(file, version[2]):
                if end - begin > _MOST_BYTES:
                    return ()
                found += _spans(file, begin, end)
        except (IndexError, ValueError):
            return ()
    return tuple(found) if len(found) > _FEW else ()


def _tag_places(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Content of every element of tags: those before the pictures, and those that the file's own
    index of its parts names."""
    header = _element(file, 0, size)
    segment = _element(file, header.end, size)
    if header.id != _HEADER or segment.id != _SEGMENT:
        return
    seen: set[int] = set()
    named: list[int] = []
    place = segment.content
    for _ in range(_MOST_ELEMENTS):
        if place >= size:
            break
        found = _element(file, place, size)
        if found.id == _CLUSTER:
            break
        if found.id == _TAGS:
            seen.add(place)
            yield found.content, found.end
        elif found.id == _SEEK_HEAD:
            named += [segment.content + at for at in _named(file, found)]
        place = found.end
    for place in named:
        if place not in seen and place < size:
            seen.add(place)
            found = _element(file, place, size)
            if found.id == _TAGS:
                yield found.content, found.end


def _element(file: BinaryIO, place: int, size: int) -> Element:
    """The element at ``place``; one of unknown length goes on to the end of the file."""
    file.seek(place)
    head = file.read(_HEAD)
    name, after = read_number(head, 0, with_marker=True)
    length, content = read_number(head, after, with_marker=False)
    unknown = length == 2 ** (7 * (content - after)) - 1
    end = size if unknown else min(size, place + content + length)
    return Element(name, place, place + content, end)


def _named(file: BinaryIO, index: Element) -> Iterator[int]:
    """Where the index says that tags are, counted from the segment's content."""
    file.seek(index.content)
    data = file.read(min(index.end - index.content, 2**16))
    for seek in children(data, 0, len(data)):
        inside = {one.id: data[one.content : one.end] for one in _within(data, seek)}
        if seek.id == _SEEK and inside.get(_SEEK_ID) == _TAGS.to_bytes(4, "big"):
            yield int.from_bytes(inside.get(_SEEK_POSITION, b""), "big")


def _spans(file: BinaryIO, begin: int, end: int) -> Iterator[Span]:
    file.seek(begin)
    data = file.read(end - begin)
    for tag in children(data, 0, len(data)):
        if tag.id != _TAG:
            continue
        for one in _within(data, tag):
            if one.end > tag.end or tag.end > len(data):
                raise ValueError("an element that goes on behind the one it is in")
            if one.id == _SIMPLE:
                name = next((c for c in _within(data, one) if c.id == _NAME), None)
                said = b"" if name is None else data[name.content : name.end].rstrip(b"\0").upper()
                yield Span(begin + one.begin, begin + one.end, said in _STAYS)


def _within(data: bytes, element: Element) -> Iterator[Element]:
    return children(data, element.content, element.end)


def covered(path: Path, spans: Sequence[Span]) -> Covered:
    """The file without those of its tags that nothing but ``portions`` is asked for."""
    return Covered(path, [span for span in spans if not span.stays])


def portions(path: Path, spans: Sequence[Span]) -> Iterator[Covered]:
    """The file again and again, each time with some other of its tags, in their order."""
    for first in range(0, len(spans), _AT_ONCE):
        shown = range(first, first + _AT_ONCE)
        yield Covered(path, [span for at, span in enumerate(spans) if at not in shown])


@dataclass(slots=True)
class _Patches:
    """Bytes that are read in the place of others, by where they begin."""

    data: dict[int, bytes] = field(default_factory=dict)

    def cover(self, spans: Iterable[Span]) -> None:
        """Make one void element of each run of neighbours."""
        begin = end = -1
        for span in sorted(spans, key=lambda span: span.begin):
            if span.begin != end:
                self._void(begin, end)
                begin = span.begin
            end = span.end
        self._void(begin, end)

    def _void(self, begin: int, end: int) -> None:
        whole = end - begin
        if whole >= 9:
            self.data[begin] = bytes([_VOID]) + (whole - 9 | 1 << 56).to_bytes(8, "big")
        elif whole >= 2:
            self.data[begin] = bytes([_VOID, whole - 2 | 0x80])


class Covered(io.RawIOBase):
    """A file for FFmpeg to read in which some tags are marked as void; it is never written."""

    def __init__(self, path: Path, spans: Iterable[Span]) -> None:
        """Raises OSError."""
        super().__init__()
        self._descriptor = -1
        self._place = 0
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags)
        self._size = os.fstat(self._descriptor).st_size
        self.name = f"file:{os.path.abspath(path)}"
        """As FFmpeg calls a file that it opens itself."""
        patches = _Patches()
        patches.cover(spans)
        self._patches = sorted(patches.data.items())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; what FFmpeg asks for."""
        os.lseek(self._descriptor, self._place, os.SEEK_SET)
        data = os.read(self._descriptor, self._size if size < 0 else size)
        data = self._patched(data)
        self._place += len(data)
        return data

    def _patched(self, data: bytes) -> bytes:
        begin, end = self._place, self._place + len(data)
        if not self._patches or end <= self._patches[0][0] or begin > self._patches[-1][0] + _HEAD:
            return data
        new = bytearray(data)
        for at, patch in self._patches:
            first, last = max(at, begin), min(at + len(patch), end)
            if first < last:
                new[first - begin : last - begin] = patch[first - at : last - at]
        return bytes(new)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()
