"""Live pictures of ``rtstyle web`` over a WebSocket: the same guards, and checked pictures."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtstyle.errors import CorruptInput, LimitExceeded
from rtstyle.media import jpeg_of, pixels_of_jpeg
from rtstyle.types import Limits
from tests.clips import moving_picture

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType

from rtstyle.backends import FakeStylizer
from rtstyle.styles import StyleSpec
from rtstyle.web.server import Settings
from rtstyle.web.socket import MAX_MESSAGE_BYTES, SocketWay
from tests.security.test_web import TOKEN, Client, run

WAIT = 60.0
STYLE = {"style": "great-wave"}


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def negative(style: StyleSpec) -> FakeStylizer:
    return FakeStylizer(style, invert=True)


async def connect(
    client: Client,
    options: object = STYLE,
    *,
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    autoping: bool = True,
) -> tuple[ClientWebSocketResponse, str]:
    """The socket and the id that the server gave it."""
    socket = await client.session.ws_connect(
        f"{client.url}/api/live/socket",
        params={"options": json.dumps(options), **(params or {})},
        headers={
            "Cookie": client.cookie,
            **({"Origin": client.url} if headers is None else headers),
        },
        autoping=autoping,
    )
    return socket, str((await socket.receive_json(timeout=WAIT))["id"])


async def refused(
    client: Client,
    options: object = STYLE,
    *,
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await connect(client, options, params=params, headers=headers)
    return caught.value.status


def picture(number: int, shade: int = 0, size: tuple[int, int] = (48, 64)) -> bytes:
    return struct.pack(">I", number) + jpeg_of(np.full((*size, 3), shade, np.uint8))


async def answer(socket: ClientWebSocketResponse) -> tuple[int, float, tuple[int, int]]:
    """Number, mean and size of the next painted picture."""
    data = await socket.receive_bytes(timeout=WAIT)
    pixels = pixels_of_jpeg(data[4:], most=10**7)
    return struct.unpack(">I", data[:4])[0], float(pixels.mean()), pixels.shape[:2]


def test_pictures_come_back_painted_with_their_numbers_and_the_same_controls() -> None:
    async def work(client: Client) -> None:
        socket, identifier = await connect(client)
        here = f"/api/live/{identifier}"
        number, shade = 0, 0.0
        while shade < 200:
            number += 1
            await socket.send_bytes(picture(number, number % 9))
            found, shade, size = await answer(socket)
            assert found == number
            assert size == (48, 64)
        stats = (await client.ask(here))[1]
        assert (stats["style"], stats["size"], stats["trouble"]) == ("great-wave", "64x48", "")
        assert stats["came"] == number
        sent = {"Content-Type": "application/json"}
        assert (await client.ask(here, "POST", headers=sent, data='{"strength": 0}'))[0] == 200
        await socket.send_bytes(picture(number + 1, 30))
        assert (await answer(socket))[1] < 40
        assert (await client.ask(here, "DELETE"))[0] == 200
        assert (await socket.receive(timeout=WAIT)).type is WSMsgType.CLOSE
        assert (await client.ask(here))[0] == 404

    run(work, Settings(load=negative))


def test_it_counts_as_a_camera_and_frees_its_place() -> None:
    async def work(client: Client) -> None:
        socket, identifier = await connect(client)
        assert await refused(client) == 503
        status, said, headers = await client.ask(
            "/api/live/socket", params={"options": json.dumps(STYLE)}, headers={"Origin": ""}
        )
        assert status == 403, "no Origin, no token"
        status, said, headers = await client.ask(
            "/api/live/socket",
            params={"options": json.dumps(STYLE)},
            headers={"Origin": client.url},
        )
        assert (status, "no room" in said["error"]) == (503, True)
        assert headers["Retry-After"]
        await socket.close()
        while (await client.ask(f"/api/live/{identifier}"))[0] == 200:
            await asyncio.sleep(0.02)
        again, _ = await connect(client)
        await again.close()

    run(work, Settings(load=negative, limits=Limits(max_clients=1)))


def test_only_the_page_itself_may_connect() -> None:
    async def work(client: Client) -> None:
        for origin in ("http://evil.test", "null", "http://127.0.0.1:1"):
            assert await refused(client, headers={"Origin": origin}) == 403
        assert await refused(client, headers={}) == 403
        named = {"Origin": client.url, "Host": "evil.test"}
        assert await refused(client, headers=named) == 403

    run(work, Settings(load=negative))


def test_where_the_token_is_demanded_it_is_here_too() -> None:
    async def work(client: Client) -> None:
        assert await refused(client, headers={"Origin": client.url, "Cookie": ""}) == 401
        bearer = {"Authorization": f"Bearer {TOKEN}", "Cookie": ""}
        socket, _ = await connect(client, headers=bearer)
        await socket.close()

    run(work, Settings(load=negative, token=TOKEN))


@pytest.mark.parametrize(
    "options",
    [
        {},
        [],
        {"style": "nothing"},
        {**STYLE, "shell": "rm"},
        {**STYLE, "strength": 2},
        {**STYLE, "split": True},
    ],
    ids=str,
)
def test_options_that_are_not_in_the_schema_are_refused(options: object) -> None:
    async def work(client: Client) -> None:
        assert await refused(client, options) == 400
        assert await refused(client, params={"more": "1"}) == 400

    run(work, Settings(load=negative))


def bomb() -> bytes:
    """A tiny JPEG that says it is 60,000 pixels wide and high."""
    data = jpeg_of(np.zeros((8, 8, 3), np.uint8))
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 60_000, 60_000) + data[at + 4 :]


def scans() -> bytes:
    """A picture of many more scans than browsers write."""
    data = jpeg_of(np.zeros((64, 64, 3), np.uint8))
    at = data.index(b"\xff\xda")
    return data[:at] + data[at:-2] * 200 + data[-2:]


HOSTILE = {
    "empty": b"",
    "text": b"<html>" * 100,
    "png": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "cut short": jpeg_of(moving_picture((160, 90), 1))[:900],
    "no frame": b"\xff\xd8" + b"\xff\xe0\x00\x10" + b"\0" * 14 + b"\xff\xd9",
    "bomb": bomb(),
    "scans": scans(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_ends_its_own_connection_alone(name: str) -> None:
    async def work(client: Client) -> None:
        good, _ = await connect(client)
        socket, identifier = await connect(client)
        await socket.send_bytes(struct.pack(">I", 1) + HOSTILE[name])
        said = await socket.receive(timeout=WAIT)
        assert said.type is WSMsgType.CLOSE
        assert said.data in (1003, 1007)
        assert "Traceback" not in str(said.extra)
        while (await client.ask(f"/api/live/{identifier}"))[0] == 200:
            await asyncio.sleep(0.02)
        await good.send_bytes(picture(7))
        assert (await answer(good))[0] == 7
        await good.close()

    run(work, Settings(load=negative))


def test_a_message_beyond_the_limit_or_of_words_is_refused() -> None:
    async def work(client: Client) -> None:
        socket, _ = await connect(client)
        await socket.send_bytes(bytes(MAX_MESSAGE_BYTES + 1))
        said = await socket.receive(timeout=WAIT)
        assert (said.type, said.data) == (WSMsgType.CLOSE, 1009)
        socket, _ = await connect(client)
        await socket.send_str('{"style": "great-wave"}')
        said = await socket.receive(timeout=WAIT)
        assert (said.type, said.data) == (WSMsgType.CLOSE, 1003)

    run(work, Settings(load=negative))


def test_who_sends_and_reads_nothing_gets_the_newest_and_holds_no_memory() -> None:
    async def work(client: Client) -> None:
        socket, identifier = await connect(client)
        for number in range(1, 401):
            await socket.send_bytes(picture(number, number % 250))
            await asyncio.sleep(0.005)
        stats = (await client.ask(f"/api/live/{identifier}"))[1]
        assert stats["dropped"] > 100
        assert stats["delay_p95_ms"] < 500
        numbers = [0]
        while numbers[-1] < 400:
            numbers.append((await answer(socket))[0])
        assert numbers == sorted(numbers)
        assert len(numbers) < 300
        await socket.close()

    run(work, Settings(load=lambda style: FakeStylizer(style, delay=0.02)))


def test_who_never_reads_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtstyle.web.socket._STUCK_SECONDS", 0.5)
    monkeypatch.setattr("rtstyle.web.socket._CLOSE_SECONDS", 0.2)

    async def work(client: Client) -> None:
        noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
        socket, identifier = await connect(client)
        transport = socket._conn.transport if socket._conn is not None else None
        assert transport is not None
        transport.pause_reading()
        data = struct.pack(">I", 1) + cv2.imencode(".jpg", noise)[1].tobytes()

        async def pour() -> None:
            while True:
                await socket.send_bytes(data)
                await asyncio.sleep(0.01)

        pouring = asyncio.create_task(pour())
        async with asyncio.timeout(WAIT):
            while (await client.ask(f"/api/live/{identifier}"))[0] == 200:
                await asyncio.sleep(0.1)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        transport.abort()

    run(work, Settings(load=negative))


def test_who_says_nothing_more_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtstyle.web.socket._HEARTBEAT_SECONDS", 0.4)

    async def work(client: Client) -> None:
        # Without autoping nothing answers the server's pings: a machine that was switched off.
        _, identifier = await connect(client, autoping=False)
        async with asyncio.timeout(WAIT):
            while (await client.ask(f"/api/live/{identifier}"))[0] == 200:
                await asyncio.sleep(0.1)

    run(work, Settings(load=negative))


def test_who_stays_and_shows_nothing_loses_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SocketWay, "patience", 1.0)

    async def work(client: Client) -> None:
        socket, _ = await connect(client)
        said = await socket.receive(timeout=WAIT)
        assert said.type is WSMsgType.CLOSE

    run(work, Settings(load=negative))


def test_a_storm_of_sockets_leaves_nothing_behind() -> None:
    async def work(client: Client) -> None:
        async def cycle(count: int) -> None:
            for index in range(count):
                socket, identifier = await connect(client)
                await socket.send_bytes(picture(index))
                await answer(socket)
                await socket.close()
                while (await client.ask(f"/api/live/{identifier}"))[0] == 200:
                    await asyncio.sleep(0.01)

        await cycle(10)
        before = threading.active_count(), len(asyncio.all_tasks())
        await cycle(50)
        assert threading.active_count() <= before[0] + 3
        assert len(asyncio.all_tasks()) <= before[1] + 2

    run(work, Settings(load=negative))


def test_a_picture_survives_the_way_there_and_back() -> None:
    source = moving_picture((160, 90), 3)
    back = pixels_of_jpeg(jpeg_of(source), most=160 * 90)
    assert np.abs(back.astype(int) - source).mean() < 4
    with pytest.raises(LimitExceeded):
        pixels_of_jpeg(jpeg_of(source), most=160 * 90 - 1)
    with pytest.raises(CorruptInput):
        pixels_of_jpeg(HOSTILE["cut short"], most=10**7)
