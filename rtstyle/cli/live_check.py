"""``rtstyle live --check``: what works here, and the steps that are missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import click

from rtstyle.errors import RtstyleError
from rtstyle.live import VirtualCamera, Window, open_virtual_camera
from rtstyle.media import encoders, open_camera
from rtstyle.types import Size

EXIT_CAMERA = 7


def check_live(camera: str, *, size: Size | None, fps: float | None) -> int:
    """Try each part and print a line for it; the exit code, 7 where the camera does not work."""
    code = 0
    for name, look in (
        ("camera", lambda: _camera(camera, size, fps)),
        ("window", _window),
        ("virtual camera", _virtual),
        ("codec h264", _codec),
    ):
        good, words = _attempt(look)
        click.echo(f"{'ok' if good else '--':<3} {name:<15} {words}")
        if not good and name == "camera":
            code = EXIT_CAMERA
    return code


def _attempt(look: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, look()
    except RtstyleError as error:
        return False, str(error)


def _camera(camera: str, size: Size | None, fps: float | None) -> str:
    device = open_camera(camera, size=size, fps=fps)
    try:
        frame = device.read()
        if frame is None:
            return f"{device.name} opens, and ends at once"
        rate = f" at {float(device.rate):g} fps" if device.rate else ""
        return "; ".join((f"{device.name} gives {frame.size}{rate}", *device.notes))
    finally:
        device.close()


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


def _codec() -> str:
    library = encoders()["h264"]
    if library is None:
        raise RtstyleError("this build of PyAV has no H.264 encoder: pip install -U av")
    return f"{library} opens"
