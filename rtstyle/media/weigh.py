"""What a file holds, found by reading its packets; nothing is decoded."""

from __future__ import annotations

import contextlib
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from rtstyle.media.clock import can_seek, packets_of
from rtstyle.media.streams import has_length, open_container, pick_video, rate_of, shown

_BEFORE_END = Fraction(5)
_LAST_PACKET = Fraction(1, 5)
"""Seconds that a last packet may last without saying so."""


@dataclass(frozen=True, slots=True)
class Weight:
    """How many bytes of a film go where."""

    first: int
    """Bytes of its first picture, which leans on no other."""
    others: int
    """Bytes of the pictures after it."""
    pictures: int
    rest: int
    """Bytes of the other streams."""
    container: int
    """Bytes of the file that are in no stream."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a film is by its content, whatever its header says."""

    frames: int
    seconds: Fraction


def weigh(path: Path) -> Weight:
    """Weigh a whole file; raises NotAVideo and NoVideoStream."""
    first, others, pictures, rest = 0, 0, 0, 0
    with open_container(path) as container:
        stream = pick_video(container, shown(path))
        with closing(packets_of(container, *container.streams)) as packets:
            for packet in packets:
                if packet.stream_index != stream.index:
                    rest += packet.size
                elif packet.size and pictures == 0:
                    first, pictures = packet.size, 1
                elif packet.size:
                    others, pictures = others + packet.size, pictures + 1
    inside = first + others + rest
    return Weight(first, others, pictures, rest, max(0, path.stat().st_size - inside))


def measure_extent(path: Path) -> Extent:
    """Count the pictures and the seconds they last, up to where the file can be read.

    For files whose header says neither. Raises NotAVideo and NoVideoStream.
    """
    frames, low, high = 0, None, 0
    with open_container(path) as container:
        stream = pick_video(container, shown(path))
        time_base = stream.time_base or Fraction(1, 1000)
        rate = rate_of(stream) or Fraction(25)
        step = max(1, round(1 / (time_base * rate)))
        # What can be read of a damaged file is what a conversion will see of it too.
        with (
            contextlib.suppress(av.FFmpegError),
            closing(packets_of(container, stream)) as packets,
        ):
            for packet in packets:
                if not packet.size or packet.is_discard:
                    continue
                frames += 1
                if packet.pts is not None:
                    low = packet.pts if low is None else min(low, packet.pts)
                    high = max(high, packet.pts + (packet.duration or step))
    timed = low is not None and high > low
    seconds = (high - (low or 0)) * time_base if timed else frames / rate
    return Extent(frames, Fraction(seconds))


def ends_in_sound(path: Path) -> bool:
    """Whether a file can be read to the end that its header promises, which is not said of the
    pictures but of the whole: then its pictures end before its sound, and nothing was cut off.

    Raises NotAVideo and NoVideoStream.
    """
    with open_container(path) as container:
        stream = pick_video(container, shown(path))
        if container.duration is None or has_length(stream) or not can_seek(container):
            return False
        promised = Fraction(container.duration, av.time_base)
        try:
            container.seek(max(0, int((promised - _BEFORE_END) * av.time_base)))
            with closing(packets_of(container, *container.streams)) as packets:
                for packet in packets:
                    if packet.pts is None or not packet.size:
                        continue
                    ends = (packet.pts + (packet.duration or 0)) * packet.time_base
                    if ends >= promised - _LAST_PACKET:
                        return True
        except av.FFmpegError:
            return False
    return False
