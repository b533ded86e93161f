"""Cameras and viewers that a test plays, and ways to wait for what they bring about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from rtstyle.errors import CameraError, CameraLost
from rtstyle.media import CAPTURE_CLOCK
from rtstyle.types import Frame, Pixels, Size

SIZE = Size(32, 24)
WAIT = 30.0


def numbered(number: int, size: Size = SIZE) -> Pixels:
    """A picture that carries its number: its time code."""
    picture = np.zeros((size.height, size.width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = number % 256, number // 256
    return picture


def number_of(pixels: Pixels) -> int:
    return int(pixels[0, 0, 0]) + 256 * int(pixels[0, 0, 1])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


class ScriptedCamera:
    """Gives numbered pictures; ``unplug`` ends them in one of the ways that drivers have."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.name, self.device, self.live = desk, "scripted", True, True
        self.rate: Fraction | None = Fraction(100)
        self.notes: tuple[str, ...] = ()
        desk.open_now += 1

    def read(self) -> Frame | None:
        desk = self.desk
        time.sleep(desk.interval)
        if desk.limit is not None and desk.given >= desk.limit:
            return None
        if desk.plugged and desk.error is not None and desk.given + 1 == desk.fail_at:
            raise desk.error
        if not desk.plugged:
            if desk.way == "error":
                raise CameraLost("scripted stopped")
            if desk.way == "hang":
                desk.back.wait(WAIT)
                raise CameraLost("scripted hung")
            if desk.way == "stuck":
                desk.end.wait(WAIT)
                raise CameraLost("scripted was stuck")
        else:
            desk.given += 1
            desk.new_at = time.monotonic()
        return Frame(numbered(desk.given, desk.size), time.monotonic_ns(), CAPTURE_CLOCK, None, 0)

    def close(self) -> None:
        self.desk.open_now -= 1


class Desk:
    """What the camera is plugged into.

    ``unplug`` takes a way: ``error`` (reads fail), ``repeat`` (the last picture again and again),
    ``hang`` (reads come back, failed, once it is plugged in again) or ``stuck`` (when ``end`` is
    set). ``error`` is raised instead of picture number ``fail_at``; ``new_at`` is when the last new
    picture was given, on the monotonic clock.
    """

    def __init__(self, *, limit: int | None = None, interval: float = 0.005) -> None:
        self.plugged, self.way, self.size = True, "error", SIZE
        self.given = self.open_now = self.openings = 0
        self.limit, self.interval = limit, interval
        self.fail_at = 0
        self.error: BaseException | None = None
        self.new_at = 0.0
        self.back, self.end = threading.Event(), threading.Event()

    def open(self, stop: threading.Event) -> ScriptedCamera:
        self.openings += 1
        if not self.plugged:
            raise CameraError("nothing there")
        return ScriptedCamera(self)

    def unplug(self, way: str) -> None:
        self.way = way
        self.back.clear()
        self.plugged = False

    def plug(self) -> None:
        self.plugged = True
        self.back.set()


class Eye:
    """A sink that remembers which pictures it saw."""

    def __init__(self, each: Callable[[Frame], None] | None = None) -> None:
        self.seen: list[int] = []
        self.each, self.aborted, self.finished = each, False, False

    def show(self, frame: Frame) -> None:
        self.seen.append(number_of(np.asarray(frame.pixels, np.uint8)))
        if self.each is not None:
            self.each(frame)

    def finish(self) -> str:
        self.finished = True
        return "seen"

    def abort(self) -> None:
        self.aborted = True


class ScriptedDisplay:
    """A viewer who presses keys."""

    def __init__(self, keys: list[str]) -> None:
        self.keys, self.shown, self.closed = keys, 0, False

    def show(self, pixels: Pixels) -> None:
        self.shown += 1

    def wishes(self) -> Iterator[str]:
        if self.keys:
            yield self.keys.pop(0)

    def close(self) -> None:
        self.closed = True
