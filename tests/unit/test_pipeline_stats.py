"""The measures: percentiles within their promise, bounded, and true busy times."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from rtstyle.pipeline import Latencies, ProgressMeter, StageStats


def ticking(*times: float) -> Callable[[], float]:
    """A clock that reads each of ``times`` once."""
    left = iter(times)
    return lambda: next(left)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95, 1.0])
def test_percentiles_agree_with_numpy_to_one_per_cent(share: float) -> None:
    durations = np.random.default_rng(1).lognormal(mean=-3.0, sigma=1.0, size=2000)
    latencies = Latencies()
    for duration in durations:
        latencies.add(float(duration))
    exact = float(np.quantile(durations, share, method="inverted_cdf"))
    assert latencies.percentile(share) == pytest.approx(exact, rel=0.0101)


def test_no_durations_have_the_percentile_zero() -> None:
    assert Latencies().percentile(0.5) == 0.0


@pytest.mark.parametrize("duration", [0.0, 1e-9, 1e6])
def test_durations_outside_the_bins_are_counted(duration: float) -> None:
    latencies = Latencies()
    latencies.add(duration)
    assert len(latencies) == 1
    assert latencies.percentile(1.0) <= duration


def test_a_share_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="share"):
        Latencies().percentile(95)


def test_memory_does_not_grow_with_the_count() -> None:
    latencies = Latencies()
    latencies.add(0.1)
    before = sum(sys.getsizeof(value) for value in vars(latencies).values())
    for number in range(50_000):
        latencies.add(number / 1000)
    assert sum(sys.getsizeof(value) for value in vars(latencies).values()) <= before + 64


def test_an_item_that_fails_counts_as_time_but_not_as_item() -> None:
    stats = StageStats(clock=ticking(0, 2, 10, 15))
    with stats.item():
        pass
    with pytest.raises(OSError), stats.item():
        raise OSError
    assert (stats.items, stats.busy_seconds, len(stats.latencies)) == (1, 7, 1)


def test_watching_counts_the_time_in_the_upstream_only() -> None:
    now = 0.0

    def clock() -> float:
        return now

    def upstream() -> Iterator[int]:
        nonlocal now
        for number in range(3):
            now += 1.0
            yield number
        now += 0.5

    stats = StageStats(clock=clock)
    seen = []
    for number in stats.watch(upstream()):
        now += 100.0
        seen.append(number)
    assert seen == [0, 1, 2]
    assert (stats.items, stats.busy_seconds) == (3, 3.5)


def test_an_abandoned_watch_closes_its_upstream() -> None:
    closed = []

    def upstream() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    watched = StageStats().watch(upstream())
    next(watched)
    del watched
    assert closed == [True]


def test_progress_counts_down() -> None:
    now = 0.0
    meter = ProgressMeter(100, clock=lambda: now)
    first = meter.at(0)
    assert (first.frames_done, first.frames_expected, first.fps) == (0, 100, 0.0)
    assert first.eta_seconds is None
    now = 2.0
    later = meter.at(20)
    assert (later.seconds, later.fps, later.eta_seconds) == (2.0, 10.0, 8.0)


def test_progress_follows_a_change_of_speed() -> None:
    now, done = 0.0, 0
    meter = ProgressMeter(None, clock=lambda: now)
    for _ in range(1000):
        now, done = now + 0.1, done + 10
        meter.at(done)
    for _ in range(200):
        now, done = now + 0.1, done + 1
        last = meter.at(done)
    assert last.fps == pytest.approx(10.0)
    assert last.eta_seconds is None


def test_a_header_that_promised_too_little_leaves_no_negative_time() -> None:
    now = 0.0
    meter = ProgressMeter(5, clock=lambda: now)
    now = 1.0
    assert meter.at(9).eta_seconds == 0.0
