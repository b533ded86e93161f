"""Which cameras this system has, and what they can give; asked of the kernel, no stream opened."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rtstyle.types import Size

Ioctl = Callable[[int, int, bytearray], int]
"""fcntl.ioctl on a descriptor, which fills the buffer; a test's own in its place."""

_SYSTEM: str = sys.platform

# linux/videodev2.h; the sizes are those of the structures.
_QUERYCAP = 0x80685600
_ENUM_FMT = 0xC0405602
_ENUM_FRAMESIZES = 0xC02C564A
_ENUM_FRAMEINTERVALS = 0xC034564B
_CAPTURE, _OUTPUT, _HAS_DEVICE_CAPS = 0x1, 0x2, 0x80000000
_DISCRETE = 1
_FLUENT = 15
"""Frames a second below which a picture is seen to jerk."""
_PACKED = ("MJPG", "JPEG", "H264", "HEVC")
"""Codings that HD fits through USB 2 with; uncompressed it is 5 frames a second."""
_MOST = 64
"""Answers of one kind that are asked for; a broken driver never says that it has no more."""


@dataclass(frozen=True, slots=True)
class CameraMode:
    """One way in which a camera gives pictures."""

    coding: str
    """FOURCC: ``MJPG``, ``YUYV``."""
    size: Size
    rates: tuple[Fraction, ...]
    """Frames a second, quickest first; empty where the driver names none."""

    def __str__(self) -> str:
        rates = ", ".join(f"{float(rate):g}" for rate in self.rates)
        return f"{self.coding} {self.size}" + (f" at {rates} fps" if rates else "")


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """One device."""

    number: int
    """What ``--camera`` takes."""
    path: str
    name: str
    captures: bool
    """Whether it gives pictures."""
    takes: bool
    """Whether it takes pictures, as a virtual camera's loopback does."""
    modes: tuple[CameraMode, ...] = ()
    problem: str | None = None
    """Why it could not be asked, and the remedy."""

    @property
    def advice(self) -> str | None:
        """One sentence where its large pictures come slowly; None where they do not."""
        timed = [mode for mode in self.modes if mode.rates]
        if not timed:
            return None
        fluent = [mode for mode in timed if max(mode.rates) >= _FLUENT]
        widest = max(timed, key=_pixels)
        if not fluent:
            most = max(max(mode.rates) for mode in timed)
            return f"it gives no more than {float(most):g} fps in any mode"
        best = max(fluent, key=_pixels)
        if _pixels(best) >= _pixels(widest):
            return None
        slow = max(max(mode.rates) for mode in timed if _pixels(mode) == _pixels(widest))
        why = "" if any(mode.coding in _PACKED for mode in timed) else ", since uncompressed"
        return (
            f"{widest.size} comes at {float(slow):g} fps only{why}; "
            f"--size {best.size} gives {float(max(best.rates)):g}"
        )


def list_cameras(root: Path = Path("/dev"), *, ioctl: Ioctl | None = None) -> list[CameraDevice]:
    """The video devices of this system by number; on Linux only, elsewhere an empty list.

    Devices of a camera that give no pictures (metadata) are left out.
    """
    if ioctl is None:
        if not _SYSTEM.startswith("linux"):
            return []
        import fcntl

        ioctl = fcntl.ioctl
    numbers = (
        int(path.name[5:])
        for path in root.glob("video*")
        if path.name[5:].isascii() and path.name[5:].isdigit()
    )
    found = (_ask(root / f"video{number}", number, ioctl) for number in sorted(numbers))
    return [one for one in found if one.captures or one.takes or one.problem]


def look_at(path: Path, *, ioctl: Ioctl | None = None) -> CameraDevice | None:
    """What one device node is; None where that cannot be asked on this system."""
    if ioctl is None:
        if not _SYSTEM.startswith("linux"):
            return None
        import fcntl

        ioctl = fcntl.ioctl
    number = path.name.removeprefix("video")
    return _ask(path, int(number) if number.isascii() and number.isdigit() else -1, ioctl)


def missing_steps(root: Path = Path("/")) -> str:
    """What to do where this system shows no camera at all, as a clause; empty for plug one in."""
    if not _SYSTEM.startswith("linux"):
        return ""
    try:
        version = (root / "proc/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        version = ""
    if "microsoft" in version.lower():
        return "WSL has none of its own: attach it with usbipd, or run rtstyle in Windows itself"
    marks = (root / ".dockerenv", root / "run/.containerenv")
    if any(mark.exists() for mark in marks) or "container" in os.environ:
        return "this is a container: start it with --device /dev/video0"
    return ""


def describe_cameras(cameras: list[CameraDevice]) -> str:
    """The devices that give pictures, as a clause of a message."""
    words = [f"{one.number} ({one.name})" for one in cameras if one.captures or one.problem]
    if words:
        return "there is " + ", ".join(words)
    if _SYSTEM.startswith("linux"):
        steps = missing_steps()
        return "this system has no camera" + (f" ({steps})" if steps else "")
    return "try another number"


def _pixels(mode: CameraMode) -> int:
    return mode.size.width * mode.size.height


def _ask(path: Path, number: int, ioctl: Ioctl) -> CameraDevice:
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        problem = f"cannot be opened ({error.strerror})"
        if isinstance(error, PermissionError):
            problem = "permission denied; run: sudo usermod -aG video $USER, then log in again"
        return CameraDevice(number, str(path), "unknown", False, False, problem=problem)
    try:
        buffer = bytearray(104)
        try:
            ioctl(descriptor, _QUERYCAP, buffer)
        except OSError as error:
            problem = f"is no video device ({error.strerror})"
            return CameraDevice(number, str(path), "unknown", False, False, problem=problem)
        every, own = struct.unpack_from("=II", buffer, 84)
        abilities = own if every & _HAS_DEVICE_CAPS else every
        name = bytes(buffer[16:48]).split(b"\0")[0].decode("utf-8", "replace") or "unknown"
        captures = bool(abilities & _CAPTURE)
        modes = tuple(_modes(descriptor, ioctl)) if captures else ()
        return CameraDevice(number, str(path), name, captures, bool(abilities & _OUTPUT), modes)
    finally:
        os.close(descriptor)


def _answers(
    descriptor: int, ioctl: Ioctl, request: int, length: int, *asked: int
) -> Iterator[bytearray]:
    for index in range(_MOST):
        buffer = bytearray(length)
        struct.pack_into(f"={1 + len(asked)}I", buffer, 0, index, *asked)
        try:
            ioctl(descriptor, request, buffer)
        except OSError:
            return
        yield buffer


def _modes(descriptor: int, ioctl: Ioctl) -> Iterator[CameraMode]:
    for kind in _answers(descriptor, ioctl, _ENUM_FMT, 64, 1):
        (code,) = struct.unpack_from("=I", kind, 44)
        coding = bytes(kind[44:48]).decode("ascii", "replace").strip()
        for one in _answers(descriptor, ioctl, _ENUM_FRAMESIZES, 44, code):
            shape, width, height, step, low, high = struct.unpack_from("=6I", one, 8)
            if shape != _DISCRETE:
                # Any size in a range: the largest says what it can.
                width, height = height, high
                del step, low
            if width and height:
                rates = tuple(_rates(descriptor, ioctl, code, width, height))
                yield CameraMode(coding, Size(width, height), rates)
            if shape != _DISCRETE:
                break


def _rates(descriptor: int, ioctl: Ioctl, code: int, width: int, height: int) -> Iterator[Fraction]:
    for one in _answers(descriptor, ioctl, _ENUM_FRAMEINTERVALS, 52, code, width, height):
        shape, numerator, denominator = struct.unpack_from("=3I", one, 16)
        if numerator and denominator:
            yield Fraction(denominator, numerator)
        if shape != _DISCRETE:
            return
