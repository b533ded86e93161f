"""A virtual camera, which other programs take for one, and what stands in for it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from rtstyle.errors import CameraError
from rtstyle.live.sinks import LiveSink
from rtstyle.media import letterbox
from rtstyle.media.devices import missing_steps
from rtstyle.types import Frame, Pixels, Size


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


class OrElse:
    """A virtual camera while there is one; after that, and from the start where none opens, what
    stands in for it."""

    def __init__(
        self, open_camera: Callable[[], LiveSink], stand_in: Callable[[CameraError], LiveSink]
    ) -> None:
        """``stand_in`` is given the reason, and tells it."""
        self._stand_in, self._stands_in = stand_in, False
        try:
            self._sink = open_camera()
        except CameraError as error:
            self._sink, self._stands_in = stand_in(error), True

    def show(self, frame: Frame) -> None:
        """Take one frame; raises what the stand-in raises."""
        try:
            self._sink.show(frame)
        except CameraError as error:
            if self._stands_in:
                raise
            self._sink.abort()
            self._sink, self._stands_in = self._stand_in(error), True
            self._sink.show(frame)

    def finish(self) -> str:
        told = self._sink.finish()
        return f"instead of a virtual camera: {told}" if self._stands_in else told

    def abort(self) -> None:
        self._sink.abort()


def open_virtual_camera(
    module: object, size: Size, rate: float, *, device: str | None = None
) -> object:
    """A ``pyvirtualcam.Camera``; raises CameraError with the steps that are missing here."""
    try:
        return module.Camera(  # type: ignore[attr-defined]
            width=size.width, height=size.height, fps=rate, device=device
        )
    except (RuntimeError, OSError, ValueError) as error:
        # The driver's first sentence; the others are steps of its own beside ours.
        reason = str(error).strip().split("\n")[0].split(". ")[0] or "no reason given"
        raise CameraError(f"no virtual camera opens ({reason}); {virtual_camera_steps()}") from None


def virtual_camera_steps(platform: str = sys.platform) -> str:
    """What a user does on this system to have a virtual camera."""
    if platform.startswith("linux"):
        # Browsers list only devices that do nothing but capture, hence exclusive_caps.
        steps = (
            "run: sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback "
            "exclusive_caps=1 card_label=rtstyle"
        )
        if "container" in missing_steps():
            steps += "; that is done outside this container, which is given it with --device"
    elif platform == "win32":
        steps = "install OBS Studio 26 or newer (obsproject.com), whose virtual camera is used"
    else:
        steps = (
            "install OBS Studio 30 or newer (obsproject.com), press its Start Virtual Camera once, "
            "allow its system extension, and quit it"
        )
    return steps


def _pyvirtualcam() -> object:
    try:
        import pyvirtualcam
    except ImportError:
        raise CameraError(
            'a virtual camera needs pyvirtualcam: pip install "rtstyle[camera]"'
        ) from None
    module: object = pyvirtualcam
    return module
