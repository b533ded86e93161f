"""Cameras of every kind, without one: stand-ins for the kernel, OpenCV and the network."""

from __future__ import annotations

import socket
import struct
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from rtstyle.addresses import without_secrets
from rtstyle.errors import (
    CameraBusy,
    CameraError,
    CameraLost,
    NotAVideo,
    OutputNotWritable,
    UsageError,
)
from rtstyle.media import (
    CAPTURE_CLOCK,
    Broadcast,
    Camera,
    CameraDevice,
    CameraMode,
    check_address,
    devices,
    list_cameras,
    open_camera,
)
from rtstyle.media import camera as module
from rtstyle.media.camera import DeviceCamera
from rtstyle.media.devices import missing_steps
from rtstyle.pipeline import Background
from rtstyle.types import Frame, Pixels, Size
from tests.clips import make_clip


def kernel(descriptor: int, request: int, buffer: bytearray) -> int:
    """A driver with one camera: MJPG in two sizes, and a range of sizes in YUYV."""
    del descriptor
    index, *asked = struct.unpack_from("=4I", buffer)
    if request == 0x80685600:
        buffer[16:25] = b"Good Cam\0"
        struct.pack_into("=II", buffer, 84, 0x80000001, 0x1)
    elif request == 0xC0405602 and index < 2:
        buffer[44:48] = (b"MJPG", b"YUYV")[index]
    elif request == 0xC02C564A and asked[0] == int.from_bytes(b"MJPG", "little") and index < 2:
        struct.pack_into("=3I", buffer, 8, 1, *((1280, 720), (640, 480))[index])
    elif request == 0xC02C564A and asked[0] == int.from_bytes(b"YUYV", "little") and index < 2:
        struct.pack_into("=7I", buffer, 8, 3, 16, 320, 16, 16, 240, 16)
    elif request == 0xC034564B and index < 2:
        struct.pack_into("=3I", buffer, 16, 1, 1, (60, 30)[index])
    else:
        raise OSError(22, "Invalid argument")
    return 0


def test_devices_are_listed_with_their_modes(tmp_path: Path) -> None:
    for name in ("video2", "video0", "videotape"):
        (tmp_path / name).touch()
    found = list_cameras(tmp_path, ioctl=kernel)
    assert [(one.number, one.name, one.captures, one.takes) for one in found] == [
        (0, "Good Cam", True, False),
        (2, "Good Cam", True, False),
    ]
    assert [str(mode) for mode in found[0].modes] == [
        "MJPG 1280x720 at 60, 30 fps",
        "MJPG 640x480 at 60, 30 fps",
        "YUYV 320x240 at 60, 30 fps",
    ]


def test_a_device_that_is_none_is_told_not_raised(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()

    def refuse(descriptor: int, request: int, buffer: bytearray) -> int:
        raise OSError(25, "Inappropriate ioctl for device")

    (one,) = list_cameras(tmp_path, ioctl=refuse)
    assert one.problem == "is no video device (Inappropriate ioctl for device)"
    assert list_cameras(tmp_path / "none", ioctl=refuse) == []


def of_modes(*modes: tuple[str, int, int, float]) -> CameraDevice:
    made = tuple(
        CameraMode(coding, Size(width, height), (Fraction(rate),))
        for coding, width, height, rate in modes
    )
    return CameraDevice(0, "/dev/video0", "Cam", True, False, made)


@pytest.mark.parametrize(
    ("device", "advice"),
    [
        (of_modes(), None),
        (of_modes(("MJPG", 1280, 720, 30), ("YUYV", 1280, 720, 5)), None),
        (
            of_modes(("YUYV", 640, 480, 30), ("YUYV", 1280, 720, 5)),
            "1280x720 comes at 5 fps only, since uncompressed; --size 640x480 gives 30",
        ),
        (
            of_modes(("MJPG", 640, 480, 30), ("MJPG", 1920, 1080, 10)),
            "1920x1080 comes at 10 fps only; --size 640x480 gives 30",
        ),
        (of_modes(("YUYV", 640, 480, 7.5)), "it gives no more than 7.5 fps in any mode"),
    ],
)
def test_slow_modes_are_told(device: CameraDevice, advice: str | None) -> None:
    assert device.advice == advice


def test_where_cameras_cannot_be_the_way_around_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_SYSTEM", "linux")
    monkeypatch.delenv("container", raising=False)
    assert missing_steps(tmp_path) == ""
    (tmp_path / ".dockerenv").touch()
    assert "--device /dev/video0" in missing_steps(tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/version").write_text("Linux 6.6 (root@x) microsoft-standard-WSL2")
    assert "usbipd" in missing_steps(tmp_path)
    monkeypatch.setattr(devices, "_SYSTEM", "win32")
    assert missing_steps(tmp_path) == ""


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (CameraDevice(9, "/dev/null", "Loop", False, True), "nothing is played; start what"),
        (CameraDevice(9, "/dev/null", "Meta", False, False), r"\(Meta\) gives no pictures"),
        (
            CameraDevice(9, "/dev/null", "x", False, False, problem="is no video device (x)"),
            "/dev/null: is no video device",
        ),
    ],
)
def test_a_device_that_gives_no_pictures_is_not_called_busy(
    found: CameraDevice, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SYSTEM", "linux")
    monkeypatch.setattr(module, "look_at", lambda path: found)
    with pytest.raises(CameraError, match=told):
        module._check_device("/dev/null")


class FakeCapture:
    """cv2.VideoCapture of a camera that gives 640x480, whatever it is asked for."""

    opens = True

    def __init__(self, where: int | str, api: int) -> None:
        self.asked: list[int] = []
        self.pictures = 2

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def set(self, key: int, value: float) -> bool:
        self.asked.append(key)
        return False

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}.get(key, 15)

    def grab(self) -> bool:
        self.pictures -= 1
        return self.pictures >= 0

    def retrieve(self) -> tuple[bool, Pixels]:
        picture = np.zeros((480, 640, 3), np.uint8)
        picture[..., 0] = 200
        return True, picture

    def release(self) -> None:
        pass


@pytest.fixture
def no_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(module, "_check_device", lambda name: None)


@pytest.mark.usefixtures("no_hardware")
def test_a_device_is_asked_for_mjpg_first_and_tells_what_it_does_not_give() -> None:
    device = open_camera("0", size=Size(1280, 720), fps=30)
    assert isinstance(device, DeviceCamera)
    assert device.device
    assert device.notes == (
        "camera 0 gives 640x480 instead of 1280x720",
        "camera 0 gives 15 frames a second instead of 30",
    )
    raw: FakeCapture = device._capture  # type: ignore[assignment]
    assert raw.asked[0] == cv2.CAP_PROP_FOURCC
    assert raw.asked[-1] == cv2.CAP_PROP_BUFFERSIZE
    frame = device.read()
    assert frame is not None
    assert tuple(frame.pixels[0, 0]) == (0, 0, 200)  # RGB, not BGR
    assert frame.time_base == CAPTURE_CLOCK
    device.read()
    with pytest.raises(CameraLost, match="check its cable"):
        device.read()


@pytest.mark.usefixtures("no_hardware")
def test_a_device_that_does_not_open_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCapture, "opens", False)
    with pytest.raises(CameraBusy, match="another program may hold it"):
        open_camera("0")


def test_a_camera_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(CameraError, match=r"there is no camera 97: .*; plug one in"):
        open_camera("97")


def read_all(device: Camera) -> list[Frame]:
    frames = []
    while (frame := device.read()) is not None:
        frames.append(frame)
    device.close()
    return frames


def test_a_film_plays_at_its_own_pace_and_fits_into_the_size(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", size=(160, 90), frames=5, rate=10)
    frames = read_all(open_camera(str(clip), size=Size(80, 80)))
    assert [frame.size for frame in frames] == [Size(80, 44)] * 5
    # Four intervals of a tenth from the second call on.
    assert frames[-1].seconds - frames[0].seconds >= Fraction(4, 10)


def test_a_stop_ends_the_wait_of_a_film(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3, pts=[0, 1, 3600], time_base=Fraction(1))
    stop = threading.Event()
    stop.set()
    assert len(read_all(open_camera(str(clip), stop=stop))) == 3


def test_a_file_that_is_none_is_an_error_of_the_input(tmp_path: Path) -> None:
    with pytest.raises(NotAVideo):
        open_camera(str(tmp_path / "none.mp4"))


def test_no_message_shows_a_password() -> None:
    assert without_secrets("rtsp://me:secret@cam:554/x?key=secret") == "rtsp://cam:554/x"
    with pytest.raises(CameraError) as caught:
        open_camera("http://me:secret@127.0.0.1:9/x")
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)


def test_an_address_cannot_read_local_files(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    with pytest.raises(CameraError, match="cannot be opened"):
        open_camera(f"file://{clip}")


@pytest.mark.parametrize("url", ["gopher://x/y", "http://x/y", "file:///tmp/x"])
def test_addresses_that_nothing_can_be_sent_to_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="cannot send there"):
        check_address(url)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_what_is_sent_arrives_and_plays_as_a_camera() -> None:
    port = free_port()
    sent = Background(lambda stop: send(port, stop), name="sender")
    try:
        device = open_camera(f"udp://127.0.0.1:{port}?timeout=20000000")
        frame = device.read()
        device.close()
    finally:
        assert sent.close(20.0)
    assert sent.error is None
    assert frame is not None
    assert frame.size == Size(64, 48)  # the odd row and column are not sent
    assert np.abs(frame.pixels[20, 20].astype(int) - (200, 60, 40)).max() < 12


def send(port: int, stop: threading.Event) -> None:
    """A second of pictures again and again, until somebody has seen one."""
    picture = np.zeros((49, 65, 3), np.uint8)
    picture[...] = (200, 60, 40)
    with Broadcast(f"udp://127.0.0.1:{port}", Size(65, 49), Fraction(10)) as sink:
        number = 0
        while not stop.wait(0.02):
            sink.write(Frame(picture, number, Fraction(1, 10), None, number))
            number += 1
        assert sink.finish().frames == number


def test_a_receiver_that_is_not_there_is_told_without_the_key() -> None:
    with (
        Broadcast("rtmp://127.0.0.1:9/live?key=secret", Size(64, 48), Fraction(25)) as sink,
        pytest.raises(OutputNotWritable) as caught,
    ):
        for number in range(9):
            sink.write(Frame(np.zeros((48, 64, 3), np.uint8), number, Fraction(1, 25), None, 0))
    assert not sink.answered
    assert "secret" not in str(caught.value)


def test_pyav_still_has_what_sends() -> None:
    assert {"flv", "mpegts", "rtsp"} <= av.formats_available
