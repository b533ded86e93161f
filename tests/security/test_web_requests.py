"""Requests that are odd in every way a header, a number or a body can be: none is a 500."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

from rtstyle.styles.library import find_user_style, user_folder
from rtstyle.web.gallery import Gallery
from rtstyle.web.spool import PREFIX
from tests.security.test_web import BINARY, TOKEN, Client, run
from tests.security.test_web_uploads import real_server

ROOT = Path(__file__).resolve().parents[2]
JSON = {"Content-Type": "application/json"}
ROUTES = (
    "GET /",
    "GET /api/about",
    "GET /api/jobs",
    "GET /api/styles/great-wave/picture",
    "GET /api/live/socket?options={}",
    "POST /api/session",
    "POST /api/jobs",
    "POST /api/uploads?name=x.mp4",
    "DELETE /api/jobs/" + "0" * 32,
    "OPTIONS /api/jobs",
    "HEAD /api/about",
)
VALUES = (
    b"\xff",
    b"\xc3\x28",
    "é".encode(),
    b"http://[",
    b"http://[::1",
    b"http://127.0.0.1:99999999999999999999",
    b"http://127.0.0.1:\xb2",
    b"[",
    b"\x7f",
    b'"',
    b"=;=;",
    b"9" * 5000,
    b"bytes=" + b"9" * 400 + b"-",
    b"Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    b"Bearer \xff",
)
NAMES = (
    "Host",
    "Origin",
    "Authorization",
    "Cookie",
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Transfer-Encoding",
    "Range",
    "If-Range",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "Accept",
    "Accept-Encoding",
    "Expect",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Extensions",
    "Sec-Fetch-Site",
    "Sec-Fetch-Mode",
    "X-Other",
)


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def status_of(port: int, head: bytes, body: bytes = b"") -> int:
    """The status that a request gets; 0 where the connection ends without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(head + b"\r\n\r\n" + body)
        heard = b""
        try:
            while b"\r\n" not in heard and (piece := line.recv(65536)):
                heard += piece
        except ConnectionError:
            pass
    return int(heard.split(b" ", 2)[1]) if heard.startswith(b"HTTP/") else 0


def odd_requests(port: int) -> Iterator[bytes]:
    own = {
        "Host": f"127.0.0.1:{port}",
        "Origin": f"http://127.0.0.1:{port}",
        "Cookie": f"rtstyle-{port}={TOKEN}",
        "Content-Type": "application/json",
        "Content-Length": "0",
        "Connection": "close",
    }
    socket_only = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    for route in ROUTES:
        more = socket_only if "socket" in route else {}
        for name in NAMES:
            for value in VALUES:
                lines = [route.encode() + b" HTTP/1.1"]
                for key, text in {**own, **more}.items():
                    if key != name:
                        lines.append(f"{key}: {text}".encode())
                sent = value
                if name == "Cookie":
                    sent = f"rtstyle-{port}=".encode() + value
                lines.append(name.encode() + b": " + sent)
                yield b"\r\n".join(lines)


def test_no_header_makes_the_server_fail(tmp_path: Path) -> None:
    """And none writes to the terminal, which ``real_server`` looks at."""
    asked = 0
    with real_server(tmp_path) as (port, _):
        for head in odd_requests(port):
            status = status_of(port, head)
            assert status < 500, head
            asked += 1
        known = f"Host: 127.0.0.1:{port}\r\nCookie: rtstyle-{port}={TOKEN}".encode()
        assert status_of(port, b"GET /api/jobs HTTP/1.1\r\n" + known) == 200
    assert asked == len(ROUTES) * len(NAMES) * len(VALUES)


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://x:99999", "//", "http:"])
def test_an_origin_that_makes_no_sense_is_foreign(origin: str) -> None:
    async def work(client: Client) -> None:
        for path, method in (("/api/about", "GET"), ("/api/jobs", "POST"), ("/", "GET")):
            assert (await client.ask(path, method, headers={"Origin": origin}))[0] == 403

    run(work)


def test_bytes_that_are_no_text_are_refused_by_the_headers_name() -> None:
    async def work(client: Client) -> None:
        for value in (b"Bearer \xff", "Bearer é".encode()):
            head = b"\r\n".join(
                (
                    b"POST /api/session HTTP/1.1",
                    f"Host: 127.0.0.1:{client.address.port}".encode(),
                    b"Authorization: " + value,
                )
            )
            assert await asyncio.to_thread(status_of, client.address.port, head) == 400
        # Of another server on this machine: it is none of ours, and no reason to refuse.
        head = b"\r\n".join(
            (
                b"GET /api/jobs HTTP/1.1",
                f"Host: 127.0.0.1:{client.address.port}".encode(),
                b"Cookie: theirs=\xff\xfe; " + client.cookie.encode(),
            )
        )
        assert await asyncio.to_thread(status_of, client.address.port, head) == 200

    run(work)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip"])
@pytest.mark.parametrize("path", ["/api/uploads", "/api/jobs", "/api/live"])
def test_a_packed_body_is_refused_unopened(coding: str, path: str, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50 * 2**20))
    assert len(bomb) < 60_000

    async def work(client: Client) -> None:
        kind = BINARY if path == "/api/uploads" else JSON
        sent = {**kind, "Content-Encoding": coding}
        status, found, _ = await client.ask(path, "POST", headers=sent, data=bomb)
        assert (status, "compressed" in found["error"]) == (415, True)
        (spool,) = tmp_path.glob(f"{PREFIX}*")
        assert [one.name for one in spool.iterdir()] == ["lock"]
        plain = {**BINARY, "Content-Encoding": "identity"}
        assert (await client.ask("/api/uploads", "POST", headers=plain, data=b"x"))[0] == 200

    run(work)


HUGE = "1" + "0" * 400


@pytest.mark.parametrize("number", [HUGE, f"-{HUGE}", "1e999", "-1e999", "1" + "0" * 5000, "NaN"])
@pytest.mark.parametrize("option", ["strength", "keep_colour", "split"])
def test_numbers_beyond_all_bounds_are_refused(number: str, option: str) -> None:
    async def work(client: Client) -> None:
        order = {"kind": "image", "upload": "0" * 32} if option == "strength" else {"sdp": "v=0"}
        text = json.dumps({**order, "style": "great-wave"})[:-1] + f', "{option}": {number}}}'
        path = "/api/jobs" if option == "strength" else "/api/live"
        status, found, _ = await client.ask(path, "POST", headers=JSON, data=text)
        assert status == 400
        assert "from 0 to 1" in found["error"] or "no JSON" in found["error"]
        opening = {"options": f'{{"style": "great-wave", "{option}": {number}}}'}
        assert (await client.ask("/api/live/socket", params=opening))[0] in (400, 403)

    run(work)


def own_style(name: str, **changed: str) -> None:
    """Import a style by hand, with numbers in its card as they are written."""
    pack = ROOT / "rtstyle" / "styles" / "packs" / "great-wave"
    folder = user_folder() / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes((pack / "model.onnx").read_bytes())
    card = json.loads((pack / "style.json").read_text(encoding="utf-8"))
    text = json.dumps({**card, "name": name, "measured": {"gmac_640x360": 12345.5}})
    for old, new in changed.items():
        assert old in text or old == "number"
        text = text.replace("12345.5" if old == "number" else old, new)
    (folder / "style.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("number", [HUGE, f"-{HUGE}", "1e999", "1" + "0" * 5000, "[[[["])
def test_one_bad_style_hides_no_other(number: str) -> None:
    own_style("bad", number=number)
    own_style("good")

    async def work(client: Client) -> None:
        for _ in range(2):
            status, found, _ = await client.ask("/api/about")
            assert status == 200
            names = [style["name"] for style in found["styles"]]
            assert "good" in names and "great-wave" in names and "bad" not in names
        assert (await client.ask("/api/styles/bad/picture"))[0] == 404

    run(work)


def test_whatever_goes_wrong_with_a_style_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    own_style("bad")
    own_style("good")

    def find(name: str) -> object:
        if name == "bad":
            raise OverflowError("int too large to convert to float")
        return find_user_style(name)

    monkeypatch.setattr("rtstyle.styles.library.find_user_style", find)

    async def work(client: Client) -> None:
        status, found, _ = await client.ask("/api/about")
        assert status == 200
        assert {"good", "great-wave"} <= {style["name"] for style in found["styles"]}

    run(work)


FAILING = """
import sys
from rtstyle.web.gallery import Gallery
def fail(self):
    raise RuntimeError("as asked\\x1b[31m\\nand more")
Gallery.public = fail
from rtstyle.cli.main import main
main(["web", "--port", "0"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it is ended by a signal")
def test_what_goes_wrong_in_the_server_stands_on_its_terminal(tmp_path: Path) -> None:
    """The answer says so."""
    assert callable(Gallery.public)
    with subprocess.Popen(
        [sys.executable, "-c", FAILING],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "RTSTYLE_WEB_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline().partition("127.0.0.1:")[2].partition("/")[0])
            known = f"Host: 127.0.0.1:{port}\r\nCookie: rtstyle-{port}={TOKEN}".encode()
            assert status_of(port, b"GET /api/about HTTP/1.1\r\n" + known) == 500
        finally:
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=30)
    (line,) = told.splitlines()
    assert line.startswith("rtstyle: a request to /api/about failed: RuntimeError: as asked\\x1b")
    assert "and more" in line


def test_paths_and_methods_that_are_none_get_an_answer() -> None:
    async def work(client: Client) -> None:
        port = client.address.port
        for path in (
            "//",
            "/../etc/passwd",
            "/%2e%2e/x",
            "/%ff",
            "/app.js/",
            "/\xff",
            "/?%ff=%",
            "*",
        ):
            for method in ("GET", "HEAD", "POST", "PUT", "TRACE", "CONNECT", "BREW"):
                head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode("latin-1")
                head += f"Origin: {client.url}\r\nCookie: {client.cookie}".encode()
                status = await asyncio.to_thread(status_of, port, head)
                assert status < 500, (method, path)
        for name in ("%ff.mp4", "a%00b", "%F0%9F%8E%A8.png", "..%2f..%2fx"):
            status, found, _ = await client.ask(
                f"/api/uploads?name={name}", "POST", headers=BINARY, data=b"x"
            )
            assert status == 200 and "/" not in found["name"]

    run(work)
