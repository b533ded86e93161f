"""The clock of a file's packets: where it jumps, and one time line for all that lies around.

Recordings put together with ``cat``, broadcasts and tapes start their clock anew in the middle. All
streams change with it, each at a packet of its own. Here it is found once, from the packets of a
whole file, by how much each part has to move so that it follows what lies before it; pictures,
sound, subtitles and whoever compares them then read the same mended times. A part is known by its
place in the file, since its times may have been there before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from rtstyle.media.matroska import is_closed
from rtstyle.media.payload import READ_ERRORS
from rtstyle.media.scan import Joint, Scan
from rtstyle.media.streams import (
    S,
    duration_seconds,
    end_pts,
    is_cover,
    open_container,
    raw_packets,
)

_SCANNED = frozenset({"mpegts", "mpeg", "flv", "matroska", "webm", "asf", "wtv", "nut", "ogg"})
"""Demuxers of files whose packets have times of their own. In others times follow from lengths, or
from the place in the file, and cannot jump."""
_LEAPING = frozenset({"mpegts", "mpeg", "wtv"})
"""Demuxers of broadcasts, whose clocks jump ahead as well as back."""
_CLOSED_PROPERLY = frozenset({"matroska", "webm"})
"""Demuxers of files whose muxers let no clock run back, where they came to their end."""
_QUICKLY_READ = 2**29
"""Bytes up to which a file is read through even so."""
_MOST_KEPT = 16
_OUTSIDE = 10
"""Seconds by which a text may lie before the first picture or sound, or behind the last."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How the times of one file are mended."""

    joints: Mapping[int, tuple[Joint, ...]] = field(default_factory=dict)
    """By the index of a stream; in the order of the file."""
    reference: int | None = None
    """The stream whose changes those follow that are not mended by themselves: subtitles."""
    start: Fraction | None = None
    """Seconds at which the first picture or sound begins; None where nothing jumps."""
    ends: Mapping[int, Fraction] = field(default_factory=dict)
    """Seconds at which each stream ends, as mended."""
    strays: Mapping[int, int] = field(default_factory=dict)
    """Packets of each stream that had a time far off all others."""
    notes: tuple[str, ...] = ()
    """What is to be said of it."""

    @property
    def jumps(self) -> bool:
        """Whether any time is mended: then none tells its place in the file."""
        return bool(self.joints)

    def joints_of(self, index: int) -> tuple[Joint, ...]:
        """Those of a stream."""
        if index in self.joints or index in self.ends or self.reference is None:
            return self.joints.get(index, ())
        return self.joints.get(self.reference, ())


_UNTOUCHED = Clock()


class Mender:
    """Mends the packets of one reading of a file, in its order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[int, Fraction] = {}

    def mend(self, packet: Packet[Stream]) -> None:
        """Move the packet's times to where they belong."""
        joints = self._clock.joints_of(packet.stream_index)
        if not joints:
            return
        ticks = packet.dts if packet.dts is not None else packet.pts
        offset = self._offset(joints, packet, ticks)
        self._last[packet.stream_index] = offset
        moved = round(offset / packet.time_base) if offset else 0
        if packet.pts is not None:
            packet.pts += moved
        if packet.dts is not None:
            packet.dts += moved

    def _offset(
        self, joints: tuple[Joint, ...], packet: Packet[Stream], ticks: int | None
    ) -> Fraction:
        # Of several in one unit of a broadcast only the first says where it lies.
        if packet.pos is None or packet.pos < 0:
            return self._last.get(packet.stream_index, Fraction(0))
        passed = [
            joint
            for joint in joints
            if packet.pos > joint.place
            or (packet.pos == joint.place and (ticks is None or joint.is_passed(ticks)))
        ]
        if packet.stream_index not in self._clock.ends and ticks is not None:
            return self._alike(joints, len(passed), ticks * packet.time_base)
        return passed[-1].offset if passed else Fraction(0)

    def _alike(self, joints: tuple[Joint, ...], passed: int, seconds: Fraction) -> Fraction:
        """The offset of a stream whose own jumps nobody looked for: that of the pictures there, or
        else of those around, with which it lies within the film."""
        clock = self._clock
        assert clock.start is not None
        least, most = clock.start - _OUTSIDE, max(clock.ends.values()) + _OUTSIDE
        offsets = [Fraction(0), *(joint.offset for joint in joints)]
        around = sorted(range(len(offsets)), key=lambda place: abs(place - passed))
        for place in around:
            if least <= seconds + offsets[place] <= most:
                return offsets[place]
        # Some wrap where others do not.
        return (joints[passed - 1].begin if passed else clock.start) - seconds


_known: dict[tuple[str, int, int, int], Clock] = {}
_lock = threading.Lock()


def clock_of(container: InputContainer) -> Clock:
    """That of an open file, which is read through where its clock may jump and it was not yet."""
    name = container.name
    if not name.startswith("file:") or not _SCANNED & {*container.format.name.split(",")}:
        return _UNTOUCHED
    path = Path(name.removeprefix("file:"))
    try:
        status = path.stat()
    except OSError:
        return _UNTOUCHED
    closed_properly = bool(_CLOSED_PROPERLY & {*container.format.name.split(",")})
    if closed_properly and status.st_size > _QUICKLY_READ and is_closed(path):
        return _UNTOUCHED
    key = (str(path), status.st_ino, status.st_size, status.st_mtime_ns)
    with _lock:
        known = _known.get(key)
    if known is None:
        known = _read_through(path)
        with _lock:
            while len(_known) >= _MOST_KEPT:
                del _known[next(iter(_known))]
            _known[key] = known
    return known


def packets_of(
    container: InputContainer, *streams: S, on_late: Callable[[], None] | None = None
) -> Generator[Packet[S], None, None]:
    """As ``raw_packets``, with times on one time line, wherever the file's clock jumps."""
    clock = clock_of(container)
    mender = Mender(clock)
    with closing(raw_packets(container, *streams, on_late=on_late)) as packets:
        for packet in packets:
            if clock.jumps:
                mender.mend(packet)  # type: ignore[arg-type]
            yield packet


def length_of(container: InputContainer, stream: Stream) -> Fraction | None:
    """Seconds that the header says that a stream lasts, or where its clock jumps, that it was found
    to last; None for unknown."""
    clock = clock_of(container)
    if not clock.jumps or clock.start is None or stream.index not in clock.ends:
        return duration_seconds(container, stream)
    return clock.ends[stream.index] - clock.start


def ends_at(container: InputContainer, stream: Stream, start: int | None) -> int | None:
    """As ``end_pts``; None where the clock jumps, since no header knows of that."""
    return end_pts(container, stream, start) if can_seek(container) else None


def can_seek(container: InputContainer) -> bool:
    """Whether a time tells where in the file it is."""
    return not clock_of(container).jumps


def _read_through(path: Path) -> Clock:
    with open_container(path) as container:
        timed = [
            stream
            for stream in container.streams
            if stream.type == "audio" or (stream.type == "video" and not is_cover(stream))
        ]
        if not timed:
            return _UNTOUCHED
        pictures = [stream.index for stream in timed if stream.type == "video"]
        scan = Scan(timed, leaps=bool(_LEAPING & {*container.format.name.split(",")}))
        failures = 0
        while failures < 2:
            try:
                with closing(raw_packets(container, *timed)) as packets:
                    for packet in packets:
                        failures = 0
                        if packet.size:
                            scan.take(packet)
                break
            except READ_ERRORS:
                # As a conversion reads on: the demuxer may find its way again.
                failures += 1
        found = scan.finish()
    return Clock(
        joints=found.joints,
        reference=next((i for i in (*pictures, *found.joints) if i in found.joints), None),
        start=found.start if found.joints else None,
        ends=found.ends,
        strays=found.strays,
        notes=found.notes,
    )
