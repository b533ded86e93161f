"""Pictures over HTTP: who gets them, who does not, and what a slow viewer costs."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import cast

import av
import cv2
import numpy as np
import pytest

from rtstyle.errors import OutputError, OutputNotWritable, UsageError
from rtstyle.live import MjpegServer, Place, parse_place
from rtstyle.live import mjpeg as module
from rtstyle.media import CAPTURE_CLOCK, open_camera
from rtstyle.types import Frame, Pixels
from tests.clips import moving_picture

WAIT = 30.0
SIZE = (96, 64)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def frame(number: int, size: tuple[int, int] = SIZE) -> Frame:
    pts = time.monotonic_ns()
    return Frame(moving_picture(size, number), pts, CAPTURE_CLOCK, None, number)


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    one = MjpegServer(Place(port=0))
    yield one
    one.abort()


class Viewer:
    """A client of its own making, which reads the parts one by one."""

    def __init__(
        self, server: MjpegServer, *, path: str | None = None, host: str | None = None, **more: str
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT)
        path = path if path is not None else server.url.removeprefix(server.name)
        heads = {"Host": host or f"127.0.0.1:{server.port}", **more}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in heads.items()]
        # HTTP/1.0, so that the body comes as it is.
        asked = "\r\n".join([f"GET /{path} HTTP/1.0", *lines, "", ""])
        self.socket.sendall(asked.encode())
        self.file = self.socket.makefile("rb")

    def headers(self) -> tuple[int, dict[str, str]]:
        status = int(self.file.readline().split()[1])
        found: dict[str, str] = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            found[name.lower()] = value.strip()
        return status, found

    def picture(self) -> Pixels:
        while not (line := self.file.readline()).lower().startswith(b"content-length"):
            assert line, "the server hung up"
        length = int(line.split(b":")[1])
        assert self.file.readline() == b"\r\n"
        data = np.frombuffer(self.file.read(length), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert picture is not None
        return cast(Pixels, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def status(server: MjpegServer, **how: str) -> int:
    with closing(Viewer(server, **how)) as viewer:
        return viewer.headers()[0]


def differ(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_a_viewer_gets_the_pictures_and_not_a_newer_one_later(server: MjpegServer) -> None:
    server.show(frame(0))
    with closing(Viewer(server)) as viewer:
        code, heads = viewer.headers()
        assert code == 200
        assert heads["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        assert heads["x-content-type-options"] == "nosniff"
        assert heads["cache-control"] == "no-store"
        assert differ(viewer.picture(), moving_picture(SIZE, 0)) < 4
        for number in (5, 9):
            server.show(frame(number))
            until(lambda number=number: differ(viewer.picture(), moving_picture(SIZE, number)) < 4)  # type: ignore[misc]
    assert "3 frames offered, 1 viewer at a time at most" in server.finish()


def test_nothing_is_encoded_while_nobody_watches(server: MjpegServer) -> None:
    for number in range(20):
        server.show(frame(number))
    time.sleep(0.1)
    assert server.encoded == 0
    viewers = [Viewer(server) for _ in range(3)]
    for viewer in viewers:
        viewer.headers()
        assert differ(viewer.picture(), moving_picture(SIZE, 19)) < 4
    assert server.encoded == 1
    server.show(frame(20))
    for viewer in viewers:
        until(lambda viewer=viewer: differ(viewer.picture(), moving_picture(SIZE, 20)) < 4)  # type: ignore[misc]
        viewer.close()
    assert server.encoded == 2


def test_a_fifth_viewer_is_turned_away_until_one_leaves(server: MjpegServer) -> None:
    server.show(frame(0))
    viewers = [Viewer(server) for _ in range(4)]
    for viewer in viewers:
        assert viewer.headers()[0] == 200
        viewer.picture()
    assert status(server) == 503
    viewers[0].close()
    until(lambda: status(server) == 200)
    for viewer in viewers:
        viewer.close()
    assert "more were turned away" in server.finish()


def test_a_viewer_that_comes_again_and_again_is_let_in(server: MjpegServer) -> None:
    """Nothing new is shown meanwhile, so that nobody's leaving shows in a write."""
    server.show(frame(0))
    for _ in range(20):
        with closing(Viewer(server)) as viewer:
            assert viewer.headers()[0] == 200
            viewer.picture()
        until(lambda: len(server._fresh) == 0)
    assert server.most_viewers == 1
    assert server.encoded == 1


def test_who_does_not_know_the_address_sees_nothing(server: MjpegServer) -> None:
    server.show(frame(0))
    token = server.url.removeprefix(server.name)
    assert len(token) >= 22
    own = f"127.0.0.1:{server.port}"
    assert status(server, path="") == 404
    assert status(server, path="x" * len(token)) == 404
    assert status(server, path=token[:-1]) == 404
    # A name that was made to point to this machine, and another port of it.
    assert status(server, host=f"evil.example:{server.port}") == 403
    assert status(server, host="127.0.0.1") == 403
    assert status(server, host=f"10.0.0.1:{server.port}") == 403
    assert status(server, host=f"me@{own}") == 403
    assert status(server, Sec_Fetch_Site="cross-site") == 403
    assert status(server, Sec_Fetch_Site="same-site") == 403
    assert status(server, Sec_Fetch_Site="none") == 200
    assert status(server, host=f"localhost:{server.port}") == 200
    assert token not in server.finish()


def test_a_viewer_that_reads_nothing_is_shut_out_and_costs_no_other() -> None:
    server = MjpegServer(Place(port=0), patience=0.5)
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    with closing(Viewer(server)) as stuck, closing(Viewer(server)) as other:
        until(lambda: len(server._fresh) == 2)
        other.headers()
        seen = 0
        deadline = time.monotonic() + WAIT
        while len(server._fresh) > 1:
            assert time.monotonic() < deadline, "it was never shut out"
            server.show(Frame(noise, time.monotonic_ns(), CAPTURE_CLOCK, None, 0))
            assert other.picture().shape == (720, 1280, 3)
            seen += 1
        assert seen > 1
        assert other.picture().shape == (720, 1280, 3)
        with pytest.raises((ConnectionError, EOFError)):
            while stuck.socket.recv(1 << 20):
                pass
            raise EOFError
    server.abort()


def test_a_viewer_that_is_slow_gets_the_newest_not_the_oldest(server: MjpegServer) -> None:
    """What waits for it is bounded by the system's buffers, however many came meanwhile."""
    size = (640, 480)
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), dtype=np.uint8)

    def marked(number: int) -> Frame:
        pixels = noise.copy()
        pixels[:32, :32] = number
        return Frame(pixels, time.monotonic_ns(), CAPTURE_CLOCK, None, number)

    assert noise.shape[:2] == size[::-1]
    with closing(Viewer(server)) as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.headers()
        for number in range(200):
            server.show(marked(number))
            time.sleep(0.005)
        got: list[int] = []
        while not got or got[-1] < 198:
            got.append(round(float(slow.picture()[4:28, 4:28].mean())))
    assert got == sorted(got)
    assert len(got) < 100


def test_who_connects_and_asks_nothing_is_hung_up_on() -> None:
    server = MjpegServer(Place(port=0), patience=0.5)
    server.show(frame(0))
    with closing(Viewer(server)) as viewer:
        viewer.headers()
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        for one in idle:
            one.settimeout(WAIT)
            with contextlib.suppress(ConnectionError):
                assert one.recv(1) == b""
            one.close()
        # Long enough that a viewer is not taken for one of them.
        for _ in range(3):
            assert viewer.picture().shape == (SIZE[1], SIZE[0], 3)
    server.abort()


def test_a_viewer_that_reads_nothing_does_not_hold_up_the_end(server: MjpegServer) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    with closing(Viewer(server)):
        until(lambda: len(server._fresh) == 1)
        for _ in range(100):
            server.show(Frame(noise.copy(), time.monotonic_ns(), CAPTURE_CLOCK, None, 0))
            time.sleep(0.01)
        began = time.monotonic()
        server.finish()
        assert time.monotonic() - began < WAIT / 4


ODD = (
    b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: {own}\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : {own}\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {own}\r\nContent-Length: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {own}\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {own}\r\nExpect: \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {own}\r\nSec-Fetch-Site: \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {own}\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: {own}\r\nX: " + b"y" * 50_000 + b"\r\n\r\n",
    b"BREW\r\n\r\n",
)


@pytest.mark.parametrize("said", ODD, ids=range(len(ODD)))
def test_what_is_no_request_gets_one_quiet_answer(server: MjpegServer, said: bytes) -> None:
    """Tracebacks of the HTTP library stood on the terminal: any log of an error fails a test."""
    server.show(frame(0))
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as line:
        line.sendall(said.replace(b"{own}", b"127.0.0.1:%d" % server.port))
        heard = b""
        with contextlib.suppress(ConnectionError):
            while piece := line.recv(65536):
                heard += piece
    assert heard.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert heard.count(b"\r\nContent-Length: ") == 1
    # Everybody else goes on.
    with closing(Viewer(server)) as viewer:
        assert viewer.headers()[0] == 200


@pytest.mark.parametrize(
    "path", ["%ff", "%00", "%2e%2e", "x/y", "?" + "x" * 100], ids=lambda path: path[:6]
)
def test_paths_that_are_none_are_not_found(server: MjpegServer, path: str) -> None:
    assert status(server, path=path) == 404


def test_ending_closes_viewers_and_the_port(server: MjpegServer) -> None:
    server.show(frame(0))
    viewers = [Viewer(server) for _ in range(2)]
    viewers[0].headers()
    viewers[0].picture()
    port = server.port
    assert "viewer" in server.finish()
    server.abort()
    viewers[0].socket.settimeout(WAIT)
    rest = viewers[0].file.read()
    assert len(rest) < 1 << 20
    for viewer in viewers:
        viewer.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1.0)
    assert not any("mjpeg" in thread.name for thread in threading.enumerate())
    with pytest.raises(OutputError, match="the server ended"):
        server.show(frame(1))


def test_a_port_that_is_taken_is_told_and_another_found_where_none_was_named(
    server: MjpegServer,
) -> None:
    with pytest.raises(OutputNotWritable, match=f"cannot listen on 127.0.0.1 port {server.port}"):
        MjpegServer(Place(port=server.port))
    other = MjpegServer(Place(port=server.port, any_port=True))
    assert other.port not in (0, server.port)
    other.abort()


def test_players_open_it(server: MjpegServer) -> None:
    stop = threading.Event()
    with closing(Feed(server, stop)) as feed:
        camera = open_camera(server.url)
        seen = camera.read()
        camera.close()
        with av.open(server.url, timeout=(WAIT, WAIT)) as player:
            assert player.format.name == "mpjpeg"
            pictures = player.decode(video=0)
            assert [next(pictures).width for _ in range(5)] == [SIZE[0]] * 5
        feed.close()
    assert seen is not None
    assert seen.pixels.shape == (SIZE[1], SIZE[0], 3)


class Feed:
    """Shows pictures until it is closed."""

    def __init__(self, server: MjpegServer, stop: threading.Event) -> None:
        self.stop = stop
        self.thread = threading.Thread(target=self.work, args=(server,))
        self.thread.start()

    def work(self, server: MjpegServer) -> None:
        number = 0
        while not self.stop.wait(0.02):
            server.show(frame(number))
            number += 1

    def close(self) -> None:
        self.stop.set()
        self.thread.join()


def test_an_address_of_ones_own_stays_the_same() -> None:
    token = "my-own-long-secret-0123456789"
    place = parse_place(f"http://127.0.0.1:0/{token}")
    one = MjpegServer(place)
    assert one.url == f"http://127.0.0.1:{one.port}/{token}"
    assert status(one, path=token) == 200
    one.abort()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:8090/short", "at least 22 characters"),
        ("http://0.0.0.0:8090", "--insecure"),
        ("http://192.168.1.5", "--insecure"),
        ("http://studio.example:80", "--insecure"),
        ("https://127.0.0.1:8090", "cannot serve there"),
        ("http://me:pw@127.0.0.1:8090", "cannot serve there"),
        ("http://127.0.0.1:99999", "cannot serve there"),
        ("http://[::1", "cannot serve there"),
        ("http://127.0.0.1/?token=1", "the path may hold"),
        ("http://127.0.0.1/" + "é" * 30, "the path may hold"),
    ],
)
def test_places_that_must_not_be_served_on_are_refused(address: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_place(address)


def test_other_machines_are_let_in_only_when_asked() -> None:
    place = parse_place("http://0.0.0.0:8090", insecure=True)
    assert place.is_everywhere
    assert not place.is_local
    assert place.is_called("192.168.1.5:8090", 8090)
    assert not place.is_called("evil.example:8090", 8090)
    assert parse_place("http://localhost:81") == Place("localhost", 81)
    assert parse_place("http://[::1]:82").is_called("[::1]:82", 82)
    assert parse_place("mjpeg").any_port


def test_without_aiohttp_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(OutputNotWritable, match=r'pip install "rtstyle\[camera\]"'):
        MjpegServer()


def test_a_server_that_breaks_is_told_to_who_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: MjpegServer) -> None:
        raise OSError("as asked")

    monkeypatch.setattr(module.MjpegServer, "_serve", broken)
    with pytest.raises(OutputNotWritable, match="did not start"):
        MjpegServer(Place(port=0))
