"""Decode, stylize and encode at the same time, from any source into any sink."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from typing import Any, Protocol

import numpy as np

from rtstyle.pipeline.room import QUEUE_DEPTH
from rtstyle.pipeline.stage import StageClosedError, prefetch
from rtstyle.pipeline.stats import Progress, ProgressMeter, StageStats
from rtstyle.types import AnyPixels, Frame


class FrameWriter(Protocol):
    """Takes frames: a FrameSink, or a part of one."""

    def write(self, frame: Frame) -> None:
        """Take one frame; its pts must be greater than the last one's."""
        ...


@dataclass(slots=True)
class ConversionStats:
    """What the three stages did."""

    decode: StageStats = field(default_factory=StageStats)
    stylize: StageStats = field(default_factory=StageStats)
    encode: StageStats = field(default_factory=StageStats)
    shown_until: Fraction = Fraction(0)
    """Seconds of the source's clock at which the last written frame ends."""


def convert(
    source: Iterable[Frame],
    sink: FrameWriter,
    paint: Callable[[Any], AnyPixels],
    *,
    batch: int = 1,
    stats: ConversionStats,
    frames_expected: int | None = None,
    frames_before: int = 0,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> bool:
    """Write every frame of ``source`` into ``sink``, painted; False where ``stop`` ended it early.

    ``paint`` takes and gives uint8 ``(N, H, W, 3)`` RGB, N being ``batch`` but for the last. Where
    it has an attribute ``ahead``, so many frames wait instead of QUEUE_DEPTH: memory is scarce.

    Decoding and painting run in threads of their own. Encoding runs in the calling thread: it is
    the last stage, so Ctrl-C arrives where the sink is held and where the other two are ended,
    and ``progress`` (called once before the first and after each frame) needs no lock. Whatever
    any stage raises is raised here once both threads have ended. Once ``stop`` is set, the frame
    that is being written is the last. The sink is neither finished nor aborted. ``frames_before``
    of those expected were done by an earlier run.
    """
    meter = ProgressMeter(frames_expected, frames_before=frames_before)
    stop = stop or threading.Event()
    ahead: int = getattr(paint, "ahead", QUEUE_DEPTH)
    if progress is not None:
        progress(meter.at(frames_before))
    with (
        prefetch(stats.decode.watch(source), ahead, name="decode", stop=stop) as frames,
        prefetch(
            _painted(frames, paint, stats.stylize, batch), ahead, name="stylize", stop=stop
        ) as painted,
    ):
        try:
            for frame in painted:
                with stats.encode.item():
                    sink.write(frame)
                stats.shown_until = (frame.pts + (frame.duration or 0)) * frame.time_base
                if progress is not None:
                    progress(meter.at(frames_before + stats.encode.items))
        except StageClosedError:
            return False
    return True


def _painted(
    frames: Iterable[Frame], paint: Callable[[Any], AnyPixels], stats: StageStats, batch: int
) -> Iterator[Frame]:
    iterator = iter(frames)
    while group := list(islice(iterator, batch)):
        with stats.item(len(group)):
            painted = paint(np.stack([frame.pixels for frame in group]))
        for frame, pixels in zip(group, painted, strict=True):
            yield replace(frame, pixels=pixels)
