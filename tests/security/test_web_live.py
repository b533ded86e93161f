"""Live pictures of ``rtstyle web``: who gets in, what is refused, and that nothing piles up."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtstyle.errors import BackendError, UsageError
from rtstyle.types import DEFAULT_LIMITS, Limits

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

import aiohttp
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import VIDEO_TIME_BASE

from rtstyle.backends import FakeStylizer
from rtstyle.live import Palette
from rtstyle.media import WireFrame, frame_of, pixels_of
from rtstyle.styles import StyleSpec
from rtstyle.web.peers import checked_offer, quick_to_begin
from rtstyle.web.schema import LiveOptions
from rtstyle.web.server import Settings
from rtstyle.web.viewer import EndedError, Newest, Viewer
from tests.security.test_web import Client, run

JSON = {"Content-Type": "application/json"}
WAIT = 60.0
OFFER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 VP8/90000\r\n"


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def negative(style: StyleSpec) -> FakeStylizer:
    return FakeStylizer(style, invert=True)


class DarkCamera(VideoStreamTrack):
    """Black pictures, as a browser's camera; ``rate`` a second, and their size may change."""

    def __init__(self, rate: float = 30.0) -> None:
        super().__init__()
        self._gap = 1.0 / rate
        self._sent = 0
        self.size = (64, 48)

    async def recv(self) -> WireFrame:
        await asyncio.sleep(self._gap)
        self._sent += 1
        width, height = self.size
        pixels = np.zeros((height, width, 3), np.uint8)
        # No two alike, or no net would run.
        pixels[0, 0] = self._sent % 256
        pts = int(self._sent * self._gap * 90_000)
        return frame_of(pixels, pts=pts, time_base=VIDEO_TIME_BASE)


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT):
        while not await found():
            await asyncio.sleep(0.05)


def offered(sdp: str, **options: object) -> str:
    return json.dumps({"sdp": sdp, "style": "great-wave", **options})


async def offering(camera: VideoStreamTrack) -> RTCPeerConnection:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTrack(camera)
    await peer.setLocalDescription(await peer.createOffer())
    return peer


async def call(
    client: Client, camera: VideoStreamTrack | None = None, **options: object
) -> tuple[RTCPeerConnection, str, asyncio.Queue[MediaStreamTrack]]:
    peer = await offering(camera or DarkCamera())
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    peer.on("track", tracks.put_nowait)
    status, found, headers = await client.ask(
        "/api/live", "POST", headers=JSON, data=offered(peer.localDescription.sdp, **options)
    )
    if status == 503:
        assert headers["Retry-After"]
        await peer.close()
        raise ConnectionRefusedError
    assert status == 201, found
    await peer.setRemoteDescription(RTCSessionDescription(found["sdp"], "answer"))
    return peer, str(found["id"]), tracks


async def stats(client: Client, identifier: str) -> dict[str, Any]:
    status, found, _ = await client.ask(f"/api/live/{identifier}")
    assert status == 200
    return dict(found)


def test_a_camera_comes_back_painted_within_the_limit_and_is_closed() -> None:
    async def work(client: Client) -> None:
        peer, identifier, tracks = await call(client)
        try:
            with pytest.raises(ConnectionRefusedError):
                await call(client)
            track = await tracks.get()

            async def is_painted() -> bool:
                frame = await track.recv()
                assert isinstance(frame, WireFrame)
                return bool(pixels_of(frame, most=10**6).mean() > 200)

            await until(is_painted)
            here = f"/api/live/{identifier}"
            found = await stats(client, identifier)
            assert (found["style"], found["loading"], found["trouble"]) == ("great-wave", False, "")
            assert found["size"] == "64x48"
            assert found["backend"] == "fake fp32"
            known, unknown = '{"strength": 0.5}', '{"speed": 1}'
            assert (await client.ask(here, "POST", headers=JSON, data=known))[0] == 200
            assert (await client.ask(here, "POST", headers=JSON, data=unknown))[0] == 400
            assert (await client.ask(here, "DELETE"))[0] == 200
            assert (await client.ask(here))[0] == 404
        finally:
            await peer.close()

    run(work, Settings(load=negative, limits=Limits(max_clients=1)))


def test_a_style_is_switched_without_a_gap_and_one_that_fails_leaves_the_old_one() -> None:
    gate = threading.Event()

    def load(style: StyleSpec) -> FakeStylizer:
        if style.name == "hayao":
            raise BackendError("hayao does not load here")
        if style.name == "starry-night":
            assert gate.wait(WAIT)
        return negative(style)

    async def work(client: Client) -> None:
        peer, identifier, tracks = await call(client)
        here = f"/api/live/{identifier}"
        try:
            track = await tracks.get()
            shades: list[float] = []

            async def watch() -> None:
                while True:
                    frame = await track.recv()
                    assert isinstance(frame, WireFrame)
                    shades.append(float(pixels_of(frame, most=10**6).mean()))

            watching = asyncio.create_task(watch())

            async def shows(name: str) -> bool:
                return bool((await stats(client, identifier))["style"] == name)

            await until(lambda: shows("great-wave"))
            await asyncio.sleep(0.5)
            shades.clear()
            before = (await stats(client, identifier))["dropped"]
            await client.ask(here, "POST", headers=JSON, data='{"style": "starry-night"}')
            await asyncio.sleep(0.5)
            found = await stats(client, identifier)
            assert (found["style"], found["wanted"]) == ("great-wave", "starry-night")
            assert found["loading"]
            gate.set()
            await until(lambda: shows("starry-night"))
            await client.ask(here, "POST", headers=JSON, data='{"style": "hayao"}')

            async def is_told() -> bool:
                return "hayao does not load" in (await stats(client, identifier))["trouble"]

            await until(is_told)
            found = await stats(client, identifier)
            assert (found["style"], found["loading"]) == ("starry-night", False)
            watching.cancel()
            assert len(shades) > 5
            assert min(shades) > 200, "every picture was painted"
            assert found["dropped"] - before < 10
        finally:
            await peer.close()

    run(work, Settings(load=load))


def test_a_style_that_was_removed_meanwhile_is_told_and_changes_nothing() -> None:
    with Palette([], load=negative, keep=1) as palette:
        style = replace(FakeStylizer().spec, name="mine")
        viewer = Viewer(palette, LiveOptions("mine"), {"mine": style})
        with pytest.raises(UsageError, match="gone is not here any more"):
            viewer.tune(LiveOptions("gone", strength=0.5), {"mine": style})
        assert viewer.wanted == LiveOptions("mine")
        asyncio.run(viewer.close())


def test_a_camera_that_changes_its_size_stays_painted() -> None:
    camera = DarkCamera()

    async def work(client: Client) -> None:
        peer, identifier, tracks = await call(client, camera)
        try:
            track = await tracks.get()
            for size in ((64, 48), (96, 64), (48, 64), (640, 360), (64, 48)):
                camera.size = size

                async def is_there(size: tuple[int, int] = size) -> bool:
                    frame = await track.recv()
                    assert isinstance(frame, WireFrame)
                    there = (frame.width, frame.height) == size
                    return there and bool(pixels_of(frame, most=10**6).mean() > 200)

                await until(is_there)
            assert (await stats(client, identifier))["trouble"] == ""
        finally:
            await peer.close()

    run(work, Settings(load=negative))


@pytest.mark.parametrize(
    "sdp",
    [
        "v=0",
        "v=0\r\n\r\n\r\n",
        OFFER,
        OFFER + VIDEO,
        OFFER + VIDEO * 1000,
        OFFER + "m=x\r\n",
        OFFER + VIDEO + "a=x\r\n" * 12_000,
        OFFER + VIDEO + "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n" * 1300,
        OFFER + VIDEO + "a=candidate:1 1 udp 1 198.51.100.7 25 typ host\r\n" * 1200,
        OFFER + VIDEO + "a=candidate:\r\n" + "a=fingerprint:x\r\na=ice-ufrag:\r\n",
        "x",
    ],
    ids=lambda sdp: f"{len(sdp)}{sdp[-12:]}",
)
def test_a_malformed_offer_is_answered_soon_and_leaves_no_peer(sdp: str) -> None:
    async def work(client: Client) -> None:
        for _ in range(6):  # more than may be on at once
            before = time.monotonic()
            status, found, _ = await client.ask(
                "/api/live", "POST", headers=JSON, data=offered(sdp[:64_000])
            )
            assert status == 400
            assert set(found) == {"error"}
            assert "Traceback" not in found["error"]
            # A tenth of this on a machine with nothing else to do.
            assert time.monotonic() - before < 5.0

    run(work, Settings(load=negative))


def test_an_offer_of_a_megabyte_is_refused_by_its_length() -> None:
    async def work(client: Client) -> None:
        body = offered(OFFER + "a=x\r\n" * 200_000).encode()
        assert len(body) > 10**6
        for _ in range(6):
            sent = io.BytesIO(body)
            status, _, _ = await client.ask("/api/live", "POST", headers=JSON, data=sent)
            assert status == 413

    run(work, Settings(load=negative))


def test_addresses_of_others_are_taken_out_of_an_offer() -> None:
    near = "a=candidate:1 1 udp 2113937151 127.0.0.1 50000 typ host\r\n"
    far = "a=candidate:2 1 udp 2113937151 198.51.100.7 25 typ host\r\n"
    named = "a=candidate:3 1 udp 2113937151 evil.local 25 typ host\r\n"
    cleaned = checked_offer(OFFER + VIDEO + far + near * 500 + named, "127.0.0.1")
    assert 1 <= cleaned.count("50000") <= 32
    assert "198.51.100.7" not in cleaned
    assert "evil.local" not in cleaned
    # One of this machine is no address of a client elsewhere.
    assert "50000" not in checked_offer(OFFER + VIDEO + near, "203.0.113.5")


def test_the_answer_asks_for_a_good_picture_at_once() -> None:
    lines = ["v=0", "a=rtpmap:97 VP8/90000", "a=rtpmap:98 rtx/90000", "a=fmtp:98 apt=97"]
    lines += ["a=rtpmap:99 H264/90000", "a=fmtp:99 packetization-mode=1"]
    answer = quick_to_begin("\r\n".join(lines) + "\r\n").split("\r\n")
    rates = "x-google-start-bitrate=4000;x-google-min-bitrate=1000;x-google-max-bitrate=8000"
    assert answer[2] == f"a=fmtp:97 {rates}"
    assert answer[4] == lines[3]
    assert answer[6] == f"{lines[5]};{rates}"


def test_limits_have_a_number_of_cameras() -> None:
    assert DEFAULT_LIMITS.max_clients == 4


def test_the_newest_picture_waits_and_older_ones_are_dropped() -> None:
    async def main() -> None:
        newest: Newest[int] = Newest()
        for item in range(100):
            newest.put(item)
        assert await newest.get() == 99
        assert (newest.came, newest.dropped) == (100, 99)
        waiting = asyncio.create_task(newest.get())
        await asyncio.sleep(0)
        newest.close()
        with pytest.raises(EndedError):
            await waiting

    asyncio.run(main())


def test_a_websocket_from_elsewhere_is_refused_at_the_handshake() -> None:
    async def work(client: Client) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.session.ws_connect(
                client.url + "/api/live",
                origin="http://evil.test",
                headers={"Cookie": client.cookie},
            )
        assert caught.value.status == 403

    run(work)
