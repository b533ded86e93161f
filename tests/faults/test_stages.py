"""Any stage may fail at any frame: its own exception arrives, every thread ends, no file stays."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rtstyle.pipeline import ConversionStats, Progress, convert
from rtstyle.pipeline.room import QUEUE_DEPTH
from rtstyle.types import Pixels
from tests.fakes import FakeSink, FakeSource

FRAMES = 30
LONGEST = 3.0
"""Seconds: one for the error to arrive, two for the threads to end."""
PLACES = [0, FRAMES // 2, FRAMES - 1]


class StageFailedError(Exception):
    pass


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """Fail a test whose stages do not end at once; that their threads do is checked after each."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LONGEST


def same(pixels: Pixels) -> Pixels:
    return pixels


class Painter:
    """Inverts, and fails at call number ``fail_at``."""

    def __init__(self, fail_at: int | None, error: BaseException) -> None:
        self.calls = 0
        self.fail_at = fail_at
        self.error = error

    def __call__(self, pixels: Pixels) -> Pixels:
        if self.calls == self.fail_at:
            raise self.error
        self.calls += 1
        return 255 - pixels


@pytest.mark.parametrize("batch", [1, 4, FRAMES, FRAMES + 1])
def test_every_frame_arrives_once_in_order_with_its_time(batch: int) -> None:
    sink, stats = FakeSink(), ConversionStats()
    convert(FakeSource(FRAMES), sink, lambda frames: 255 - frames, batch=batch, stats=stats)
    assert [frame.pts for frame in sink.frames] == list(range(FRAMES))
    assert [int(frame.pixels[0, 0, 0]) for frame in sink.frames] == [
        255 - index for index in range(FRAMES)
    ]
    assert (stats.decode.items, stats.stylize.items, stats.encode.items) == (FRAMES,) * 3


@pytest.mark.parametrize("fail_at", [*PLACES, FRAMES])
def test_a_source_that_fails(fail_at: int) -> None:
    error = StageFailedError("source")
    sink = FakeSink()
    with pytest.raises(StageFailedError) as caught:
        convert(
            FakeSource(FRAMES, fail_at=fail_at, error=error), sink, same, stats=ConversionStats()
        )
    assert caught.value is error
    assert len(sink.frames) == fail_at


@pytest.mark.parametrize("fail_at", PLACES)
def test_a_net_that_fails(fail_at: int) -> None:
    error = StageFailedError("net")
    sink = FakeSink()
    with pytest.raises(StageFailedError) as caught:
        convert(FakeSource(FRAMES), sink, Painter(fail_at, error), stats=ConversionStats())
    assert caught.value is error
    assert len(sink.frames) == fail_at


@pytest.mark.parametrize("fail_at", PLACES)
@pytest.mark.parametrize("kind", [StageFailedError, KeyboardInterrupt])
def test_a_sink_that_fails(fail_at: int, kind: type[BaseException]) -> None:
    error = kind("sink")
    sink = FakeSink(fail_at=fail_at, error=error)
    with pytest.raises(kind) as caught:
        convert(FakeSource(FRAMES), sink, same, stats=ConversionStats())
    assert caught.value is error


@pytest.mark.parametrize("fail_at", [*PLACES, FRAMES])
def test_a_progress_callback_that_fails(fail_at: int) -> None:
    def progress(at: Progress) -> None:
        if at.frames_done == fail_at:
            raise StageFailedError("callback")

    with pytest.raises(StageFailedError, match="callback"):
        convert(FakeSource(FRAMES), FakeSink(), same, stats=ConversionStats(), progress=progress)


def test_a_slow_sink_holds_the_others_back_and_loses_nothing() -> None:
    source = FakeSource(FRAMES)
    ahead = []

    class WatchingSink(FakeSink):
        def write(self, frame: object) -> None:
            super().write(frame)  # type: ignore[arg-type]
            ahead.append(source.delivered - len(self.frames))

    sink = WatchingSink(delay=0.01)
    convert(source, sink, same, stats=ConversionStats())
    assert len(sink.frames) == FRAMES
    # Two queues, and one frame in the hand of each of the two threads.
    assert max(ahead) <= 2 * QUEUE_DEPTH + 2
