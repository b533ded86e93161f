"""Reading a finished file back before it gets its name."""

from __future__ import annotations

from fractions import Fraction

import av

from rtstyle.errors import InputError, OutputError
from rtstyle.media.part_file import PartFile
from rtstyle.media.streams import open_container, pick_video

_COARSEST_TICK = Fraction(1, 1000)
"""Matroska counts milliseconds."""


def check_written(
    part: PartFile, *, name: str, frames: int, first: Fraction, last: Fraction
) -> tuple[str, ...]:
    """Compare the file's pictures with what was written: their number, and the times (seconds) of
    the first and the last.

    Returns notes on times that moved. Raises OutputError and keeps the file where it is not whole.
    """
    try:
        with open_container(part.path) as container:
            stream = pick_video(container, name)
            time_base = stream.time_base or _COARSEST_TICK
            found, low, high = 0, 0, 0
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None and not packet.is_discard:
                    low = min(low, packet.pts) if found else packet.pts
                    high = max(high, packet.pts) if found else packet.pts
                    found += 1
    except (InputError, av.FFmpegError) as error:
        part.keep()
        raise OutputError(
            f"{name}: the result cannot be read back ({error}); it is kept as {part.shown}"
        ) from None
    tolerance = max(_COARSEST_TICK, time_base)
    span = (high - low) * time_base
    if found != frames or abs(span - (last - first)) > tolerance:
        part.keep()
        raise OutputError(
            f"{name}: {frames} frames over {float(last - first):.3f} s were written, but "
            f"{found} over {float(span):.3f} s can be read back; it is kept as "
            f"{part.shown}: try another container or codec"
        )
    moved = low * time_base - first
    if abs(moved) > tolerance:
        return (f"the container moved picture and sound by {float(moved):+.3f} s",)
    return ()
