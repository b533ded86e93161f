"""Streams of two files side by side, beside their pictures: packet for packet, in one pass."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from rtstyle.media.clock import can_seek, packets_of
from rtstyle.media.hidden import HiddenSound
from rtstyle.media.payload import READ_ERRORS, Piece, pieces_of
from rtstyle.media.streams import open_container, packet_seconds
from rtstyle.media.stretch import Window
from rtstyle.media.tally import Extents, Tally

COPIED, RETIMED, ENCODED, ABSENT = "copied", "retimed", "encoded", "absent"
"""How a stream is compared: by content and times; by the time that it fills, where its text is
stored in another form, where it is encoded anew, and where it has no counterpart."""

_MARGIN = Fraction(120)
"""Seconds before a range from which on packets are read; twice what a conversion takes."""
_SHOWN_BEFORE = Fraction(50)
"""Seconds before a range in which a conversion looks for texts that are shown in it, at the
least."""
_STRAGGLING = Fraction(10)
"""Seconds by which packets of two streams may lie in the wrong order in a file."""


class Strand(NamedTuple):
    """A stream of the input and its counterpart, by their indices, and how they are compared."""

    mine: int
    theirs: int | None
    how: str
    spare: int = 0
    """Packets that the output may lack."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All streams compared."""

    tallies: Mapping[int, Tally]
    """By the stream's index in the input: those compared packet by packet."""
    extents: Mapping[int, Extents]
    """The same of those compared by time."""
    unread: tuple[str, ...]
    """One sentence per file that could not be read to its end."""
    starts: tuple[Fraction, ...]
    """When each of the input's streams begins, in seconds of its clock."""


def compare_packets(
    input: Path, output: Path, strands: Iterable[Strand], window: Window | None = None
) -> Comparison:
    """Compare streams with their counterparts; of the input only what lies in the ``window``.

    What containers add to a packet is taken off: ADTS headers of AAC, empty subtitles that fill a
    gap, and the cuts between packets of PCM.
    """
    strands = tuple(strands)
    by_time = (RETIMED, ENCODED, ABSENT)
    tallies = {s.mine: Tally(spare=s.spare) for s in strands if s.how not in by_time}
    extents = {s.mine: Extents() for s in strands if s.how in by_time}
    if not strands:
        return Comparison(tallies, extents, (), ())
    by_input: dict[int, Tally | Extents] = {**tallies, **extents}
    by_output = {s.theirs: by_input[s.mine] for s in strands if s.theirs is not None}
    ways = (
        {s.mine: s.how for s in strands},
        {s.theirs: s.how for s in strands if s.theirs is not None},
    )
    unread: list[str] = []
    with (
        closing(_read(input, ways[0], "input", unread, window or Window())) as mine,
        closing(_read(output, ways[1], "output", unread, Window())) as theirs,
    ):
        one, other = next(mine, None), next(theirs, None)
        # The file that is behind in time reads on, so that little has to wait.
        while one is not None or other is not None:
            if other is None or (one is not None and one.reached <= other.reached):
                assert one is not None
                by_input[one.stream].take(0, one.piece)
                one = next(mine, None)
            else:
                by_output[other.stream].take(1, other.piece)
                other = next(theirs, None)
    for compared in by_input.values():
        compared.end()
    starts = [t.input_starts for t in tallies.values()] + [e.mine.begins for e in extents.values()]
    return Comparison(
        tallies, extents, tuple(unread), tuple(start for start in starts if start is not None)
    )


class _Read(NamedTuple):
    stream: int
    piece: Piece
    reached: Fraction
    """Seconds from the first piece of the file."""


def _read(
    path: Path, ways: Mapping[int, str], which: str, unread: list[str], window: Window
) -> Generator[_Read, None, None]:
    if not ways:
        return
    with open_container(path) as container:
        streams = [stream for stream in container.streams if stream.index in ways]
        for stream in container.streams:
            if stream.index not in ways:
                stream.discard = Discard.all
        makers = {s.index: pieces_of(s, hashed=ways[s.index] == COPIED) for s in streams}
        within = _Within(streams, ways, window)
        sounds = [s.index for s in streams if s.type == "audio" and ways[s.index] == COPIED]
        heard = {index: HiddenSound() for index in sounds}
        start: Fraction | None = None
        reached = Fraction(0)
        with closing(_packets(container, streams, which, unread, window.begin)) as packets:
            for packet in packets:
                index, seconds = packet.stream_index, packet_seconds(packet)
                if within.is_over(packet, seconds):
                    break
                hidden = packet.is_discard and ways[index] in (ENCODED, ABSENT)
                if hidden or not within.has(packet, seconds):
                    continue
                for kept in heard[index].take(packet) if index in heard else (packet,):
                    seconds = packet_seconds(kept)
                    if seconds is not None and kept.stream.type != "audio":
                        # What is shown already when the window opens is shown from then on.
                        seconds = max(seconds, window.begin or seconds)
                    if seconds is not None:
                        start = seconds if start is None else start
                        reached = max(reached, seconds - start)
                    optional = within.is_optional(kept)
                    for piece in makers[index].feed(kept, seconds, optional=optional):
                        yield _Read(index, within.cut(piece), reached)
        for index, maker in makers.items():
            for piece in maker.finish():
                yield _Read(index, piece, reached)


def _packets(
    container: InputContainer,
    streams: list[Stream],
    which: str,
    unread: list[str],
    begin: Fraction | None,
) -> Generator[Packet[Stream], None, None]:
    """All that have content; from a place well before ``begin`` on where that can be found."""
    far = begin is not None and begin > 2 * _MARGIN and can_seek(container)
    if begin is not None and far and _lands_early(container, streams, begin):
        container.seek(int((begin - _MARGIN) * av.time_base))
    failures = 0
    while failures < 2:
        try:
            with closing(packets_of(container, *streams)) as packets:
                for packet in packets:
                    failures = 0
                    if packet.size:
                        yield packet
            return
        except READ_ERRORS as error:
            # As a conversion reads on: the demuxer may find its way again.
            failures += 1
            reason = getattr(error, "strerror", None) or str(error)
            unread.append(f"the {which} could not be read to its end ({reason})")


def _lands_early(container: InputContainer, streams: list[Stream], begin: Fraction) -> bool:
    """Whether a seek finds a place well before ``begin``: some demuxers land behind it."""
    indices = [stream.index for stream in streams]
    with open_container(container.name.removeprefix("file:")) as probe:
        wanted = [probe.streams[index] for index in indices]
        for stream in probe.streams:
            if stream.index not in indices:
                stream.discard = Discard.all
        try:
            probe.seek(int((begin - _MARGIN) * av.time_base))
            with closing(packets_of(probe, *wanted)) as packets:
                first = next((packet_seconds(packet) for packet in packets if packet.size), None)
        except READ_ERRORS:
            return False
    return first is not None and first <= begin - _MARGIN / 2


class _Within:
    """Which packets of the input lie in a window, as a conversion takes them."""

    def __init__(self, streams: list[Stream], ways: Mapping[int, str], window: Window) -> None:
        self._window = window
        self._encoded = {index for index, how in ways.items() if how == ENCODED}
        self._sounds = {stream.index for stream in streams if stream.type == "audio"}
        self._all = {stream.index for stream in streams}
        self._done: set[int] = set()

    def is_over(self, packet: Packet[Stream], seconds: Fraction | None) -> bool:
        """Whether nothing in the window can follow."""
        end = self._window.end
        if end is None or seconds is None or seconds < end:
            return False
        self._done.add(packet.stream_index)
        if self._done >= self._all:
            return True
        late = packet.stream_index in self._sounds and seconds >= end + _STRAGGLING
        return late and self._done >= self._sounds

    def has(self, packet: Packet[Stream], seconds: Fraction | None) -> bool:
        """Whether the output should have the packet, or may have it."""
        begin, end = self._window.begin, self._window.end
        if packet.stream_index in self._done:
            return False
        if seconds is None:
            return True
        if end is not None and seconds >= end:
            return False
        if begin is None or seconds >= begin:
            return True
        if packet.stream.type == "audio" and packet.stream_index not in self._encoded:
            return False
        ends = seconds + (packet.duration or 0) * packet.time_base
        return ends > begin or not packet.duration

    def is_optional(self, packet: Packet[Stream]) -> bool:
        """Whether it begins so long before the window that a conversion need not have found it, or
        does not say whether it is still shown."""
        seconds, begin = packet_seconds(packet), self._window.begin
        if seconds is None or begin is None or seconds >= begin:
            return False
        return begin - seconds > _SHOWN_BEFORE or not packet.duration

    def cut(self, piece: Piece) -> Piece:
        """The piece less what of its time lies outside of the window."""
        begin, end = self._window.begin, self._window.end
        if piece.seconds is None or (begin is None and end is None):
            return piece
        first = max(piece.seconds, begin or piece.seconds)
        last = piece.seconds + piece.duration
        last = last if end is None else min(last, end)
        return piece._replace(seconds=first, duration=max(Fraction(0), last - first))
