"""Finds where the clock of a file's packets jumps, from all of them in the file's order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from rtstyle.media.streams import rate_of

_BACK = 0.2
"""Seconds; a stream whose decoding goes back by more has a new clock, or had a wrong time."""
_MOST_REORDERED = 16
"""Pictures that may be stored before one that is shown before them."""
_AHEAD = 10.0
"""Seconds; where a clock may jump ahead, and no stream fills the time, it has by more than this."""
_FAR_AHEAD = 6 * 3600.0
"""The same where clocks need not jump: mp4 holds no pause of seven hours."""
_LEAP = 1.0
"""Seconds; after a step ahead by more, a step back to where the stream would be undoes it."""
_DUE = 0.3
"""Seconds by which that place may be missed."""
_NEAR = 10.0
"""Seconds between streams that count on the same clock, as they lie in a file."""
_PAUSE = 600.0
"""Seconds without picture or sound that are worth a word."""


@dataclass(frozen=True, slots=True)
class Joint:
    """From a packet on a stream counts on another clock."""

    place: int
    """Byte of the file at which the packet, or what it is part of, begins."""
    last: int
    """Ticks of the packet before it, as the file has them."""
    first: int
    """Ticks of the packet, as the file has them."""
    offset: Fraction
    """Seconds to be added to all times from there on."""
    begin: Fraction = Fraction(0)
    """Seconds at which what follows begins, as mended."""

    def is_passed(self, ticks: int) -> bool:
        """Whether a packet of the same place is behind it."""
        return abs(ticks - self.first) < abs(ticks - self.last)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a scan."""

    joints: Mapping[int, tuple[Joint, ...]]
    start: Fraction | None
    ends: Mapping[int, Fraction]
    strays: Mapping[int, int]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Part:
    """Packets of a stream that follow each other on one clock."""

    clock: int
    place: int
    before: int
    """Ticks of the packet before the part."""
    first: int
    """Ticks of its first packet."""
    begin: int = 0
    """Ticks at which it is first seen or heard."""
    end: int = 0
    """Ticks at which it ends."""
    packets: int = 0
    undone: bool = False
    """Whether the stream went back to the clock before it."""

    def add(self, shown: int, ends: int) -> None:
        """Another packet, seen or heard between these ticks."""
        self.begin = min(self.begin, shown) if self.packets else shown
        self.end = max(self.end, ends) if self.packets else ends
        self.packets += 1


@dataclass(slots=True)
class _Track:
    """One stream."""

    tick: Fraction
    step: int
    """Ticks that a packet lasts which does not say so."""
    is_sound: bool
    parts: list[_Part] = field(default_factory=list)
    last: int = 0
    dts: int | None = None
    pts: int = 0
    """Those of the packet before; ``last`` is the one that is compared first."""
    place: int = -1

    def begin(self, clock: int, ticks: int) -> None:
        """Let a part begin with a packet at ``ticks``, which is still to be added to it."""
        if len(self.parts) > 1:
            before, last = self.parts[-2:]
            if before.clock == last.clock and not before.undone and not last.undone:
                # No step back can undo what lies before the last part.
                before.end, before.packets = last.end, before.packets + last.packets
                self.parts.pop()
        self.parts.append(_Part(clock, self.place, self.last, ticks))

    def moves(self, offsets: Sequence[Fraction]) -> Iterator[tuple[_Part, Fraction]]:
        """Every part and the seconds to be added to its times, ``offsets`` being those of the
        clocks."""
        before: _Part | None = None
        moved = Fraction(0)
        for part in self.parts:
            offset = offsets[part.clock]
            if part.undone and before is not None and before.clock == part.clock:
                offset = moved + (before.end - part.begin) * self.tick
            yield part, offset
            before, moved = part, offset

    def gap_before(self, clock: int, offsets: Sequence[Fraction]) -> Fraction | None:
        """Seconds by which the clock must be moved to follow what this track had before it; None
        where it never changes to it."""
        for before, part in pairwise(self.parts):
            if part.clock == clock and before.clock < clock:
                return offsets[before.clock] + (before.end - part.begin) * self.tick
        return None

    def step_to(self, packet: Packet[Stream]) -> float:
        """Seconds from the packet before to this one; 0 for a step back that means nothing."""
        if packet.dts is not None and self.dts is not None:
            step, slack = self.seconds(packet.dts - self.dts), _BACK
        else:
            # Only when they are shown is said, and pictures may lie out of order.
            shown = packet.pts if packet.pts is not None else packet.dts
            step = self.seconds((shown or 0) - self.pts)
            slack = _BACK + self.seconds(_MOST_REORDERED * self.step)
        return step if step > 0 or step < -slack else 0.0

    def seconds(self, ticks: int) -> float:
        return float(ticks * self.tick)


class Scan:
    """Takes the packets of pictures and sound one after another."""

    def __init__(self, streams: Iterable[Stream], *, leaps: bool) -> None:
        """``leaps``: whether a clock of this kind of file that runs ahead has jumped, where in
        others nothing is to be seen or heard for as long."""
        self._leaps = leaps
        self._tracks = {stream.index: _track_of(stream) for stream in streams}
        self._reached: list[float] = [-math.inf]
        """Seconds that each clock has come to, as the file has them."""
        self._pause = (0.0, 0.0)

    def take(self, packet: Packet[Stream]) -> None:
        """The next packet of the file that has content."""
        track = self._tracks[packet.stream_index]
        ticks = packet.dts if packet.dts is not None else packet.pts
        if ticks is None:
            return
        if packet.pos is not None and packet.pos >= 0:
            track.place = packet.pos
        if not track.parts:
            track.begin(self._clock_for(track.seconds(ticks), 0), ticks)
        else:
            self._follow(track, packet, ticks)
        shown = packet.pts if packet.pts is not None else ticks
        part = track.parts[-1]
        part.add(shown, shown + (packet.duration or track.step))
        track.last, track.dts, track.pts = ticks, packet.dts, shown
        clock = part.clock
        self._reached[clock] = max(self._reached[clock], track.seconds(ticks))

    def _follow(self, track: _Track, packet: Packet[Stream], ticks: int) -> None:
        """Settle whether the track's clock jumps to ``ticks``."""
        step, clock = track.step_to(packet), track.parts[-1].clock
        if 0 <= step <= _LEAP:
            return
        if self._is_back(track, step, ticks):
            track.parts[-1].undone = True
            if self._pause[1] == track.seconds(track.parts[-1].first):
                self._pause = (0.0, 0.0)
            track.begin(track.parts[-2].clock, ticks)
        elif step < 0 or self._is_ahead(track, ticks):
            newest = max(part.clock for part in track.parts)
            track.begin(self._clock_for(track.seconds(ticks), newest + 1), ticks)
        else:
            # The same clock, unless a step back shows that it was not.
            self._note_pause(clock, track.seconds(ticks))
            track.begin(clock, ticks)

    def _is_back(self, track: _Track, step: float, ticks: int) -> bool:
        """Whether a step leads a track to where it would be without its last part."""
        if len(track.parts) < 2:
            return False
        before, part = track.parts[-2:]
        due = before.end + part.end - part.begin
        opposite = (step < 0) != (part.first < part.before)
        return opposite and abs(track.seconds(ticks - due)) <= _DUE

    def _is_ahead(self, track: _Track, ticks: int) -> bool:
        if not self._leaps and len(self._tracks) < 2:
            # One picture may stand as long as somebody wants.
            return False
        reached = max(self._reached[track.parts[-1].clock], track.seconds(track.last))
        return track.seconds(ticks) - reached > (_AHEAD if self._leaps else _FAR_AHEAD)

    def _clock_for(self, seconds: float, least: int) -> int:
        """The first clock from ``least`` on that is near, or else a new one; the newest of all for
        a stream that begins."""
        if least == 0:
            return len(self._reached) - 1
        for clock in range(least, len(self._reached)):
            if abs(seconds - self._reached[clock]) <= _NEAR:
                return clock
        self._reached.append(seconds)
        return len(self._reached) - 1

    def _note_pause(self, clock: int, seconds: float) -> None:
        reached = self._reached[clock]
        if seconds - reached > max(_PAUSE, self._pause[1] - self._pause[0]):
            self._pause = reached, seconds

    def finish(self) -> Found:
        """What is to be mended."""
        offsets = self._offsets()
        joints: dict[int, tuple[Joint, ...]] = {}
        ends: dict[int, Fraction] = {}
        strays: dict[int, int] = {}
        starts = []
        for index, track in self._tracks.items():
            moves = list(track.moves(offsets))
            if not moves:
                continue
            joints[index] = tuple(
                Joint(part.place, part.before, part.first, offset, part.begin * track.tick + offset)
                for (part, offset), (_, last) in zip(moves, [(None, 0), *moves], strict=False)
                if offset != last
            )
            starts.append(moves[0][0].begin * track.tick + moves[0][1])
            ends[index] = max(part.end * track.tick + offset for part, offset in moves)
            strays[index] = sum(part.packets for part in track.parts if self._is_stray(part))
        start = min(starts, default=None)
        found = {index: those for index, those in joints.items() if those}
        return Found(found, start, ends, strays, self._notes(found, start, strays))

    def _offsets(self) -> list[Fraction]:
        """Seconds by which each clock has to be moved, so that it begins when all that was on the
        one before it has ended."""
        coarsest = max(track.tick for track in self._tracks.values())
        offsets = [Fraction(0)]
        for clock in range(1, len(self._reached)):
            gaps = (track.gap_before(clock, offsets) for track in self._tracks.values())
            wanted = max((gap for gap in gaps if gap is not None), default=Fraction(0))
            offsets.append(math.ceil(wanted / coarsest) * coarsest)
        return offsets

    def _is_stray(self, part: _Part) -> bool:
        """Whether a single stream had wrong times for a while."""
        sharing = [t for t in self._tracks.values() if any(p.clock == part.clock for p in t.parts)]
        return part.undone and (part.clock == 0 or len(sharing) == 1)

    def _notes(
        self,
        joints: Mapping[int, tuple[Joint, ...]],
        start: Fraction | None,
        strays: Mapping[int, int],
    ) -> tuple[str, ...]:
        notes = []
        begins = [
            (joint.begin, part.clock)
            for index, track in self._tracks.items()
            for joint, part in _changes(joints.get(index, ()), track)
            if part.clock and not self._is_stray(part)
        ]
        if begins:
            places = len({clock for _, clock in begins})
            after = float(min(begins)[0] - (start or 0))
            notes.append(
                f"the source's clock jumps ({places} time{'s' if places > 1 else ''}, first after "
                f"{after:.3f} s); what follows was put right behind what lies before it, pictures "
                "and sound alike"
            )
        sounds = sum(strays[index] for index in strays if self._tracks[index].is_sound)
        if sounds:
            notes.append(
                f"{sounds} sound packet(s) had a time far off all others and were put in line"
            )
        if self._pause[1] > self._pause[0] and not begins:
            notes.append(
                f"nothing is to be seen or heard between {self._pause[0]:.3f} s and "
                f"{self._pause[1]:.3f} s of the source's clock; that pause was kept"
            )
        return tuple(notes)


def _changes(joints: Sequence[Joint], track: _Track) -> Iterator[tuple[Joint, _Part]]:
    """The joints of a track with the parts that begin there."""
    parts = {(part.place, part.first): part for part in track.parts}
    for joint in joints:
        yield joint, parts[joint.place, joint.first]


def _track_of(stream: Stream) -> _Track:
    tick = stream.time_base or Fraction(1, 1000)
    usual = Fraction(0)
    if isinstance(stream, VideoStream):
        usual = 1 / (rate_of(stream) or Fraction(25))
    return _Track(tick, max(1, round(usual / tick)), stream.type == "audio")
