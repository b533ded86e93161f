"""Slow clients of ``rtstyle web``: those that read nothing or send next to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

import aiohttp
from aiohttp import web

from rtstyle.web import places
from rtstyle.web.downloads import span
from rtstyle.web.places import Pace, Places, TooSlowError, Transfer
from rtstyle.web.server import Settings
from rtstyle.web.spool import PREFIX
from tests.clips import png_picture
from tests.security.test_web import BINARY, Client, finished, running, started

LARGE = 48 * 2**20
"""More than the buffers of both systems hold."""


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture(autouse=True)
def pressed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PRESSED_SECONDS", 0.3)


def use(
    work: Callable[[Client], Coroutine[Any, Any, None]], settings: Settings | None = None
) -> None:
    async def main() -> None:
        async with asyncio.timeout(120), running(settings) as client:
            await work(client)

    asyncio.run(main())


def head(client: Client, line: str, *headers: str, known: bool = True) -> bytes:
    own = [f"Host: 127.0.0.1:{client.address.port}", f"Origin: {client.url}"]
    own += [f"Cookie: {client.cookie}"] if known else []
    return "\r\n".join((f"{line} HTTP/1.1", *own, *headers, "", "")).encode()


def connected(client: Client, said: bytes) -> socket.socket:
    line = socket.socket()
    # Before it connects, or the window is offered already.
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(30)
    line.connect(("127.0.0.1", client.address.port))
    line.sendall(said)
    return line


@contextlib.asynccontextmanager
async def crowd(client: Client, count: int, said: bytes) -> AsyncIterator[list[socket.socket]]:
    """Clients that say one thing and read nothing."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(await asyncio.to_thread(connected, client, said))
            for _ in range(count)
        ]


async def large_result(client: Client, folder: Path) -> str:
    """The path of a result that is larger than a picture ever is."""
    identifier = await started(client, png_picture(), "p.png")
    assert (await finished(client, identifier))["state"] == "done"
    (spool,) = folder.glob(f"{PREFIX}*")
    os.truncate(spool / f"{identifier}.png", LARGE)
    return f"/api/jobs/{identifier}/result"


async def until_answered(client: Client, path: str, *, seconds: float = 20.0) -> tuple[int, int]:
    """Status and length of the answer; tried again where a refusal asks for that."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            async with client.session.get(
                client.url + path, headers={"Cookie": client.cookie, "Connection": "close"}
            ) as answer:
                length = len(await answer.read())
                if answer.status != 503:
                    return answer.status, length
                assert answer.headers["Retry-After"]
        assert time.monotonic() < deadline, "nobody else is served"
        await asyncio.sleep(0.1)


def test_a_hundred_that_read_nothing_keep_nobody_out(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        path = await large_result(client, tmp_path)
        async with crowd(client, 100, head(client, f"GET {path}")):
            await asyncio.sleep(0.5)
            began = time.monotonic()
            # A page at once, and a file as large as theirs as soon as one of them gives way.
            assert (await until_answered(client, "/"))[0] == 200
            assert (await until_answered(client, "/api/jobs"))[0] == 200
            assert time.monotonic() - began < 5.0
            assert await until_answered(client, path) == (200, LARGE)

    use(work)


def test_who_takes_nothing_is_let_go_of(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        path = await large_result(client, tmp_path)
        async with crowd(client, 3, head(client, f"GET {path}")) as lines:
            await asyncio.sleep(3.0)
            for line in lines:
                got = await asyncio.to_thread(drained, line)
                assert 0 < got < LARGE
        # Who reads gets all of it.
        assert await until_answered(client, path) == (200, LARGE)

    use(work, Settings(idle_seconds=1.0, block_seconds=1.0))


def drained(line: socket.socket) -> int:
    """How many bytes come until the end of a connection."""
    got = 0
    with contextlib.suppress(ConnectionError):
        while piece := line.recv(2**20):
            got += len(piece)
    return got


def test_many_questions_whose_answers_nobody_reads_end_the_connection() -> None:
    """Without the token: the page is given to everybody."""

    async def work(client: Client) -> None:
        questions = head(client, "GET /style.css", known=False) * 3000
        async with crowd(client, 1, questions) as (line,):
            await asyncio.sleep(3.0)
            got = await asyncio.to_thread(drained, line)
        whole = len((await client.ask("/style.css"))[1])
        assert got < 3000 * whole * 0.8, "all were answered"

    use(work, Settings(idle_seconds=1.0, block_seconds=1.0))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_closed_connection_whose_rest_nobody_takes_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too little for anybody to wait for it to be taken, and without the token."""
    real = Places.attach

    def attach(self: Places, server: web.Server) -> None:
        real(self, server)
        made = server.connection_made

        def come(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
            # So that the rest waits in the server, and not in the system.
            line = transport.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            made(handler, transport)

        monkeypatch.setattr(server, "connection_made", come)

    monkeypatch.setattr(Places, "attach", attach)

    async def work(client: Client) -> None:
        before = len(os.listdir("/proc/self/fd"))

        def here(lines: list[socket.socket]) -> int:
            return len(os.listdir("/proc/self/fd")) - before - len(lines)

        asked = head(client, "GET /style.css", "Connection: close", known=False)
        async with crowd(client, 20, asked) as lines:
            await asyncio.sleep(0.2)
            assert here(lines) == 20, "all was taken at once: this proves nothing"
            await asyncio.sleep(4.0)
            assert here(lines) == 0

    use(work, Settings(idle_seconds=1.0, block_seconds=1.0))


def test_an_upload_that_drips_is_cut_off_however_regularly(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.address.port)
        kind = "Content-Type: application/octet-stream"
        writer.write(head(client, "POST /api/uploads?name=a.mp4", kind, "Content-Length: 9000000"))

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"x" * 10)
                    await writer.drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"too little came" in answer
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()

    use(work, Settings(block_seconds=1.5))


@pytest.mark.parametrize("dripping", [False, True])
def test_uploads_that_do_not_come_take_no_place_from_one_that_does(
    tmp_path: Path, dripping: bool
) -> None:
    async def work(client: Client) -> None:
        kind = "Content-Type: application/octet-stream"
        said = head(client, "POST /api/uploads?name=a.mp4", kind, "Content-Length: 9000000")
        async with crowd(client, 110, said) as lines:

            async def drip() -> None:
                while True:
                    for line in lines:
                        with contextlib.suppress(OSError):
                            line.send(b"x")
                    await asyncio.sleep(0.05)

            drips = asyncio.create_task(drip() if dripping else asyncio.sleep(60))
            await asyncio.sleep(1.0)
            for _ in range(3):
                status, found = 0, None
                deadline = time.monotonic() + 20
                while status != 200:
                    with contextlib.suppress(aiohttp.ClientError):
                        status, found, _ = await client.ask(
                            "/api/uploads", "POST", headers=BINARY, data=bytes(300_000)
                        )
                    assert time.monotonic() < deadline, (status, found)
                    await asyncio.sleep(0.05)
            drips.cancel()
            await asyncio.gather(drips, return_exceptions=True)
        (spool,) = tmp_path.glob(f"{PREFIX}*")
        async with asyncio.timeout(30):
            while len(list(spool.iterdir())) > 4:
                await asyncio.sleep(0.05)

    use(work)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", None),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-5000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-5000", (0, 100)),
        ("bytes=100-", (100, 100)),
        ("bytes=-0", (100, 100)),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("bytes=" + "9" * 400 + "-", None),
        ("lines=0-9", None),
        ("bytes=٣-٤", None),
    ],
)
def test_a_range_is_a_part_or_the_whole(asked: str, found: tuple[int, int] | None) -> None:
    assert span(asked, 100) == found


def test_parts_of_a_result_are_those_asked_for(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        identifier = await started(client, png_picture(), "p.png")
        assert (await finished(client, identifier))["state"] == "done"
        here = f"/api/jobs/{identifier}/result"
        _, whole, headers = await client.ask(here)
        tag = headers["ETag"]
        assert headers["Accept-Ranges"] == "bytes"
        status, part, headers = await client.ask(here, headers={"Range": "bytes=5-14"})
        assert (status, part) == (206, whole[5:15])
        assert headers["Content-Range"] == f"bytes 5-14/{len(whole)}"
        ranged = {"Range": "bytes=5-14"}
        assert (await client.ask(here, headers={**ranged, "If-Range": tag}))[0] == 206
        status, part, _ = await client.ask(here, headers={**ranged, "If-Range": '"another"'})
        assert (status, part) == (200, whole)
        status, _, headers = await client.ask(here, headers={"Range": f"bytes={len(whole)}-"})
        assert (status, headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
        assert (await client.ask(here, headers={"If-None-Match": tag}))[0] == 304
        status, part, headers = await client.ask(here, "HEAD", headers={"Origin": ""})
        assert (status, part, headers["Content-Length"]) == (200, b"", str(len(whole)))

    use(work)


def test_only_the_wait_for_the_client_counts() -> None:
    async def main() -> None:
        transfer = Transfer(Pace(idle_seconds=10, block_bytes=100, block_seconds=0.4))
        await asyncio.sleep(0.5)
        assert transfer.slow_seconds == 0.0
        for _ in range(6):
            async with transfer.waiting():
                await asyncio.sleep(0.1)
            transfer.moved(100)
        with pytest.raises(TooSlowError, match="too little came"):
            for _ in range(20):
                async with transfer.waiting():
                    await asyncio.sleep(0.1)
                transfer.moved(1)
        idle = Transfer(Pace(idle_seconds=0.1))
        with pytest.raises(TooSlowError, match="nothing came"):
            async with idle.waiting():
                await asyncio.sleep(5)

    asyncio.run(main())
