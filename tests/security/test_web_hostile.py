"""Hostile uploads through a whole server: each costs its own job, in one line, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

from rtstyle.web.child import Bounds
from rtstyle.web.server import Settings
from rtstyle.web.spool import PREFIX
from tests.clips import make_clip
from tests.hostile import Hostile, crafted
from tests.security.test_web import TOKEN, Client, finished, running, started
from tests.security.test_web_uploads import memory, real_server

ROOT = Path(__file__).resolve().parents[2]
SUITE = (
    "truncated.mp4",
    "noise.mp4",
    "page.png",
    "file-m3u8.mp4",
    "net.ffconcat",
    "url-mpd.mp4",
    "drawing.svg",
    "bomb.png",
    "claim.mp4",
    "claim.gif",
    "wide.mp4",
    "tracks.mp4",
    "streams.ogg",
    "reference.mov",
    "film.jpg",
)
_IN_OPEN = 0x20


class Watch:
    """Counts how often a file is opened, by anybody, as Linux tells it."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._handle = libc.inotify_init1(os.O_NONBLOCK)
        assert self._handle >= 0
        assert libc.inotify_add_watch(self._handle, os.fsencode(path), _IN_OPEN) >= 0

    def opened(self) -> int:
        count = 0
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._handle, 65536):
                count += len(data) // struct.calcsize("iIII")
        return count

    def close(self) -> None:
        os.close(self._handle)


@contextmanager
def bait(folder: Path) -> Iterator[tuple[Path, str]]:
    """A film and an address that hostile files name; fails where either was asked for."""
    secret = make_clip(folder / "secret.mp4", frames=3)
    watch = Watch(secret)
    with contextlib.closing(watch), socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        yield secret, f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"
        assert watch.opened() == 0, "a file of this disk was opened"
        with pytest.raises(BlockingIOError):
            server.accept()
        # That a watch sees anything at all.
        secret.read_bytes()
        assert watch.opened() == 1


class Visitor:
    """Uploads files to a server and waits for what becomes of them, as the page does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers: Counter[int] = Counter()

    def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        headers = {
            "Origin": f"http://127.0.0.1:{self._port}",
            "Cookie": f"rtstyle-{self._port}={TOKEN}",
            "Content-Type": kind,
        }
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            self.answers[answer.status] += 1
            found: dict[str, Any] = json.loads(answer.read())
            return {**found, "status": answer.status}

    def convert(
        self, one: Hostile, *, strength: float = 0.0, seconds: float = 120
    ) -> dict[str, Any]:
        """The job at its end; it and the file are removed again."""
        binary = "application/octet-stream"
        found = self.ask("POST", f"/api/uploads?name={one.name}", one.data, binary)
        assert found["status"] == 200, found
        order = {"kind": one.kind, "upload": found["id"], "style": "great-wave"}
        # Without strength no net is loaded, which would take longer than all the rest.
        body = json.dumps({**order, "strength": 0}).encode()
        job = self.ask("POST", "/api/jobs", body)
        assert job["status"] == 201, job
        deadline = time.monotonic() + seconds
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, f"{one.name} does not end"
            time.sleep(0.05)
            jobs = self.ask("GET", "/api/jobs")["jobs"]
            job = next(other for other in jobs if other["id"] == job["id"])
        assert self.ask("DELETE", f"/api/uploads/{found['id']}")["status"] == 200
        return job


def check_end(one: Hostile, job: dict[str, Any], *forbidden: str) -> None:
    """Whether a job ended as it must: with a result, or in one line that tells no secrets."""
    assert job["state"] in ("done", "failed"), (one.name, job)
    told = job["error"]
    if job["state"] == "failed":
        assert told, one.name
        assert "\n" not in told, one.name
        assert len(told) <= 500, one.name
        assert "unexpected" not in told, (one.name, told)
        assert "Traceback" not in told, one.name
        assert PREFIX not in told, (one.name, told)
        assert "root:" not in told, one.name
    for word in forbidden:
        assert word not in json.dumps(job["report"]), one.name


def visit(files: Iterable[Hostile], port: int, process: int, folder: Path) -> Counter[str]:
    """Convert them all in the one server; how many ended in which way."""
    visitor, ends = Visitor(port), Counter[str]()
    most = 0
    for number, one in enumerate(files):
        job = visitor.convert(one)
        check_end(one, job)
        ends[job["state"]] += 1
        if number == 10:
            most = memory(process) + 64 * 2**20
        (spool,) = folder.glob(f"{PREFIX}*")
        assert [path.name for path in spool.iterdir()] == ["lock"], one.name
    # Refusals of the server would be 4xx, mistakes of it 500.
    assert set(visitor.answers) <= {200, 201}, visitor.answers
    if most:
        assert memory(process) < most
    return ends


@pytest.mark.skipif(sys.platform != "linux", reason="who opens a file is told by Linux")
def test_hostile_files_cost_their_own_jobs_and_open_nothing(tmp_path: Path) -> None:
    spool, made = tmp_path / "spool", tmp_path / "made"
    spool.mkdir()
    made.mkdir()
    with bait(tmp_path) as (secret, address):
        files = {one.name: one for one in crafted(made, secret=secret, address=address)}
        with real_server(spool) as (port, process):
            ends = visit((files[name] for name in SUITE), port, process, spool)
    assert ends["failed"] >= len(SUITE) // 2
    # Else the files were too far from a film to prove anything.
    assert ends["done"] >= 2


@pytest.fixture
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def job_of(data: bytes, name: str, bounds: Bounds, **options: object) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with running(Settings(bounds=bounds)) as client:
            job = await finished(client, await started(client, data, name, **options))
            assert (await client.ask("/"))[0] == 200
            return job

    return asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
@pytest.mark.usefixtures("spool_of_its_own")
@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        (Bounds(cpu_seconds=2), "more processor time than is allowed"),
        (Bounds(memory_bytes=600 * 2**20), "memory"),
        (Bounds(output_bytes=20_000), "no room left in the server's folder"),
    ],
    ids=["time", "memory", "output"],
)
def test_a_conversion_that_reaches_a_bound_says_which(
    tmp_path: Path, bounds: Bounds, told: str
) -> None:
    # The memory is too little for one picture, the time for all of them.
    size, frames = {"memory": ((3840, 2160), 4)}.get(told, ((960, 540), 120))
    film = make_clip(tmp_path / "large.mp4", size=size, frames=frames).read_bytes()
    job = job_of(film, "large.mp4", bounds, kind="video")
    assert job["state"] == "failed"
    assert told in job["error"]
    assert "\n" not in job["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="address space is not bounded on Linux alone")
def test_address_space_that_is_only_reserved_counts_for_nothing() -> None:
    """As CUDA does it, whose processes could not start otherwise."""
    program = (
        "import mmap\n"
        "from rtstyle.web.child import Bounds, confine\n"
        "confine(Bounds(memory_bytes=2**30))\n"
        "reserved = mmap.mmap(-1, 2**36, mmap.MAP_PRIVATE, 0)\n"
        "try:\n"
        "    bytearray(2**31)\n"
        "except MemoryError:\n"
        "    print('bounded')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["bounded"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot halt a process")
@pytest.mark.usefixtures("spool_of_its_own")
def test_a_conversion_that_says_nothing_for_too_long_is_ended(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "film.mp4", size=(320, 180), frames=400).read_bytes()

    async def main() -> None:
        settings = Settings(bounds=Bounds(silent_seconds=8.0))
        async with running(settings) as client:
            identifier = await started(client, film, "film.mp4", kind="video")
            process = await working(client)
            # As one that goes round in circles in a decoder.
            os.kill(process, signal.SIGSTOP)
            job = await finished(client, identifier)
            assert job["state"] == "failed"
            assert "came no further" in job["error"]
            with pytest.raises(ProcessLookupError):
                os.kill(process, 0)
            # Others get their turn, and this one its second.
            await client.ask(f"/api/jobs/{identifier}/resume", "POST")
            assert (await finished(client, identifier))["state"] == "done"

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot halt a process")
@pytest.mark.usefixtures("spool_of_its_own")
def test_a_conversion_that_does_not_stop_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtstyle.web.jobs._STOP_SECONDS", 0.3)
    film = make_clip(tmp_path / "film.mp4", size=(320, 180), frames=400).read_bytes()

    async def main() -> None:
        async with running() as client:
            identifier = await started(client, film, "film.mp4", kind="video")
            os.kill(await working(client), signal.SIGSTOP)
            await client.ask(f"/api/jobs/{identifier}/stop", "POST")
            job = await finished(client, identifier)
            assert (job["state"], job["error"]) == ("stopped", "")

    asyncio.run(main())


async def working(client: Client) -> int:
    """The process of the only job, once it has told of progress."""
    me = os.getpid()
    for _ in range(1200):
        (job,) = (await client.ask("/api/jobs"))[1]["jobs"]
        if job["progress"]:
            children = Path(f"/proc/{me}/task/{me}/children").read_text(encoding="ascii").split()
            return int(children[-1])
        assert job["state"] in ("queued", "running"), job
        await asyncio.sleep(0.02)
    raise AssertionError("no progress")


@pytest.mark.usefixtures("spool_of_its_own")
def test_a_conversion_that_cannot_be_started_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_process(*words: object, **settings: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_process)
    film = make_clip(tmp_path / "film.mp4").read_bytes()
    job = job_of(film, "film.mp4", Bounds(), kind="video")
    assert job["state"] == "failed"
    assert job["error"] == (
        "no process could be started (Resource temporarily unavailable); try to resume it"
    )
