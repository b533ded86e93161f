"""Where live pictures go: nowhere, into a file, to an address, into a virtual camera."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from rtstyle.errors import CameraError
from rtstyle.media import (
    Broadcast,
    EncodeOptions,
    FrameSink,
    VideoWriter,
    is_url,
    letterbox,
)
from rtstyle.pipeline import Background
from rtstyle.types import Colour, Frame, Pixels, Size, VideoInfo

_TICK = Fraction(1, 90000)
_WAITING = 8
"""Frames that may wait for an encoder: a quarter of a second at 30 fps."""

OpenSink = Callable[[Size, Fraction], FrameSink]
"""Opens what is written to, once the pictures' size is known; the rate is a guess."""


class LiveSink(Protocol):
    """Takes frames as they come, without making who gives them wait."""

    def show(self, frame: Frame) -> None:
        """Take one frame; raises what went wrong with earlier ones."""
        ...

    def finish(self) -> str:
        """Write what is pending; a sentence of what was made. Raises OutputError."""
        ...

    def abort(self) -> None:
        """Give up. Calling it twice is allowed."""
        ...


class Nowhere:
    """Counts, for measuring."""

    def __init__(self) -> None:
        self.frames = 0

    def show(self, frame: Frame) -> None:
        del frame
        self.frames += 1

    def finish(self) -> str:
        return f"{self.frames} frames went nowhere, as asked"

    def abort(self) -> None:
        """Nothing was made."""


class Recorder:
    """A file or address, written in a thread of its own. What it cannot keep up with is dropped
    and counted, so that the picture on show never waits for a disk or a network."""

    def __init__(self, open_sink: OpenSink, *, name: str, rate: float | None = None) -> None:
        self._open, self._name = open_sink, name
        self._rate = Fraction(rate or 30).limit_denominator(1001)
        self._frames: queue.Queue[Frame | None] = queue.Queue(_WAITING)
        self._sink: FrameSink | None = None
        self._size: Size | None = None
        self._written = 0
        self._last: int | None = None
        self._first: int | None = None
        self.dropped = 0
        self._thread = Background(self._work, name="recorder")

    def show(self, frame: Frame) -> None:
        if self._thread.error is not None:
            raise self._thread.error
        try:
            self._frames.put_nowait(frame)
        except queue.Full:
            self.dropped += 1

    def finish(self) -> str:
        while self._thread.running:
            try:
                self._frames.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        while not self._thread.join(0.2):
            continue
        if self._thread.error is not None:
            raise self._thread.error
        if self._written == 0:
            return f"{self._name}: nothing was written, since no picture came"
        told = f"{self._name}: {self._written} frames written"
        return told + (f", {self.dropped} dropped since it was too slow" if self.dropped else "")

    def abort(self) -> None:
        self._thread.close()

    def _work(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    frame = self._frames.get(timeout=0.05)
                except queue.Empty:
                    continue
                if frame is None:
                    if self._sink is not None:
                        self._sink.finish()
                    return
                self._write(frame)
        except BaseException:
            if self._sink is not None:
                self._sink.abort()
            raise
        if self._sink is not None:
            self._sink.abort()

    def _write(self, frame: Frame) -> None:
        if self._sink is None:
            self._size = frame.size
            self._sink = self._open(frame.size, self._rate)
        pixels = frame.pixels
        if self._size is not None and frame.size != self._size:
            # The camera came back in another mode; a film has one size.
            pixels = letterbox(pixels, self._size)
        if self._first is None:
            self._first = frame.pts
        pts = round((frame.pts - self._first) * frame.time_base / _TICK)
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
        self._last = pts
        self._sink.write(Frame(pixels, pts, _TICK, None, self._written))
        self._written += 1


def record_to(
    target: str, *, rate: float | None = None, overwrite: bool = False, codec: str = "h264"
) -> Recorder:
    """Write a video file, or send to an address; frames keep the times at which they were captured.

    Opening happens with the first frame, in the recorder's thread; names are to be checked before
    (``check_output``, ``check_address``).
    """
    if is_url(target):
        return Recorder(lambda size, fps: Broadcast(target, size, fps), name=target, rate=rate)

    def open_file(size: Size, fps: Fraction) -> FrameSink:
        info = VideoInfo(
            size=size,
            time_base=_TICK,
            average_rate=fps,
            frames_in_header=None,
            duration_in_header=None,
            rotation=0,
            pixel_aspect=Fraction(1),
            colour=Colour(matrix=1, primaries=1, transfer=1, full_range=False),
            codec="live",
        )
        options = EncodeOptions(codec=codec, audio="none", subtitles="none")
        return VideoWriter(Path(target), info, options, overwrite=overwrite)

    return Recorder(open_file, name=Path(target).name, rate=rate)


class VirtualCamera:
    """A camera that other programs see, through pyvirtualcam and the driver of this system."""

    def __init__(self, *, rate: float | None = None, device: str | None = None) -> None:
        """Raises CameraError where pyvirtualcam is missing."""
        self._module = _pyvirtualcam()
        self._rate, self._device = rate or 30.0, device
        self._camera: object | None = None
        self._size: Size | None = None
        self.frames = 0

    def show(self, frame: Frame) -> None:
        if self._camera is None:
            self._size = frame.size
            self._camera = open_virtual_camera(
                self._module, frame.size, self._rate, device=self._device
            )
        pixels: Pixels = np.asarray(frame.pixels, np.uint8)
        if self._size is not None and frame.size != self._size:
            pixels = np.asarray(letterbox(pixels, self._size), np.uint8)
        try:
            self._camera.send(np.ascontiguousarray(pixels))  # type: ignore[attr-defined]
        except (RuntimeError, OSError) as error:
            raise CameraError(
                f"the virtual camera went away ({error}); start it again: rtstyle live --check"
            ) from None
        self.frames += 1

    def finish(self) -> str:
        name = getattr(self._camera, "device", "virtual camera")
        self.abort()
        return f"{name}: {self.frames} frames shown"

    def abort(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()  # type: ignore[attr-defined]


def open_virtual_camera(
    module: object, size: Size, rate: float, *, device: str | None = None
) -> object:
    """A ``pyvirtualcam.Camera``; raises CameraError with the steps that are missing here."""
    try:
        return module.Camera(  # type: ignore[attr-defined]
            width=size.width, height=size.height, fps=rate, device=device
        )
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise CameraError(f"no virtual camera opens ({reason}); {virtual_camera_steps()}") from None


def virtual_camera_steps(platform: str = sys.platform) -> str:
    """What a user does on this system to have a virtual camera, and what works without one."""
    if platform.startswith("linux"):
        steps = (
            "run: sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback "
            "exclusive_caps=1 card_label=rtstyle"
        )
    elif platform == "win32":
        steps = "install OBS Studio 26 or newer, whose virtual camera is used"
    else:
        steps = "install OBS Studio 30 or newer and start its virtual camera once"
    return f"{steps}; without one, send it to udp://127.0.0.1:5000 and open that in OBS or VLC"


def _pyvirtualcam() -> object:
    try:
        import pyvirtualcam
    except ImportError:
        raise CameraError(
            'a virtual camera needs pyvirtualcam: pip install "rtstyle[camera]"; '
            "without it, send to udp://127.0.0.1:5000 and open that in OBS or VLC"
        ) from None
    module: object = pyvirtualcam
    return module
