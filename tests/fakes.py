"""Sources and sinks in memory, which fail where they are told to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np

from rtstyle.types import Colour, Frame, SinkReport, Size, SourceHealth, VideoInfo

SIZE = Size(6, 4)


class FakeSource:
    """``frames`` grey frames, the n-th of value n; raises ``error`` instead of number ``fail_at``.

    ``fail_at`` equal to ``frames`` fails where the end would be.
    """

    live = False

    def __init__(
        self, frames: int, *, fail_at: int | None = None, error: BaseException | None = None
    ) -> None:
        self.frames = frames
        self.fail_at = fail_at
        self.error = error
        self.delivered = 0
        self.health = SourceHealth()
        self.info = VideoInfo(
            size=SIZE,
            time_base=Fraction(1, 25),
            average_rate=Fraction(25),
            frames_in_header=frames,
            duration_in_header=Fraction(frames, 25),
            rotation=0,
            pixel_aspect=Fraction(1),
            colour=Colour(),
            codec="fake",
        )

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames + 1):
            if index == self.fail_at and self.error is not None:
                raise self.error
            if index < self.frames:
                self.delivered += 1
                pixels = np.full((SIZE.height, SIZE.width, 3), index % 256, np.uint8)
                yield Frame(pixels, index, Fraction(1, 25), 1, index)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class FakeSink:
    """Keeps what it is given; takes ``delay`` seconds a frame."""

    def __init__(
        self,
        *,
        delay: float = 0.0,
        fail_at: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        self.delay = delay
        self.fail_at = fail_at
        self.error = error
        self.frames: list[Frame] = []

    def write(self, frame: Frame) -> None:
        time.sleep(self.delay)
        if len(self.frames) == self.fail_at and self.error is not None:
            raise self.error
        self.frames.append(frame)

    def finish(self) -> SinkReport:
        return SinkReport("fake", len(self.frames), 0)

    def abort(self) -> None:
        self.frames.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.abort()
