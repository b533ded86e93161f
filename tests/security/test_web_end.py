"""The end of a real server with clients on: it comes soon, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

import aiohttp

from rtstyle.web.child import Order
from rtstyle.web.process import run_child
from rtstyle.web.server import Address
from rtstyle.web.spool import PREFIX
from tests.clips import make_clip
from tests.security.test_web import BINARY, TOKEN, Client
from tests.security.test_web_live import call

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

ENDINGS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
PATIENCE = 20.0
"""Five seconds where nothing else runs; the release tests hold it to that."""


def children(parent: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.add(int(entry.name))
    return found


def serve_and_end(number: int, folder: Path, cameras: int = 2) -> tuple[int, float]:
    """Exit code, and the seconds from the signal ``number`` to the end."""
    film = make_clip(folder / "film.mp4", size=(320, 180), frames=300)
    spool = folder / "spool"
    spool.mkdir()
    server = subprocess.Popen(
        [sys.executable, "-m", "rtstyle.cli.main", "web", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(spool), "RTSTYLE_WEB_TOKEN": TOKEN},
    )
    assert server.stdout is not None

    async def use(port: int) -> tuple[int, float]:
        async with aiohttp.ClientSession() as session:
            client = Client(session, Address("", "127.0.0.1", port), token=TOKEN)
            _, upload, _ = await client.ask(
                "/api/uploads", "POST", headers=BINARY, data=film.read_bytes()
            )
            order = f'{{"kind": "video", "upload": "{upload["id"]}", "style": "great-wave"}}'
            sent = {"Content-Type": "application/json"}
            status, _, _ = await client.ask("/api/jobs", "POST", headers=sent, data=order)
            assert status == 201
            peers = []
            for _ in range(cameras):
                peer, _, tracks = await call(client)
                await (await tracks.get()).recv()
                peers.append(peer)
            while (await client.ask("/api/jobs"))[1]["jobs"][0]["progress"] is None:
                await asyncio.sleep(0.05)
            working = children(server.pid)
            assert len(working) >= 1
            before = time.monotonic()
            server.send_signal(number)
            code = await asyncio.to_thread(server.wait, PATIENCE)
            took = time.monotonic() - before
            for peer in peers:
                await peer.close()
        left = {pid for pid in working if Path(f"/proc/{pid}").exists()}
        assert not left, "its processes went with it"
        return code, took

    with server.stdout:
        try:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", server.stdout.readline())
            assert found is not None
            result = asyncio.run(use(int(found.group(1))))
        finally:
            server.kill()
            server.wait()
    assert list(spool.glob(f"{PREFIX}*")) == []
    return result


@pytest.mark.parametrize("number", ENDINGS, ids=lambda one: one.name)
def test_with_cameras_on_and_a_film_in_work_it_ends_and_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    code, _ = serve_and_end(number, tmp_path)
    assert code == 0


def test_a_film_stopped_when_it_was_just_done_is_resumed(tmp_path: Path) -> None:
    """It has its name already, which must not be in its own way."""
    film = make_clip(tmp_path / "film.mp4", size=(64, 48), frames=6)
    target = tmp_path / "made.mkv"
    order = Order("video", str(film), str(target), "great-wave", strength=0.0)
    assert asyncio.run(run_child(order))["word"] == "done"
    again = asyncio.run(run_child(replace(order, resume=True)))
    assert again["word"] == "done", again
    assert again["frames"] == 6
