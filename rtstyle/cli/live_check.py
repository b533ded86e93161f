"""``rtstyle live --check``: what works here, and the steps that are missing."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable

from rtstyle.cli.terminal import echo
from rtstyle.errors import CameraLost, RtstyleError
from rtstyle.live import MjpegServer, VirtualCamera, Window, open_virtual_camera
from rtstyle.media import encoders, open_camera
from rtstyle.pipeline import Background
from rtstyle.types import Size

EXIT_CAMERA = 7
_LONGEST = 15.0
"""Seconds that a camera may take for its first pictures; some need 10 to start."""
_LOOK_SECONDS = 1.0
_SLOW = 0.75
"""Share of the rate that a camera says, below which it is told."""


def check_live(camera: str, *, size: Size | None, fps: float | None) -> int:
    """Try each part and print what works, or how to make it; the exit code, 7 where the camera
    does not work."""
    code = 0
    for name, look in (
        ("camera", lambda: _camera(camera, size, fps)),
        ("window", _window),
        ("virtual camera", _virtual),
        ("address", _address),
        ("codec h264", _codec),
    ):
        good, words = _attempt(look)
        first, *more = words.split("; ")
        echo(f"{'ok' if good else '--':<3} {name:<15} {first}")
        for line in more:
            echo(f"{'':<19} {line}")
        if not good and name == "camera":
            code = EXIT_CAMERA
    return code


def _attempt(look: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, look()
    except RtstyleError as error:
        return False, str(error)


def _camera(camera: str, size: Size | None, fps: float | None) -> str:
    """Asks in a thread of its own: there are drivers that never answer."""
    said: list[str] = []
    work = Background(lambda stop: said.append(_look(camera, size, fps, stop)), name="check")
    if not work.join(_LONGEST):
        work.stop.set()
        raise CameraLost(
            f"camera {camera} opens, but gave no picture in {_LONGEST:g} s; unplug it, plug it in "
            "again, or take another"
        )
    if work.error is not None:
        raise work.error
    return said[0]


def _look(camera: str, size: Size | None, fps: float | None, stop: threading.Event) -> str:
    device = open_camera(camera, size=size, fps=fps, stop=stop)
    try:
        frame = device.read()
        if frame is None:
            return f"{device.name} opens, and ends at once"
        rate = f" at {float(device.rate):g} fps" if device.rate else ""
        words = [f"{device.name} gives {frame.size}{rate}", *device.notes]
        if device.device:
            measured = _measure(lambda: device.read() is not None)
            if device.rate is not None and measured < _SLOW * device.rate:
                words.append(
                    f"measured: {measured:.1f} fps. In a dark room a camera exposes for longer; "
                    "or take a smaller --size, see 'rtstyle cameras'"
                )
        return "; ".join(words)
    finally:
        device.close()


def _measure(read: Callable[[], bool]) -> float:
    """Pictures a second; the first ones come while a camera still starts."""
    began = time.monotonic()
    count = 0
    while time.monotonic() - began < _LOOK_SECONDS and read():
        count += 1
    return count / (time.monotonic() - began)


def _window() -> str:
    window = Window("rtstyle", Size(64, 48))
    window.close()
    return "opens"


def _virtual() -> str:
    VirtualCamera()  # refuses where pyvirtualcam is missing
    module = importlib.import_module("pyvirtualcam")
    camera = open_virtual_camera(module, Size(640, 480), 30.0)
    name = getattr(camera, "device", "it")
    camera.close()  # type: ignore[attr-defined]
    return f"{name} opens; choose it in the other program"


def _address() -> str:
    server = MjpegServer()
    server.abort()
    return (
        f"--output mjpeg would serve {server.name}... to OBS, VLC and browsers; "
        "--output virtualcam does so too where no virtual camera opens"
    )


def _codec() -> str:
    library = encoders()["h264"]
    if library is None:
        raise RtstyleError("this build of PyAV has no H.264 encoder: pip install -U av")
    return f"{library} opens"
