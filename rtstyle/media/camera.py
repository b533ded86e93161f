"""Live pictures: a device, or a file or address played at its own pace as if it were one."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
import cv2
from av.container import InputContainer

from rtstyle.addresses import is_url, without_secrets
from rtstyle.errors import CameraBusy, CameraError, CameraLost
from rtstyle.media.colour import ToRgb, colour_of, resolve_colour
from rtstyle.media.deep import to_bytes
from rtstyle.media.devices import describe_cameras, list_cameras, look_at
from rtstyle.media.file import open_video
from rtstyle.types import DEFAULT_LIMITS, Frame, Pixels, Size

_SYSTEM: str = sys.platform

CAPTURE_CLOCK = Fraction(1, 10**9)
"""Time base of live frames: pts is the monotonic clock in nanoseconds when it was captured."""

_PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,rtp,rtsp,rtmp,rtmps,srt,crypto,hls"
"""No file: an address must not make us read what lies on this disk."""
_URL_TIMEOUT = 5.0
_MOST_DIGITS = 9
"""Of a camera's number; more are a file's name."""
_FLUENT = 15
"""Frames a second below which a picture is seen to jerk."""
_WIDTH, _HEIGHT = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT


class Camera(Protocol):
    """Gives pictures one after the other. One thread uses it, the one that opened it."""

    name: str
    device: bool
    """Whether it is one: pictures that repeat are a fault then."""
    live: bool
    """Whether pictures come by themselves: silence is a fault then, and nothing is held back."""
    rate: Fraction | None
    """Pictures a second, as it says."""
    notes: tuple[str, ...]
    """One sentence for everything that is otherwise than asked."""

    def read(self) -> Frame | None:
        """Wait for the next picture, captured at its pts on ``CAPTURE_CLOCK``; None at the end.

        Raises CameraLost where no more come although this is not the end.
        """
        ...

    def close(self) -> None:
        """Give the device or file back; calling it twice is allowed."""
        ...


def open_camera(
    name: str,
    *,
    size: Size | None = None,
    fps: float | None = None,
    stop: threading.Event | None = None,
) -> Camera:
    """Open a device by number or path, or a file or address that is played at its own pace.

    ``size`` and ``fps`` are asked of a device, which may answer with others (``notes`` say so);
    a file or address is scaled down to fit into ``size``. ``stop`` ends a wait for the next
    picture. Raises CameraError (CameraBusy), and for a file what ``open_video`` raises.
    """
    stop = stop or threading.Event()
    if name.isascii() and name.isdigit() and len(name) <= _MOST_DIGITS:
        return DeviceCamera(name, size=size, fps=fps)
    if is_url(name):
        return UrlCamera(name, size=size, stop=stop)
    if _SYSTEM.startswith("linux") and _is_device(name):
        return DeviceCamera(name, size=size, fps=fps)
    return FileCamera(name, size=size, stop=stop)


def _is_device(name: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(name).st_mode)
    except (OSError, ValueError):
        return False


class DeviceCamera:
    """A camera of this system, through OpenCV: MJPG where it has it, the smallest buffer."""

    device = live = True

    def __init__(self, name: str, *, size: Size | None, fps: float | None) -> None:
        self.name = f"camera {name}"
        self._where: int | str = int(name) if name.isdigit() else name
        _check_device(name)
        # Its warnings would stand between our lines each time a camera is looked for.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        # Uncompressed video takes HD to 5 frames a second over USB 2. The order matters: with
        # DirectShow a size set before the coding resets it (opencv issue 9084).
        wanted = [
            cv2.CAP_PROP_FOURCC,
            cv2.VideoWriter.fourcc(*"MJPG"),
            *((_WIDTH, size.width, _HEIGHT, size.height) if size else ()),
            *((cv2.CAP_PROP_FPS, round(fps)) if fps else ()),
        ]
        # Opening with parameters refuses what it cannot set; setting them afterwards does not.
        with _quiet():
            self._capture = cv2.VideoCapture(self._where, _api())
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraBusy(
                f"{self.name} does not open: another program may hold it; close that, or take "
                f"another ({describe_cameras(list_cameras())})"
            )
        for key, value in zip(wanted[::2], wanted[1::2], strict=True):
            self._capture.set(key, value)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(rate).limit_denominator(1001) if 0 < rate < 1000 else None
        self.notes = tuple(self._otherwise(size, fps))

    def _otherwise(self, size: Size | None, fps: float | None) -> Iterator[str]:
        width, height = (int(self._capture.get(key)) for key in (_WIDTH, _HEIGHT))
        if size is not None and (width, height) != (size.width, size.height):
            yield f"{self.name} gives {width}x{height} instead of {size}"
        if fps is None and self.rate is not None and self.rate < _FLUENT:
            yield (
                f"{self.name} gives {float(self.rate):g} frames a second at {width}x{height}; "
                "'rtstyle cameras' lists its quicker modes, for --size"
            )
        if fps is not None and self.rate is not None and abs(float(self.rate) - fps) > 1:
            yield f"{self.name} gives {float(self.rate):g} frames a second instead of {fps:g}"

    def read(self) -> Frame | None:
        if not self._capture.grab():
            raise CameraLost(f"{self.name} stopped giving pictures; check its cable")
        captured = time.monotonic_ns()
        good, picture = self._capture.retrieve()
        if not good or picture is None:
            raise CameraLost(f"{self.name} gave a picture that cannot be read")
        return _frame(cast(Pixels, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)), captured)

    def close(self) -> None:
        self._capture.release()


class FileCamera:
    """A film at its own pace; its clock starts with the second picture that is asked for."""

    device = live = False

    def __init__(self, path: str, *, size: Size | None, stop: threading.Event) -> None:
        self.name = Path(path).name
        self._film = open_video(path)
        self.rate = self._film.info.average_rate
        self.notes: tuple[str, ...] = ()
        self._size, self._pace = size, _Pace(stop)
        self._frames = iter(self._film)

    def read(self) -> Frame | None:
        self._pace.begin()
        frame = next(self._frames, None)
        if frame is None:
            return None
        pixels = _fitted(to_bytes(frame.pixels), self._size)
        self._pace.wait(frame.seconds)
        return _frame(pixels, time.monotonic_ns())

    def close(self) -> None:
        self._film.close()


class UrlCamera:
    """A stream of the net: as it comes where it is live, at its own pace where it has an end."""

    device = False

    def __init__(self, url: str, *, size: Size | None, stop: threading.Event) -> None:
        self.name = without_secrets(url)
        self._size, self._pace = size, _Pace(stop)
        options = {"protocol_whitelist": _PROTOCOLS, "fflags": "nobuffer"}
        if url.lower().startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        try:
            self._container: InputContainer = av.open(
                url, "r", options=options, timeout=(_URL_TIMEOUT, _URL_TIMEOUT)
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            # FFmpeg's own text repeats the address with its password.
            raise CameraError(
                f"{self.name} cannot be opened ({_why(error)}); check the address and the network"
            ) from None
        try:
            if not self._container.streams.video:
                raise CameraError(f"{self.name} has no pictures; give the address of a video")
            self._stream = self._container.streams.video[0]
            context = self._stream.codec_context
            context.options = {"max_pixels": str(DEFAULT_LIMITS.max_pixels)}
            context.thread_type = "SLICE"  # frame threads hold back a picture each
            self.rate = self._stream.average_rate
            self.notes: tuple[str, ...] = ()
            self._ends = self._container.duration is not None and self._container.duration > 0
            self.live = not self._ends
            self._pictures = self._container.decode(self._stream)
        except BaseException:
            self._container.close()
            raise
        self._to_rgb = ToRgb()

    def read(self) -> Frame | None:
        self._pace.begin()
        try:
            picture = next(self._pictures, None)
        except (av.FFmpegError, OSError) as error:
            raise CameraLost(f"{self.name} was lost ({_why(error)})") from None
        if picture is None:
            if self._ends:
                return None
            raise CameraLost(f"{self.name} ended its stream")
        captured = time.monotonic_ns()
        said = resolve_colour(colour_of(picture), Size(picture.width, picture.height))
        pixels = _fitted(self._to_rgb(picture, said), self._size)
        if self._ends and picture.pts is not None and picture.time_base:
            self._pace.wait(picture.pts * picture.time_base)
            captured = time.monotonic_ns()
        return _frame(pixels, captured)

    def close(self) -> None:
        self._container.close()


class _Pace:
    """Waits until a picture is due."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._first: Fraction | None = None
        self._began: float | None = None

    def begin(self) -> None:
        """Start the clock, unless no picture was given yet or it runs."""
        if self._first is not None and self._began is None:
            self._began = time.monotonic()

    def wait(self, seconds: Fraction) -> None:
        """Wait until a picture of this time is due, or the stop."""
        if self._first is None:
            self._first = seconds
        if self._began is not None:
            due = self._began + float(seconds - self._first)
            self._stop.wait(max(0.0, due - time.monotonic()))


def _frame(pixels: Pixels, captured: int) -> Frame:
    return Frame(pixels, captured, CAPTURE_CLOCK, None, 0)


def _fitted(pixels: Pixels, size: Size | None) -> Pixels:
    """Scaled down to fit into ``size``, with even sides; as it is where it fits."""
    height, width = pixels.shape[:2]
    if size is None or (width <= size.width and height <= size.height):
        return pixels
    scale = min(Fraction(size.width, width), Fraction(size.height, height))
    inside = tuple(max(2, int(side * scale) // 2 * 2) for side in (width, height))
    return cast(Pixels, cv2.resize(pixels, inside, interpolation=cv2.INTER_AREA))


def _check_device(name: str) -> None:
    """Tell what OpenCV does not: whether the device is there, and ours to open."""
    if not _SYSTEM.startswith("linux"):
        return
    path = Path(f"/dev/video{int(name)}") if name.isdigit() else Path(name)
    if not os.path.exists(path):
        raise CameraError(
            f"there is no camera {name}: {describe_cameras(list_cameras())}; "
            "plug one in, or give a file or address as --camera"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraError(
            f"{path}: permission denied; run: sudo usermod -aG video $USER, then log in again"
        )
    # Asked before OpenCV, for which all that does not open is the same.
    found = look_at(path)
    if found is None or found.captures:
        return
    if found.problem is not None:
        raise CameraError(f"{path}: {found.problem}; {describe_cameras(list_cameras())}")
    if found.takes:
        raise CameraError(
            f"{path} ({found.name}) is a virtual camera into which nothing is played; start what "
            f"plays into it, or take another ({describe_cameras(list_cameras())})"
        )
    raise CameraError(
        f"{path} ({found.name}) gives no pictures; {describe_cameras(list_cameras())}"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without OpenCV's own lines about a device that does not open: ours says what to do."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def _api() -> int:
    """Media Foundation takes up to 20 s to open a camera (opencv issue 17687)."""
    if _SYSTEM.startswith("linux"):
        return int(cv2.CAP_V4L2)
    return int(cv2.CAP_DSHOW if _SYSTEM == "win32" else cv2.CAP_ANY)


def _why(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)
