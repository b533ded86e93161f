"""Uploads and requests that are too large, too slow, too many or never end."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

from aiohttp.web_protocol import RequestHandler

from rtstyle.types import Limits
from rtstyle.web.server import Settings
from rtstyle.web.spool import PREFIX, Spool
from tests.security.test_web import TOKEN, Client, running

if sys.platform != "win32":
    import resource

ROOT = Path(__file__).resolve().parents[2]
MOST = 300_000
CHUNK = 64 * 1024
RECEIVED_AT_ONCE = 256 * 1024
"""What asyncio takes from a connection in one go."""
MOST_OF_NOTHING = 4 * RECEIVED_AT_ONCE
"""What may have come in of headers before the answer to the first of them is written."""
BINARY = ("Content-Type: application/octet-stream",)
JSON = ("Content-Type: application/json",)


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes the server has taken from its connections, one number a piece."""
    sizes: list[int] = []
    real = RequestHandler.data_received

    def count(self: RequestHandler, data: bytes) -> None:
        sizes.append(len(data))
        real(self, data)

    monkeypatch.setattr(RequestHandler, "data_received", count)
    return sizes


def stored(folder: Path) -> set[str]:
    """What lies in the spool of the one server."""
    (spool,) = folder.glob(f"{PREFIX}*")
    return {path.name for path in spool.iterdir()} - {"lock"}


def serve(
    work: Callable[[Client, Path], Coroutine[Any, Any, None]],
    folder: Path,
    *,
    idle_seconds: float = 30.0,
    most: int = MOST,
) -> None:
    settings = Settings(limits=Limits(max_upload_bytes=most), idle_seconds=idle_seconds)

    async def main() -> None:
        async with asyncio.timeout(120), running(settings) as client:
            await work(client, folder)
            # Whatever was done to it, it serves on, and keeps nothing of it.
            assert (await client.ask("/"))[0] == 200
            assert stored(folder) == set()

    asyncio.run(main())


class Answer(NamedTuple):
    status: int
    body: bytes
    seconds: float
    """From the first byte of the request until the server had closed the connection."""
    sent: int
    """Bytes of the body that left, also into buffers of the system."""


def head(client: Client, line: str, *headers: str) -> bytes:
    own = (
        f"Host: 127.0.0.1:{client.address.port}",
        f"Origin: {client.url}",
        f"Cookie: {client.cookie}",
    )
    return "\r\n".join((line, *own, *headers, "", "")).encode()


async def speak(
    client: Client,
    first: bytes,
    rest: Iterable[bytes] = (),
    *,
    pause: float = 0.0,
) -> Answer:
    """Send ``first``, then ``rest`` until the server has enough, and hear what it says."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.address.port)
    sent = 0

    async def talk() -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):
            writer.write(first)
            await writer.drain()
            for piece in rest:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(pause)

    talking = asyncio.create_task(talk())
    heard = b""
    try:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                heard += piece
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    status = int(heard.split(b" ", 2)[1]) if heard else 0
    return Answer(status, heard.partition(b"\r\n\r\n")[2], time.monotonic() - began, sent)


def chunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)


def endless(size: int = CHUNK) -> Iterator[bytes]:
    piece = bytes(size)
    while True:
        yield piece


UPLOAD = "POST /api/uploads?name=a.mp4 HTTP/1.1"


def test_an_upload_without_a_length_is_cut_off_at_the_limit(
    tmp_path: Path, taken: list[int]
) -> None:
    handed: list[int] = []

    async def work(client: Client, folder: Path) -> None:
        first = head(client, UPLOAD, *BINARY, "Transfer-Encoding: chunked")
        answer = await speak(client, first, chunked(endless()))
        assert answer.status == 413
        assert b"larger than" in answer.body

    real = Spool._check

    def check(self: Spool, size: int) -> None:
        handed.append(size)
        real(self, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spool, "_check", check)
        serve(work, tmp_path)
    # What is looked at is a chunk more than is allowed at most; what the process takes in is that
    # and what its buffers hold.
    assert MOST < max(handed) <= MOST + CHUNK
    assert sum(taken) <= MOST + CHUNK + 2 * RECEIVED_AT_ONCE


@pytest.mark.parametrize("gigabytes", [10, 10**6])
def test_a_length_beyond_the_limit_is_refused_before_anything_is_stored(
    tmp_path: Path, taken: list[int], gigabytes: int
) -> None:
    async def work(client: Client, folder: Path) -> None:
        first = head(client, UPLOAD, *BINARY, f"Content-Length: {gigabytes * 10**9}")
        with pytest.MonkeyPatch.context() as patch:
            # It would fail to open a file, and answer otherwise.
            patch.setattr(Spool, "_fill", None)
            answer = await speak(client, first, endless())
        assert answer.status == 413

    serve(work, tmp_path, most=4 * 2**30)
    assert sum(taken) <= RECEIVED_AT_ONCE + 2 * CHUNK


@pytest.mark.parametrize(
    "place", ["query", "Content-Disposition", "X-Filename", "Content-Type", "Cookie"]
)
def test_a_name_of_fifty_megabytes_is_refused_unread(
    tmp_path: Path, taken: list[int], place: str
) -> None:
    async def work(client: Client, folder: Path) -> None:
        if place == "query":
            first = b"POST /api/uploads?name="
        else:
            first = head(client, UPLOAD, *BINARY)[:-2] + f"{place}: ".encode()
        piece = b"x" * CHUNK
        answer = await speak(client, first, (piece for _ in range(50 * 2**20 // CHUNK)))
        assert answer.status in (400, 414, 431), answer

    serve(work, tmp_path)
    assert sum(taken) <= MOST_OF_NOTHING


@pytest.mark.parametrize("count", [65, 100_000])
def test_many_headers_are_refused_unread(tmp_path: Path, taken: list[int], count: int) -> None:
    async def work(client: Client, folder: Path) -> None:
        first = head(client, "GET / HTTP/1.1")[:-2]
        lines = (b"X-%d: x\r\n" % number for number in range(count))
        answer = await speak(client, first + b"".join(lines) + b"\r\n")
        assert answer.status in (400, 431)

    serve(work, tmp_path)
    assert sum(taken) <= MOST_OF_NOTHING


@pytest.mark.parametrize("path", ["/api/uploads", "/api/jobs", "/api/live", "/api/session", "/"])
def test_a_form_of_a_hundred_thousand_parts_is_refused_unread(
    tmp_path: Path, taken: list[int], path: str
) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="n"; filename="f"\r\n\r\nx\r\n'

    async def work(client: Client, folder: Path) -> None:
        first = head(
            client,
            f"POST {path} HTTP/1.1",
            "Content-Type: multipart/form-data; boundary=b",
            f"Content-Length: {len(part) * 100_000 + 7}",
        )
        if path == "/api/session":
            # Whoever has the cookie gets one, whatever comes with the request.
            first = first.replace(client.cookie.encode(), b"other=cookie")
        answer = await speak(client, first, (part * 1000 for _ in range(100)))
        assert answer.status in (401, 405, 415)
        assert json.loads(answer.body).keys() == {"error"}

    serve(work, tmp_path)
    assert sum(taken) <= RECEIVED_AT_ONCE + 2 * CHUNK


def test_a_foreign_body_is_not_read(tmp_path: Path, taken: list[int]) -> None:
    async def work(client: Client, folder: Path) -> None:
        first = head(client, UPLOAD, *BINARY, "Content-Length: 200000")
        first = first.replace(client.url.encode(), b"http://evil.test")
        answer = await speak(client, first, endless())
        assert answer.status == 403

    serve(work, tmp_path)
    assert sum(taken) <= RECEIVED_AT_ONCE + 2 * CHUNK


@pytest.mark.parametrize("dripping", [False, True])
def test_headers_that_do_not_come_end_the_connection(tmp_path: Path, dripping: bool) -> None:
    async def work(client: Client, folder: Path) -> None:
        drops = (b"X-%d: x\r\n" % number for number in range(40)) if dripping else ()
        answer = await speak(client, head(client, "GET / HTTP/1.1")[:-2], drops, pause=0.2)
        assert answer.status in (0, 408)
        assert 0.9 <= answer.seconds < 6.0, "neither at once nor when all headers are there"

    serve(work, tmp_path, idle_seconds=1.0)


@pytest.mark.parametrize("spoken", [b"", b"\x16\x03\x01", b"GET"])
def test_silence_ends_the_connection(tmp_path: Path, spoken: bytes) -> None:
    async def work(client: Client, folder: Path) -> None:
        answer = await speak(client, spoken)
        assert answer.status in (0, 400, 408)

    serve(work, tmp_path, idle_seconds=0.5)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/api/uploads?name=a.mp4", BINARY), ("/api/jobs", JSON), ("/api/live", JSON)],
)
@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_a_body_that_stops_is_not_waited_for(
    tmp_path: Path, path: str, kind: tuple[str, ...], framing: str
) -> None:
    async def work(client: Client, folder: Path) -> None:
        first = head(client, f"POST {path} HTTP/1.1", *kind, framing)
        body = b"3e8\r\n" + b"x" * 1000
        answer = await speak(client, first + body)
        assert answer.status == 408
        assert b"came" in answer.body or b"come" in answer.body

    serve(work, tmp_path, idle_seconds=0.5)


def test_a_slow_upload_that_goes_on_is_taken_however_long_it_lasts(tmp_path: Path) -> None:
    pieces = 12

    async def work(client: Client, folder: Path) -> None:
        size = pieces * 100
        first = head(client, UPLOAD, *BINARY, f"Content-Length: {size}", "Connection: close")
        answer = await speak(client, first, (b"x" * 100 for _ in range(pieces)), pause=0.25)
        assert answer.status == 200
        # Longer in all than silence may last.
        assert answer.seconds > 2.0
        found = json.loads(answer.body)
        assert found["bytes"] == size
        await client.ask(f"/api/uploads/{found['id']}", "DELETE")

    serve(work, tmp_path, idle_seconds=2.0)


def test_a_body_of_json_that_drips_is_cut_off(tmp_path: Path) -> None:
    async def work(client: Client, folder: Path) -> None:
        first = head(client, "POST /api/jobs HTTP/1.1", *JSON, "Content-Length: 5000")
        answer = await speak(client, first, (b" " for _ in range(100)), pause=0.1)
        assert answer.status == 408
        assert answer.sent < 100

    serve(work, tmp_path, idle_seconds=1.0)


def test_a_client_that_goes_away_midway_leaves_nothing(tmp_path: Path) -> None:
    async def work(client: Client, folder: Path) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", client.address.port)
        writer.write(head(client, UPLOAD, *BINARY, "Content-Length: 200000") + bytes(1000))
        await writer.drain()
        async with asyncio.timeout(30):
            while not stored(folder):
                await asyncio.sleep(0.01)
            writer.close()
            while stored(folder):
                await asyncio.sleep(0.01)

    serve(work, tmp_path)


def test_a_full_disk_is_told_before_and_while_it_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 10 * 2**30

    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr("rtstyle.web.spool.shutil.disk_usage", lambda folder: Usage(free))

    async def work(client: Client, folder: Path) -> None:
        nonlocal free

        def filling() -> Iterator[bytes]:
            nonlocal free
            for number in range(4):
                free = 10 * 2**30 if number < 2 else 10
                yield bytes(CHUNK)

        first = head(client, UPLOAD, *BINARY, f"Content-Length: {4 * CHUNK}")
        answer = await speak(client, first, filling(), pause=0.1)
        assert answer.status == 507
        assert b"no room left" in answer.body
        answer = await speak(client, first)
        assert answer.status == 507
        free = 10 * 2**30

    serve(work, tmp_path)


@contextmanager
def real_server(
    folder: Path, *words: str, hard: bool = True, **limits: int
) -> Iterator[tuple[int, int]]:
    """``rtstyle web`` in a process of its own: its port and process id.

    ``limits`` by their names in ``resource``; where not ``hard``, it may raise them.
    """

    def confine() -> None:
        for name, most in limits.items():
            which = getattr(resource, name)
            resource.setrlimit(which, (most, most if hard else resource.getrlimit(which)[1]))

    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        "RTSTYLE_WEB_TOKEN": TOKEN,
    }
    command = [sys.executable, "-m", "rtstyle.cli.main", "web", "--port", "0", *words]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=confine if limits else None,
    ) as process:
        errors: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        listening = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
        listening.start()
        try:
            line = process.stdout.readline()
            found = re.search(r":(\d+)/", line)
            assert found, (line, errors)
            yield int(found[1]), process.pid
            assert process.poll() is None, "the server ended"
        finally:
            process.terminate()
            process.wait(30)
            listening.join(10)
    assert not errors, errors
    assert process.returncode == 0
    assert list(folder.glob(f"{PREFIX}*")) == []


def memory(process: int) -> int:
    """Resident bytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


def upload(
    port: int,
    size: int,
    at: Callable[[], None] = lambda: None,
    *,
    tls: ssl.SSLContext | None = None,
) -> tuple[int, Any]:
    """Send ``size`` bytes of zeros: the status and the answer."""
    scheme = "http" if tls is None else "https"
    connection = (
        http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        if tls is None
        else http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=tls)
    )
    try:
        connection.putrequest("POST", "/api/uploads?name=big.mp4")
        for name, value in (
            ("Origin", f"{scheme}://127.0.0.1:{port}"),
            ("Cookie", f"rtstyle-{port}={TOKEN}"),
            ("Content-Type", "application/octet-stream"),
            ("Content-Length", str(size)),
        ):
            connection.putheader(name, value)
        connection.endheaders()
        piece = bytes(2**20)
        # A server that has enough answers while it is still spoken to.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            for number in range(size // len(piece)):
                connection.send(piece)
                if number % 10 == 0:
                    at()
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_large_upload_is_not_held_in_memory(tmp_path: Path) -> None:
    with real_server(tmp_path) as (port, process):
        assert upload(port, 2**20)[0] == 200
        before, most = memory(process), 0

        def sample() -> None:
            nonlocal most
            most = max(most, memory(process))

        status, found = upload(port, 200 * 2**20, sample)
        sample()
        assert (status, found["bytes"]) == (200, 200 * 2**20)
        assert most - before < 50 * 2**20


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_a_file_that_may_not_grow_is_a_full_disk_and_not_the_end(tmp_path: Path) -> None:
    with real_server(tmp_path, RLIMIT_FSIZE=3 * 2**20) as (port, _):
        status, found = upload(port, 8 * 2**20)
        assert status == 507, found
        assert "no room left" in found["error"]
        (spool,) = tmp_path.glob(f"{PREFIX}*")
        assert [path.name for path in spool.iterdir()] == ["lock"]
        assert upload(port, 2**20)[0] == 200


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_half_open_connections_do_not_stop_others(tmp_path: Path) -> None:
    """More of them than the process may have files open."""
    with contextlib.ExitStack() as stack, real_server(tmp_path, RLIMIT_NOFILE=250) as (port, _):
        for _ in range(300):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            one.sendall(b"POST /api/uploads HTTP/1.1\r\nHost:")
        for _ in range(3):
            assert upload(port, 2**20)[0] == 200


def certificate(folder: Path) -> tuple[Path, Path]:
    """Of this test alone: the file and its key."""
    cryptography = pytest.importorskip("cryptography")
    del cryptography
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_with_tls_a_refusal_is_heard_and_half_open_connections_do_not_stop_others(
    tmp_path: Path,
) -> None:
    cert, key = certificate(tmp_path)
    words = ("--tls-cert", str(cert), "--tls-key", str(key), "--max-upload", "1")
    tls = ssl.create_default_context(cafile=str(cert))
    tls.check_hostname = False
    with (
        contextlib.ExitStack() as stack,
        real_server(tmp_path, *words, hard=False, RLIMIT_NOFILE=120) as (port, _),
    ):
        for _ in range(160):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        assert upload(port, 2**20, tls=tls)[0] == 200
        status, found = upload(port, 64 * 2**20, tls=tls)
        assert (status, found) == (413, {"error": "the file is larger than the 1 MiB allowed"})


def test_connections_at_work_are_not_ended_for_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtstyle.web.places.MAX_CONNECTIONS", 8)

    async def work(client: Client, folder: Path) -> None:
        size = 20 * 100
        first = head(client, UPLOAD, *BINARY, f"Content-Length: {size}", "Connection: close")
        pieces = (b"x" * 100 for _ in range(20))
        slow = asyncio.create_task(speak(client, first, pieces, pause=0.05))
        await asyncio.sleep(0.2)
        others = [
            await asyncio.open_connection("127.0.0.1", client.address.port) for _ in range(30)
        ]
        answer = await slow
        assert answer.status == 200
        await client.ask(f"/api/uploads/{json.loads(answer.body)['id']}", "DELETE")
        for _, writer in others:
            writer.close()

    serve(work, tmp_path)
