"""The chapters of a Matroska file as they are stored, since FFmpeg reads only a part of them.

An edition may be ordered: players then show its chapters one after the other, wherever they lie in
the file, some twice and some never, even from other files. There may be several editions (two cuts
in one file), chapters in chapters, and names in several languages. FFmpeg reads one plain list and
leaves out chapters that go back in time. From Matroska into Matroska the stored bytes are carried.
Elements: RFC 9559, section 5.1.7.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rtstyle.media.matroska import Element, children, element, filler, read_number, with_checksum

_EBML, _SEGMENT, _SEEK_HEAD, _CHAPTERS = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1043A770
_INFO, _CLUSTER, _VOID, _CRC = 0x1549A966, 0x1F43B675, 0xEC, 0xBF
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_EDITION, _ORDERED, _ATOM = 0x45B9, 0x45DD, 0xB6
_EDITION_HIDDEN, _HIDDEN, _ENABLED = 0x45BD, 0x98, 0x4598
_OTHER_FILE, _DISPLAY, _LANGUAGE, _LANGUAGE_TAG = 0x6E67, 0x80, 0x437C, 0x437D
_PREVIOUS, _NEXT = 0x3CB923, 0x3EB923
_PLAIN_LANGUAGES = (b"eng", b"und", b"en")
_HEAD = 16
_MOST = 2**22
"""Bytes of chapters that are looked at."""


@dataclass(frozen=True, slots=True)
class Editions:
    """Stored chapters, and what players make of them that a plain list does not say."""

    content: bytes
    """The element's, less checksums and empty space."""
    facts: tuple[str, ...] = ()
    """What players act on."""
    linked: bool = False
    """Whether the file itself names one before or after it."""
    plain: bool = True
    """Whether a plain list says all."""


def read_editions(path: Path) -> Editions | None:
    """The chapters of a file; None for one that is not Matroska or has none that can be read.

    Nothing is raised for a damaged file.
    """
    with suppress(OSError, ValueError, IndexError), path.open("rb") as file:
        places = _find(file)
        linked = _is_linked(_content(file, places[_INFO])) if _INFO in places else False
        content = b""
        if _CHAPTERS in places:
            content = _stripped(_content(file, places[_CHAPTERS]))
        if content or linked:
            return _described(content, linked)
    return None


def store_editions(path: Path, editions: Editions) -> bool:
    """Put chapters in the place of those that a finished file has, which must take as much room
    (``room_for``). False, and nothing changed, where they do not fit. Raises OSError."""
    with path.open("r+b") as file:
        try:
            place = _find(file)[_CHAPTERS]
            old = _content(file, place)
            checked = old[:2] == b"\xbf\x84"
            head = old[:6] if checked else b""
            spare = len(old) - len(head) - len(editions.content)
            if spare < 0 or spare == 1:
                return False
            content = with_checksum(head + editions.content + filler(spare))
        except (KeyError, ValueError, IndexError):
            return False
        file.seek(place.content)
        file.write(content)
    return True


def room_for(editions: Editions) -> str:
    """The title of a single chapter that takes more room than ``editions``."""
    return " " * (len(editions.content) + _HEAD)


def _find(file: BinaryIO) -> dict[int, Element]:
    """Where information and chapters are, by their ids; raises ValueError for another format."""
    end = file.seek(0, os.SEEK_END)
    first = _element_at(file, 0, end)
    if first.id != _EBML:
        raise ValueError("not Matroska")
    segment = _element_at(file, first.end, end)
    if segment.id != _SEGMENT:
        raise ValueError("not Matroska")
    found: dict[int, Element] = {}
    begin = segment.content
    while begin < min(segment.end, end) and not {_INFO, _CHAPTERS} <= found.keys():
        one = _element_at(file, begin, end)
        if one.id == _SEEK_HEAD:
            for name, place in _sought(_content(file, one)):
                if name == _CHAPTERS and segment.content + place < end:
                    sought = _element_at(file, segment.content + place, end)
                    if sought.id == name:
                        found[name] = sought
        if one.id in (_INFO, _CHAPTERS):
            found[one.id] = one
        if one.id == _CLUSTER and _INFO in found and _CHAPTERS in found:
            break
        begin = one.end
    return found


def _element_at(file: BinaryIO, begin: int, end: int) -> Element:
    file.seek(begin)
    head = file.read(_HEAD)
    name, after = read_number(head, 0, with_marker=True)
    length, content = read_number(head, after, with_marker=False)
    if length == 2 ** (7 * (content - after)) - 1:
        # Of unknown length: to the end of all.
        length = end - begin - content
    return Element(name, begin, begin + content, begin + content + length)


def _content(file: BinaryIO, one: Element) -> bytes:
    if one.end - one.content > _MOST:
        raise ValueError("too large")
    file.seek(one.content)
    return file.read(one.end - one.content)


def _sought(data: bytes) -> Iterator[tuple[int, int]]:
    for seek in children(data, 0, len(data)):
        if seek.id != _SEEK:
            continue
        told = {c.id: data[c.content : c.end] for c in children(data, seek.content, seek.end)}
        if _SEEK_ID in told and _SEEK_POSITION in told:
            yield (
                int.from_bytes(told[_SEEK_ID], "big"),
                int.from_bytes(told[_SEEK_POSITION], "big"),
            )


def _stripped(data: bytes) -> bytes:
    """The editions, without what may differ between two files that say the same."""
    return b"".join(
        element(one.id, data[one.content : one.end])
        for one in children(data, 0, len(data))
        if one.id not in (_VOID, _CRC)
    )


def _is_linked(info: bytes) -> bool:
    return any(one.id in (_PREVIOUS, _NEXT) for one in children(info, 0, len(info)))


def _described(content: bytes, linked: bool) -> Editions:
    facts: list[str] = []
    editions = [e for e in children(content, 0, len(content)) if e.id == _EDITION]
    if any(_flag(content, edition, _ORDERED) for edition in editions):
        facts.append("its chapters are ordered, so that players show its parts in their order")
    if len(editions) > 1:
        facts.append(f"it has {len(editions)} editions of chapters to choose from")
    atoms = [atom for edition in editions for atom in _atoms(content, edition)]
    if any(True for atom in atoms for _ in _atoms(content, atom)):
        facts.append("its chapters have chapters of their own")
    if linked or any(_flag(content, atom, _OTHER_FILE) for atom in atoms):
        facts.append("it is linked with other files, which players show as one with it")
    hidden = any(_flag(content, edition, _EDITION_HIDDEN) for edition in editions)
    for atom in atoms:
        hidden |= _flag(content, atom, _HIDDEN) or not _flag(content, atom, _ENABLED, True)
        displays = [c for c in children(content, atom.content, atom.end) if c.id == _DISPLAY]
        hidden |= len(displays) > 1
        hidden |= any(not _is_plain(content, display) for display in displays)
    return Editions(content, tuple(facts), linked, plain=not facts and not hidden)


def _atoms(data: bytes, parent: Element) -> Iterator[Element]:
    return (one for one in children(data, parent.content, parent.end) if one.id == _ATOM)


def _flag(data: bytes, parent: Element, name: int, unsaid: bool = False) -> bool:
    for one in children(data, parent.content, parent.end):
        if one.id == name:
            return any(data[one.content : one.end])
    return unsaid


def _is_plain(data: bytes, display: Element) -> bool:
    said = [
        data[one.content : one.end].rstrip(b"\0")
        for one in children(data, display.content, display.end)
        if one.id in (_LANGUAGE, _LANGUAGE_TAG)
    ]
    return all(language in _PLAIN_LANGUAGES for language in said)
