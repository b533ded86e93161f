"""Crowds at ``rtstyle web``, held to its bars; the server is a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rtstyle.web.server import Address
from tests.security.test_web import TOKEN, Client
from tests.security.test_web_end import serve_and_end
from tests.security.test_web_live import DarkCamera, call, offered, stats
from tests.security.test_web_socket import connect, picture
from tests.security.test_web_storm import cycle

CYCLES = int(os.environ.get("RTSTYLE_WEB_CYCLES", "500"))
SECONDS = float(os.environ.get("RTSTYLE_WEB_SECONDS", "600"))
STEP = 12
SERVER = """
import sys
from rtstyle.backends import FakeStylizer
from rtstyle.web.server import Settings, run
delay = float(sys.argv[1])
settings = Settings(port=0, token=sys.argv[2], load=lambda spec: FakeStylizer(spec, delay=delay))
run(settings, lambda address: print(address.port, flush=True))
"""


@contextmanager
def server(delay: float) -> Iterator[tuple[int, int]]:
    """Process id and port of a server whose net takes ``delay`` seconds a picture."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(delay), TOKEN], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield process.pid, int(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, Address("", "127.0.0.1", port), token=TOKEN)


def use(delay: float, work: Callable[[Client, int], Awaitable[None]]) -> None:
    async def main(pid: int, port: int) -> None:
        async with client_of(port) as client:
            await work(client, pid)

    with server(delay) as (pid, port):
        asyncio.run(main(pid, port))


def holdings(pid: int) -> tuple[int, int, float]:
    """Threads, descriptors, and MiB in memory."""
    said = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {key: value.split() for key, _, value in (line.partition(":") for line in said)}
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return int(status["Threads"][0]), descriptors, int(status["VmRSS"][0]) / 1024


def test_hundreds_of_reconnects_leave_nothing_behind() -> None:
    async def work(client: Client, pid: int) -> None:
        async def least(cycles: int) -> tuple[int, int, float]:
            # Codecs and their threads go when Python collects its garbage, now and then.
            found = []
            for _ in range(cycles // STEP):
                await cycle(client, STEP)
                found.append(holdings(pid))
            threads, descriptors, memory = zip(*found, strict=True)
            return min(threads), min(descriptors), min(memory)

        before = await least(8 * STEP)
        await cycle(client, CYCLES)
        after = await least(8 * STEP)
        sys.stdout.write(f"threads, descriptors, MiB: {before} -> {after}\n")
        assert after[0] <= before[0] + 4
        assert after[1] <= before[1] + 2
        assert after[2] < before[2] + 20

    use(0.0, work)


def test_clients_too_quick_for_the_net_cost_neither_memory_nor_time() -> None:
    async def work(client: Client, pid: int) -> None:
        # Both read nothing, and send five times what the net paints.
        peer, called, _ = await call(client, DarkCamera(rate=50.0))
        socket, connected = await connect(client)

        async def pour() -> None:
            for number in range(10**9):
                await socket.send_bytes(picture(number, number % 250))
                await asyncio.sleep(0.02)

        pouring = asyncio.create_task(pour())
        settling = min(30, int(SECONDS) // 2)
        for second in range(settling + int(SECONDS)):
            if second == settling:
                before = holdings(pid)
            await asyncio.sleep(1.0)
            found = await stats(client, called)
            assert second < settling or found["delay_p95_ms"] < 500
            if not pouring.done() and (await client.ask(f"/api/live/{connected}"))[0] != 200:
                pouring.cancel()
        after = holdings(pid)
        sys.stdout.write(f"threads, descriptors, MiB: {before} -> {after}; {found}\n")
        assert found["dropped"] > found["came"] / 2
        assert after[2] < before[2] + 50
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        await socket.close()
        await peer.close()

    use(0.1, work)


STORM = """
import asyncio, sys
import aiohttp
url, body, cookie = sys.argv[1:]
headers = {"Origin": url, "Content-Type": "application/json", "Cookie": cookie}
async def one(session):
    while True:
        async with session.post(url + "/api/live", data=body, headers=headers) as answer:
            assert answer.status == 503 and answer.headers["Retry-After"]
        await asyncio.sleep(0.05)
async def main():
    async with aiohttp.ClientSession() as session:
        print("begun", flush=True)
        await asyncio.gather(*(one(session) for _ in range(96)))
asyncio.run(main())
"""


def test_a_storm_of_refused_clients_takes_less_than_a_tenth_of_the_rate() -> None:
    async def work(client: Client, pid: int) -> None:
        del pid
        body = offered("v=0")
        calls = [await call(client) for _ in range(4)]
        identifier = calls[0][1]
        async with asyncio.timeout(60):
            while not (await stats(client, identifier))["style"]:
                await asyncio.sleep(0.1)

        async def rate(seconds: float) -> float:
            first = await stats(client, identifier)
            for _ in range(int(seconds)):
                # Whoever asks for nothing is closed.
                for _, other, _ in calls:
                    last: dict[str, Any] = await stats(client, other)
                await asyncio.sleep(1.0)
            last = await stats(client, identifier)
            done = [one["came"] - one["dropped"] for one in (first, last)]
            return float(done[1] - done[0]) / seconds

        await asyncio.sleep(2.0)
        calm = await rate(10)
        storm = subprocess.Popen(
            [sys.executable, "-c", STORM, client.url, body, client.cookie],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert storm.stdout is not None
        with storm.stdout:
            storm.stdout.readline()
            stormy = await rate(10)
            assert storm.poll() is None, "a refused one was not refused as it should be"
            storm.kill()
            storm.wait()
        sys.stdout.write(f"{calm:.2f} a second, {stormy:.2f} in the storm\n")
        assert stormy > 0.9 * calm
        for peer, _, _ in calls:
            await peer.close()

    use(0.1, work)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_ends_within_five_seconds(number: signal.Signals, tmp_path: Path) -> None:
    code, took = serve_and_end(number, tmp_path, cameras=4)
    sys.stdout.write(f"ended after {took:.1f} s\n")
    assert code == 0
    assert took < 5.0
