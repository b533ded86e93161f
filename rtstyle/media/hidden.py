"""What a file holds and shows nobody: what lies outside the edits of an mp4, and places where an
AVI shows the picture before it again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

_LEAD = Fraction(3, 50)
"""Seconds of hidden sound before the first packet that is heard, and the packet that ends there:
what a decoder may need to begin (of the codecs in use, Opus asks for most: 80 ms)."""
_COVERED = Fraction(99, 100)
"""How much of a stream its index must span to be taken for the index of all of it."""
_INDEXED = frozenset({"mov", "avi"})


def count_shown(container: InputContainer, stream: VideoStream) -> tuple[int | None, int]:
    """How many pictures the header promises to show, None where it does not say, and how many more
    the file holds.

    The header's own number counts what is stored (mp4), or ticks of the clock (AVI); the index says
    which of them are pictures to be shown.
    """
    stated = stream.frames or None
    entries = stream.index_entries
    if stated is None or not len(entries) or not _INDEXED & {*container.format.name.split(",")}:
        return stated, 0
    shown, last = 0, 0
    for entry in entries:
        if entry.size and not entry.is_discard:
            shown, last = shown + 1, entry.timestamp
    if container.format.name == "avi":
        # Of a file that was cut short, only what was read so far is indexed.
        return (shown if last + 1 >= stated * _COVERED else stated), 0
    return shown, max(0, stated - shown)


class HiddenSound:
    """Leaves out packets of one stream of sound that a player decodes but lets nobody hear.

    Copied, they would be heard, and would make everything later in a container that cannot hide
    them. Those right before the first that is heard stay: a decoder needs them to begin.
    """

    def __init__(self) -> None:
        self._lead: list[Packet[Any]] = []
        self._begun = False

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """What is to be copied now, in order."""
        if not packet.is_discard:
            self._begun = True
            lead, self._lead = self._lead, []
            yield from (held for held in lead if _gap(held, packet) <= _LEAD)
            yield packet
        elif not self._begun:
            self._lead.append(packet)
            # The first that is heard is later than all of these.
            while _gap(self._lead[0], packet) > _LEAD:
                del self._lead[0]


def _gap(one: Packet[Any], other: Packet[Any]) -> Fraction:
    """Seconds from the end of one packet to the beginning of another; 0 where unknown."""
    if one.pts is None or other.pts is None:
        return Fraction(0)
    return (other.pts - one.pts - (one.duration or 0)) * one.time_base
