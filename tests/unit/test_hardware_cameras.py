"""A real camera and a real virtual camera, where this machine has them."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtstyle.live import Capture, VirtualCamera
from rtstyle.media import CAPTURE_CLOCK, CameraDevice, list_cameras, open_camera
from rtstyle.types import Frame, Size
from tests.clips import moving_picture

pytestmark = pytest.mark.hardware
SECONDS = 3.0
LOOPBACKS = Path("/sys/devices/virtual/video4linux")


def is_loopback(device: CameraDevice) -> bool:
    return (LOOPBACKS / Path(device.path).name).exists()


@pytest.fixture
def real_camera() -> CameraDevice:
    if not sys.platform.startswith("linux"):
        pytest.skip("cameras are listed on Linux only")
    found = [one for one in list_cameras() if one.captures and not is_loopback(one)]
    if not found:
        pytest.skip("no camera: no /dev/video* that is a device and gives pictures")
    return found[0]


@pytest.fixture
def loopback() -> CameraDevice:
    if not sys.platform.startswith("linux"):
        pytest.skip("v4l2loopback is Linux's")
    if importlib.util.find_spec("pyvirtualcam") is None:
        pytest.skip('pyvirtualcam is missing: pip install "rtstyle[camera]"')
    found = [one for one in list_cameras() if one.takes and is_loopback(one)]
    if not found:
        pytest.skip("no virtual camera: sudo modprobe v4l2loopback exclusive_caps=1")
    return found[0]


def test_a_camera_gives_what_it_says(real_camera: CameraDevice) -> None:
    camera = open_camera(str(real_camera.number))
    try:
        first = camera.read()
        assert first is not None
        times: list[int] = []
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            frame = camera.read()
            assert frame is not None
            assert frame.size == first.size
            times.append(frame.pts)
    finally:
        camera.close()
    assert times == sorted(set(times))
    if real_camera.modes:
        assert first.size in {mode.size for mode in real_camera.modes}
    rate = (len(times) - 1) / (1e-9 * (times[-1] - times[0]))
    # In the dark a camera may give a quarter of what it says, but never more.
    assert rate > 2
    if camera.rate is not None:
        assert rate < 1.2 * float(camera.rate)


def test_a_camera_is_given_back(real_camera: CameraDevice) -> None:
    for _ in range(3):
        with Capture(lambda stop: open_camera(str(real_camera.number), stop=stop)) as capture:
            assert capture.frames.get(15.0) is not None
            assert capture.losses == 0


def test_what_is_shown_to_a_virtual_camera_is_seen_by_others(loopback: CameraDevice) -> None:
    size = Size(640, 480)
    picture = moving_picture((size.width, size.height), 3)
    stop = threading.Event()
    camera = VirtualCamera(rate=20, device=loopback.path)

    def play() -> None:
        while not stop.wait(0.05):
            camera.show(Frame(picture, time.monotonic_ns(), CAPTURE_CLOCK, None, 0))

    camera.show(Frame(picture, time.monotonic_ns(), CAPTURE_CLOCK, None, 0))
    playing = threading.Thread(target=play)
    playing.start()
    try:
        other = cv2.VideoCapture(loopback.path, cv2.CAP_V4L2)
        try:
            assert other.isOpened()
            for _ in range(5):
                good, seen = other.read()
                assert good
        finally:
            other.release()
    finally:
        stop.set()
        playing.join()
        assert "frames shown" in camera.finish()
    assert seen.shape == picture.shape
    rgb = cv2.cvtColor(seen, cv2.COLOR_BGR2RGB).astype(int)
    # It goes through YUV with half the colour, so edges differ and planes do not.
    assert np.abs(rgb - picture.astype(int)).mean() < 4
