"""Measures of a run, in memory that does not grow with its length."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

Clock = Callable[[], float]


class Latencies:
    """A histogram of durations with bins 2 % wide, from 1 microsecond to 3 hours."""

    _LEAST = 1e-6
    _GROWTH = math.log(1.02)
    _BINS = 1170

    def __init__(self) -> None:
        self._counts = [0] * self._BINS
        self._total = 0
        self._most = 0.0

    def __len__(self) -> int:
        return self._total

    def add(self, seconds: float) -> None:
        """Count one duration in seconds."""
        place = math.log(max(seconds, self._LEAST) / self._LEAST) / self._GROWTH
        self._counts[min(int(place), self._BINS - 1)] += 1
        self._total += 1
        self._most = max(self._most, seconds)

    def percentile(self, share: float) -> float:
        """Seconds that ``share`` (0..1) of the durations do not exceed, to 1 %; 0 without any."""
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share must be in 0..1, got {share}")
        wanted = max(1, math.ceil(share * self._total))
        seen = 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                middle = self._LEAST * math.exp((place + 0.5) * self._GROWTH)
                return min(middle, self._most)
        return 0.0


@dataclass(slots=True)
class StageStats:
    """One stage's count and busy time. Written by that stage's thread alone."""

    clock: Clock = time.perf_counter
    items: int = 0
    busy_seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Add what the body takes to the busy time, also where it raises."""
        began = self.clock()
        try:
            yield
        finally:
            self.busy_seconds += self.clock() - began

    @contextmanager
    def item(self, count: int = 1) -> Iterator[None]:
        """Like busy(), and count ``count`` items, done together, unless the body raises."""
        began = self.clock()
        try:
            yield
        except BaseException:
            self.busy_seconds += self.clock() - began
            raise
        took = self.clock() - began
        self.busy_seconds += took
        self.items += count
        self.latencies.add(took)

    def watch(self, upstream: Iterable[T]) -> Iterator[T]:
        """Pass ``upstream`` on, measuring the time spent in it."""
        with self.busy():
            iterator = iter(upstream)
        try:
            while True:
                began = self.clock()
                try:
                    value = next(iterator)
                except StopIteration:
                    return
                finally:
                    self.busy_seconds += self.clock() - began
                self.items += 1
                yield value
        finally:
            if isinstance(iterator, Generator):
                iterator.close()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a conversion is."""

    frames_done: int
    """Frames that the encoder has taken, in this run or in the one that it resumes."""
    frames_expected: int | None
    """From the header, so it may be wrong; None where the header does not say."""
    seconds: float
    """Wall clock since the first read."""
    fps: float
    """Frames a second of late; 0 before the first frame."""
    eta_seconds: float | None
    """Seconds that are left at this speed; None where that is unknown."""


class ProgressMeter:
    """Makes Progress out of a count, with a speed averaged over about the last ten seconds."""

    _WINDOW_SECONDS = 10.0

    def __init__(
        self,
        frames_expected: int | None,
        *,
        frames_before: int = 0,
        clock: Clock = time.perf_counter,
    ) -> None:
        """``frames_before`` were done before the clock starts, and are no part of the speed."""
        self._expected = frames_expected
        self._clock = clock
        self._began = clock()
        # Two marks, the older at most one window before the younger: bounded, and close enough.
        self._older = self._younger = (0.0, frames_before)

    def at(self, frames_done: int) -> Progress:
        """The progress now that ``frames_done`` frames are written."""
        seconds = self._clock() - self._began
        if seconds - self._younger[0] >= self._WINDOW_SECONDS / 2:
            self._older, self._younger = self._younger, (seconds, frames_done)
        span, frames = seconds - self._older[0], frames_done - self._older[1]
        fps = frames / span if span > 0 and frames > 0 else 0.0
        eta = None
        if self._expected is not None and fps > 0:
            eta = max(0, self._expected - frames_done) / fps
        return Progress(frames_done, self._expected, seconds, fps, eta)
