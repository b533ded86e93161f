"""Who may ask what of ``rtstyle web``, and what becomes of those that may not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtstyle.errors import UsageError
from rtstyle.types import Limits
from tests.clips import make_clip, png_picture

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

import aiohttp

from rtstyle.backends import FakeStylizer
from rtstyle.web.server import Address, Settings, check, serve
from rtstyle.web.spool import PREFIX, shown_name

TOKEN = "a-token-of-more-than-22-characters"
BINARY = {"Content-Type": "application/octet-stream"}


class Client:
    """Sends what a page of the server would, or what it is told."""

    def __init__(
        self, session: aiohttp.ClientSession, address: Address, *, token: str = ""
    ) -> None:
        """With the token of the address, or with ``token``."""
        self.session, self.address = session, address
        self.url = f"http://127.0.0.1:{address.port}"
        self.token = token or address.url.partition("#token=")[2]
        self.cookie = f"rtstyle-{address.port}={self.token}"

    async def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        headers: dict[str, str] | None = None,
        data: bytes | str | io.BytesIO | AsyncIterator[bytes] | None = None,
        params: dict[str, str] | None = None,
    ) -> tuple[int, Any, Any]:
        """Status, content and headers. Origin and Cookie are a page's unless others are given."""
        own = {"Origin": self.url} if method != "GET" else {}
        own["Cookie"] = self.cookie
        sent = {k: v for k, v in {**own, **(headers or {})}.items() if v}
        async with self.session.request(
            method, self.url + path, headers=sent, data=data, params=params
        ) as answer:
            data = await answer.read()
            json_like = answer.content_type == "application/json"
            return answer.status, json.loads(data) if json_like and data else data, answer.headers


@asynccontextmanager
async def running(settings: Settings | None = None) -> AsyncIterator[Client]:
    stop = asyncio.Event()
    ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    made = replace(settings or Settings(load=FakeStylizer), port=0)
    task = asyncio.create_task(serve(made, stop, ready.set_result))
    try:
        done, _ = await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            await task
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Client(session, await ready)
    finally:
        stop.set()
        await task


def run(work: Callable[[Client], Awaitable[None]], settings: Settings | None = None) -> None:
    async def main() -> None:
        async with running(settings) as client:
            await work(client)

    asyncio.run(main())


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_by_default_only_loopback_is_listened_on() -> None:
    async def work(client: Client) -> None:
        wanted = f":{client.address.port:04X}"
        found = [
            line.split()[1]
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            if Path(table).exists()
            for line in Path(table).read_text().splitlines()[1:]
            if line.split()[1].endswith(wanted) and line.split()[3] == "0A"
        ]
        assert found == [f"0100007F{wanted}"]

    run(work)


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/about", "/api/jobs", "/nothing"])
@pytest.mark.parametrize("host", ["evil.test", "evil.test:{port}", "127.0.0.1.evil.test:{port}"])
def test_another_name_is_refused_on_every_route(path: str, host: str) -> None:
    async def work(client: Client) -> None:
        name = host.format(port=client.address.port)
        assert (await client.ask(path, headers={"Host": name}))[0] == 403

    run(work)


FOREIGN = [
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": ""},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", ["/api/live", "/api/uploads", "/api/jobs"])
def test_other_sites_can_post_nothing(headers: dict[str, str], path: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        sent = {k: v.format(port=client.address.port) for k, v in headers.items()}
        status, _, answer = await client.ask(path, "POST", headers={**BINARY, **sent}, data=b"x")
        assert status == 403
        assert "Access-Control-Allow-Origin" not in answer
        assert len(list(next(tmp_path.glob(f"{PREFIX}*")).iterdir())) == 1, "only the lock"

    run(work)


def test_with_a_token_nothing_of_anyone_is_given_without_it() -> None:
    async def work(client: Client) -> None:
        assert client.address.url.endswith(f"#token={TOKEN}")
        assert (await client.ask("/", headers={"Cookie": ""}))[0] == 200
        assert (await client.ask("/api/jobs", headers={"Cookie": ""}))[0] == 401
        wrong = {"Authorization": "Bearer " + "x" * len(TOKEN), "Cookie": ""}
        assert (await client.ask("/api/session", "POST", headers=wrong))[0] == 401
        # No browser: no Origin, but the token.
        right = {"Authorization": f"Bearer {TOKEN}", "Origin": "", "Cookie": ""}
        status, _, headers = await client.ask("/api/session", "POST", headers=right)
        assert status == 200
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert (await client.ask("/api/jobs", headers=right))[0] == 200

    run(work, Settings(token=TOKEN, load=FakeStylizer))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_other_machines_need_tls_or_a_word_that_they_do_not(host: str) -> None:
    with pytest.raises(UsageError, match="--tls-cert"):
        check(Settings(host=host))
    assert check(Settings(host=host, insecure=True)) is None


def test_a_short_token_is_refused() -> None:
    with pytest.raises(UsageError, match="22"):
        check(Settings(token="secret"))


def test_an_upload_beyond_the_limit_is_refused_and_not_kept(tmp_path: Path) -> None:
    most = 100_000
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(2000):
            read += 10_000
            yield bytes(10_000)

    async def work(client: Client) -> None:
        promised = await client.ask("/api/uploads", "POST", headers=BINARY, data=bytes(most + 1))
        assert promised[0] == 413
        # Chunked: no length is told.
        with contextlib.suppress(aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            found = await client.ask("/api/uploads", "POST", headers=BINARY, data=endless())
            assert found[0] == 413
        assert read < 20_000_000
        assert len(list(next(tmp_path.glob(f"{PREFIX}*")).iterdir())) == 1
        assert (await client.ask("/"))[0] == 200

    run(work, Settings(limits=Limits(max_upload_bytes=most)))


def test_long_headers_and_bodies_are_refused() -> None:
    async def work(client: Client) -> None:
        many = {f"X-{n}": "x" * 4000 for n in range(5)}
        assert (await client.ask("/", headers=many))[0] == 431
        body = json.dumps({"kind": "x" * 200_000})
        sent = {"Content-Type": "application/json"}
        assert (await client.ask("/api/jobs", "POST", headers=sent, data=body))[0] == 413

    run(work)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/shadow.mp4", "shadow.mp4"),
        ("C:\\x\\CON", "CON"),
        ("a\0b\n\u202ec.mp4", "abc.mp4"),
        ("..", "file"),
        ("", "file"),
        ("ü" * 5000 + ".mp4", "ü" * 112 + ".mp4"),
    ],
)
def test_a_clients_name_is_only_shown(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_uploads_lie_in_the_spool_and_go_with_the_server(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    before = hashlib.sha256(outside.read_bytes()).digest()

    async def work(client: Client) -> None:
        for name in ("../../outside.txt", str(outside), "nul\0.png", "NUL"):
            status, found, _ = await client.ask(
                "/api/uploads", "POST", headers=BINARY, params={"name": name}, data=b"theirs"
            )
            assert status == 200
            assert "/" not in found["name"]
        assert {p.name for p in tmp_path.iterdir() if not p.name.startswith(PREFIX)} == {
            "outside.txt"
        }

    run(work)
    assert hashlib.sha256(outside.read_bytes()).digest() == before
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def test_a_killed_servers_spool_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "film.mp4").touch()

    async def work(client: Client) -> None:
        first = next(p for p in tmp_path.glob(f"{PREFIX}*"))
        assert first != dead
        assert not dead.exists()
        async with running():
            assert first.exists()

    run(work)


def job(**options: object) -> dict[str, Any]:
    return {"kind": "image", "upload": "0" * 32, "style": "great-wave", **options}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 50_000,
        json.dumps(job(shell="rm")).encode(),
        json.dumps(job(style="/etc/passwd")).encode(),
        json.dumps(job(strength=True)).encode(),
        json.dumps(job(strength=2)).encode(),
        b'{"kind":"image","upload":"x","style":"great-wave","strength":NaN}',
        json.dumps(job(upload="../" * 10)).encode(),
        json.dumps(job()).encode(),
        json.dumps({"kind": "image"}).encode(),
    ],
)
def test_what_is_not_in_the_schema_is_refused(body: bytes) -> None:
    async def work(client: Client) -> None:
        sent = {"Content-Type": "application/json"}
        status, found, _ = await client.ask("/api/jobs", "POST", headers=sent, data=body)
        assert status == 400
        assert set(found) == {"error"}
        assert "Traceback" not in found["error"]
        # As a form of another site would send it.
        plain = {"Content-Type": "text/plain"}
        assert (await client.ask("/api/jobs", "POST", headers=plain, data=body))[0] == 415

    run(work)


async def finished(client: Client, identifier: str) -> dict[str, Any]:
    for _ in range(600):
        _, found, _ = await client.ask("/api/jobs")
        one = next(j for j in found["jobs"] if j["id"] == identifier)
        if one["state"] not in ("queued", "running"):
            return dict(one)
        await asyncio.sleep(0.2)
    raise AssertionError("the job does not end")


async def started(client: Client, data: bytes, name: str, **options: object) -> str:
    status, found, _ = await client.ask(
        "/api/uploads", "POST", headers=BINARY, params={"name": name}, data=io.BytesIO(data)
    )
    assert status == 200, found
    status, made, _ = await client.ask(
        "/api/jobs",
        "POST",
        headers={"Content-Type": "application/json"},
        # At strength 0 no net is loaded.
        data=json.dumps(job(upload=found["id"], strength=0, **options)),
    )
    assert status == 201, made
    return str(made["id"])


def test_a_film_and_a_picture_come_back_as_downloads_of_a_fixed_type(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "clip.mp4", audio=True).read_bytes()

    async def work(client: Client) -> None:
        made = [
            (await started(client, film, "a film.mp4", kind="video"), "video/mp4"),
            (await started(client, png_picture(), "p.png"), "image/png"),
        ]
        for identifier, kind in made:
            one = await finished(client, identifier)
            assert one["state"] == "done", one["error"]
            status, data, headers = await client.ask(f"/api/jobs/{identifier}/result")
            assert status == 200 and len(data) == one["bytes"]
            assert headers["Content-Type"] == kind
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Content-Disposition"].startswith("attachment")
            assert "default-src 'none'" in headers["Content-Security-Policy"]

    run(work)


def test_a_hostile_file_costs_its_own_job_and_tells_no_paths() -> None:
    async def work(client: Client) -> None:
        for name, data in (("x.mp4", b"<html>" * 50), ("y.mkv", os.urandom(5000))):
            one = await finished(client, await started(client, data, name, kind="video"))
            assert one["state"] == "failed"
            assert name in one["error"]
            assert PREFIX not in one["error"] and "/" not in one["error"]
        assert (await client.ask("/"))[0] == 200

    run(work)


def test_a_film_is_cancelled_resumed_and_removed(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "clip.mp4", size=(320, 180), frames=500).read_bytes()

    async def work(client: Client) -> None:
        identifier = await started(client, film, "long.mp4", kind="video")
        for _ in range(300):
            found = (await client.ask("/api/jobs"))[1]["jobs"][0]
            if found["progress"]:
                break
            await asyncio.sleep(0.05)
        here = f"/api/jobs/{identifier}"
        await client.ask(f"{here}/stop", "POST")
        one = await finished(client, identifier)
        assert one["state"] == "stopped" and one["can_resume"]
        await client.ask(f"{here}/resume", "POST")
        one = await finished(client, identifier)
        assert one["state"] == "done", one["error"]
        assert one["report"]["frames"] == 500
        assert (await client.ask(here, "DELETE"))[0] == 200
        left = {p.name for p in next(tmp_path.glob(f"{PREFIX}*")).iterdir()}
        assert left == {"lock"}

    run(work)


def test_a_picture_does_not_wait_for_a_film(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "clip.mp4", size=(640, 360), frames=1500).read_bytes()

    async def work(client: Client) -> None:
        long = await started(client, film, "long.mp4", kind="video")
        other = await started(client, film, "next.mp4", kind="video")
        picture = await started(client, png_picture(), "p.png")
        assert (await finished(client, picture))["state"] == "done"
        states = {job["id"]: job["state"] for job in (await client.ask("/api/jobs"))[1]["jobs"]}
        assert (states[long], states[other]) == ("running", "queued")

    run(work)


def test_silent_clients_are_let_go_and_others_served() -> None:
    async def work(client: Client) -> None:
        with socket.create_connection(("127.0.0.1", client.address.port)) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost:")
            assert (await client.ask("/"))[0] == 200

    run(work)
