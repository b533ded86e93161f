"""Captures in a thread of its own, notices a camera that is lost, and finds it again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rtstyle.errors import CameraError, CameraLost
from rtstyle.live.slot import Slot
from rtstyle.media import Camera
from rtstyle.pipeline import Background
from rtstyle.types import Frame, Pixels

Open = Callable[[threading.Event], Camera]
"""Opens the camera; the event ends its waits."""

_POLL_SECONDS = 0.05
_CLOSE_SECONDS = 0.3
_MOST_STUCK = 3
"""Readers that hang in a driver; with more, none is started until one comes back."""


class _Reader:
    """One opening of the camera: its thread, and what it saw."""

    def __init__(self, capture: Capture) -> None:
        self.ended = False
        self.device = self.live = True
        self.began = self.seen = self.changed = time.monotonic()
        self.pictures = 0
        self.last: Pixels | None = None
        self._capture = capture
        self.thread = Background(self._work, name="camera")

    def _work(self, stop: threading.Event) -> None:
        camera = self._capture.open(stop)
        try:
            self.device, self.live = camera.device, camera.live
            self._capture.met(camera)
            while not stop.is_set():
                frame = camera.read()
                if frame is None:
                    self.ended = True
                    return
                if self.pictures == 0 and not camera.live:
                    frame = self._held(frame, stop)
                if stop.is_set():
                    return
                self._note(frame)
                self._capture.take(frame, stop)
        finally:
            camera.close()

    def _held(self, frame: Frame, stop: threading.Event) -> Frame:
        """A film's first picture waits until the styles are ready: it can, and none is lost."""
        self._capture.first.put(frame)
        while not stop.is_set() and not self._capture.released.wait(_POLL_SECONDS):
            self.seen = self.changed = time.monotonic()
        return replace(frame, pts=time.monotonic_ns())

    def _note(self, frame: Frame) -> None:
        now = time.monotonic()
        pixels = np.asarray(frame.pixels, np.uint8)
        last = self.last
        if (
            last is None
            or last.shape != pixels.shape
            or not np.array_equal(last[::31], pixels[::31])
            or not np.array_equal(last, pixels)
        ):
            self.changed = now
        self.last, self.seen = pixels, now
        self.pictures += 1


class Capture:
    """Keeps the newest frame of a camera in ``frames``. Use it as a context manager.

    A camera that gives nothing new for ``stall_seconds`` is lost, whether its driver says so,
    repeats its last picture or never returns; it is opened again, after ``backoff`` seconds (the
    first wait and the longest), until it is there. A picture that still stands still after the
    camera was opened anew is taken for what is before it.
    """

    def __init__(
        self,
        open_camera: Open,
        *,
        stall_seconds: float = 1.0,
        open_seconds: float = 10.0,
        backoff: tuple[float, float] = (0.25, 2.0),
        mirror: bool = False,
    ) -> None:
        """``open_seconds``: how long a camera may take for its first picture. ``mirror``: left
        becomes right, as in a mirror."""
        self.open = open_camera
        self.frames: Slot[Frame] = Slot()
        self.first: Slot[Frame] = Slot()
        """The first picture of a film, shown around while it is held back."""
        self.released = threading.Event()
        """Set it when a film's pictures may begin."""
        self.mirror = mirror
        self.state = "opening"
        """``opening``, ``running``, ``lost`` or ``ended``."""
        self.captured = 0
        self.reconnects = 0
        self.losses = 0
        self.error: BaseException | None = None
        """Why it ended, where that was no end of a film."""
        self.camera_name = "camera"
        self.rate: float | None = None
        self.notes: list[str] = []
        self._stall, self._open_seconds, self._backoff = stall_seconds, open_seconds, backoff
        self._stuck: list[_Reader] = []
        self._still: Pixels | None = None
        self._taking = threading.Lock()
        self._watch = Background(self._supervise, name="camera-watch")

    def met(self, camera: Camera) -> None:
        """A reader has opened the camera."""
        self.camera_name = camera.name
        self.rate = None if camera.rate is None else float(camera.rate)
        self.notes.extend(note for note in camera.notes if note not in self.notes)

    def take(self, frame: Frame, stop: threading.Event) -> None:
        """A reader has a picture; nothing is taken of one whose ``stop`` is set."""
        pixels = frame.pixels
        if self.mirror:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        with self._taking:
            if stop.is_set():
                return
            frame = replace(frame, pixels=pixels, index=self.captured)
            self.captured += 1
            if self.state == "lost":
                self.reconnects += 1
            self.state = "running"
            self.frames.put(frame)

    def close(self) -> None:
        """Stop; waits for threads that return. Calling it twice is allowed."""
        self._watch.close()
        self.frames.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _supervise(self, stop: threading.Event) -> None:
        wait, longest = self._backoff
        try:
            while not stop.is_set():
                pictures = self._attend(stop)
                if pictures is None:
                    return
                wait = self._backoff[0] if pictures else min(longest, wait * 2)
                stop.wait(wait)
                while len(self._stuck) >= _MOST_STUCK and not stop.wait(_POLL_SECONDS):
                    self._stuck = [one for one in self._stuck if one.thread.running]
        except BaseException as error:
            self.error = error
        finally:
            self.state = "ended"
            self.first.close()
            self.frames.close()

    def _attend(self, stop: threading.Event) -> int | None:
        """Run one reader until it is lost: how many pictures it gave; None where all is over."""
        reader = _Reader(self)
        while not stop.is_set() and reader.thread.running and not self._is_stalled(reader):
            stop.wait(_POLL_SECONDS)
        # Said before its thread is waited for, which may hang in a driver.
        with self._taking:
            reader.thread.stop.set()
            if (
                self.captured
                and not stop.is_set()
                and not reader.ended
                and self._may_return(reader)
            ):
                self._lose()
        if not reader.thread.close(_CLOSE_SECONDS if not stop.is_set() else 2.0):
            self._stuck.append(reader)
        if stop.is_set() or reader.ended:
            return None
        error = reader.thread.error
        if error is not None and not self._may_return(reader):
            self.error = error
            return None
        if self.captured == 0:
            self.error = CameraLost(
                f"{self.camera_name} gave no picture in {self._open_seconds:g} s; unplug it, plug "
                "it in again, or take another"
            )
            return None
        self._lose()
        # Its traceback holds the reader, which holds it: a picture for every loss would stay.
        reader.thread.error = None
        return reader.pictures

    def _may_return(self, reader: _Reader) -> bool:
        """What was there once may come back; a wrong name or a broken file never gets better."""
        error = reader.thread.error
        return error is None or (self.captured > 0 and isinstance(error, CameraError))

    def _lose(self) -> None:
        if self.state != "lost":
            self.losses += 1
        self.state = "lost"

    def _is_stalled(self, reader: _Reader) -> bool:
        now = time.monotonic()
        if reader.pictures == 0:
            return now - max(reader.began, reader.seen) > self._open_seconds
        if reader.live and now - reader.seen > self._stall:
            return True
        if not reader.device or now - reader.changed <= self._stall:
            return False
        known = self._still
        self._still = reader.last
        return not (known is not None and np.array_equal(known, reader.last))  # type: ignore[arg-type]
