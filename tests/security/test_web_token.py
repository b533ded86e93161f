"""The token of ``rtstyle web``: other users of a machine reach its loopback too."""

from __future__ import annotations

import hmac
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rtstyle.errors import UsageError

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

from aiohttp import web

from rtstyle.cli.main import main
from rtstyle.web import guards
from rtstyle.web.app import PARTS
from rtstyle.web.guards import PUBLIC, SESSION, Gate
from rtstyle.web.server import Settings, check
from tests.clips import png_picture
from tests.security.test_web import Client, run, started

NONE = {"Cookie": ""}


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def routes() -> list[tuple[str, str]]:
    """Method and path of everything that the server answers."""
    made: list[web.Application] = []
    original = web.Application

    def remember(**options: Any) -> web.Application:  # noqa: ANN401
        made.append(original(**options))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "Application", remember)

        async def nothing(client: Client) -> None:
            assert PARTS in made[0]

        run(nothing)
    found = []
    for route in made[0].router.routes():
        info = route.resource.get_info() if route.resource is not None else {}
        path = str(info.get("path") or info["formatter"])
        path = path.replace("{action}", "stop").replace("{part}", "result")
        found.append((route.method, re.sub(r"\{\w+\}", "0" * 32, path)))
    return found


def test_without_the_token_nothing_but_the_page_is_given_on_this_machine_neither() -> None:
    every = routes()
    assert len(every) > 20
    assert {path for _, path in every} >= PUBLIC

    async def work(client: Client) -> None:
        identifier = await started(client, png_picture(), "mine.png")
        wrong = "x" * len(client.token)
        other_port = f"rtstyle-{client.address.port + 1}={client.token}"
        for method, path in [*every, ("DELETE", f"/api/jobs/{identifier}"), ("GET", "/nothing")]:
            for sent in (
                NONE,
                {"Cookie": f"rtstyle-{client.address.port}={wrong}"},
                {"Cookie": other_port},
                {"Cookie": "", "Authorization": f"Bearer {wrong}"},
                {"Cookie": "", "Authorization": f"Basic {client.token}"},
                {"Cookie": f"rtstyle-{client.address.port}={client.token[:-1]}"},
            ):
                status, _, _ = await client.ask(path, method, headers=sent)
                assert status == (200 if path in PUBLIC else 401), (method, path, sent)
        (left,) = (await client.ask("/api/jobs"))[1]["jobs"]
        assert left["id"] == identifier, "it was deleted by who must not"

    run(work)


def test_the_page_trades_the_token_for_a_cookie_of_its_own_port() -> None:
    async def work(client: Client) -> None:
        assert client.address.url == f"{client.url}/#token={client.token}"
        bearer = {"Cookie": "", "Authorization": f"Bearer {client.token}"}
        status, _, headers = await client.ask(SESSION, "POST", headers=bearer)
        assert status == 200
        cookie = headers["Set-Cookie"]
        assert cookie.startswith(f"rtstyle-{client.address.port}={client.token};")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        # Asked for without Origin, it is a script: the cookie alone does not do.
        assert (await client.ask("/api/jobs", "POST", headers={"Origin": ""}))[0] == 403
        script = {"Origin": "", **bearer}
        assert (await client.ask("/api/jobs", "POST", headers=script))[0] == 415

    run(work)


def test_a_person_without_it_sees_a_page_that_says_what_to_open() -> None:
    async def work(client: Client) -> None:
        browser = {"Cookie": "", "Accept": "text/html,application/xhtml+xml"}
        status, body, headers = await client.ask("/api/jobs", headers=browser)
        assert (status, headers["Content-Type"]) == (401, "text/html; charset=utf-8")
        assert b"open the address that rtstyle web printed" in body
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        status, found, _ = await client.ask("/api/jobs", headers=NONE)
        assert found == {"error": guards.LOCKED}

    run(work)


def test_what_a_browser_is_started_with_is_good_for_one_visit() -> None:
    async def work(client: Client) -> None:
        once = client.address.opening.partition("#token=")[2]
        assert len(once) >= 22 and once != client.token
        sent = {"Cookie": "", "Authorization": f"Bearer {once}"}
        # For a session, and for nothing else.
        assert (await client.ask("/api/jobs", headers=sent))[0] == 401
        status, _, headers = await client.ask(SESSION, "POST", headers=sent)
        assert status == 200
        cookie = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
        assert (await client.ask("/api/jobs", headers=cookie))[0] == 200
        assert (await client.ask(SESSION, "POST", headers=sent))[0] == 401

    run(work)


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr("rtstyle.web.guards.hmac.compare_digest", compare)
    gate = Gate("127.0.0.1", "token-of-the-server")
    assert not gate._is_one("\udcff", (gate.token,))
    assert gate._is_one(gate.token, (gate.token,))
    assert compared == [(b"\xff", b"token-of-the-server"), (b"token-of-the-server",) * 2]


@pytest.mark.parametrize("token", ["short", "a" * 21, "a b" * 20, "é" * 30, "a;b" * 10, "#" * 30])
def test_a_token_of_ones_own_must_be_long_and_fit_for_an_address(token: str) -> None:
    with pytest.raises(UsageError, match="22"):
        check(Settings(token=token))
    done = CliRunner().invoke(main, ["web"], env={"RTSTYLE_WEB_TOKEN": token})
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


def test_the_command_prints_another_token_each_time_and_opens_another(tmp_path: Path) -> None:
    """What is opened is seen by every user of the machine in the list of processes."""
    program = (
        "import asyncio, signal, os, webbrowser\n"
        "webbrowser.open = lambda url: print('opened', url, flush=True) or "
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "from rtstyle.cli.main import main\n"
        "main(['web', '--port', '0', '--open'])\n"
    )
    tokens = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        tokens += re.findall(r"http://127\.0\.0\.1:\d+/#token=(\S{43})", done.stdout)
    assert len(set(tokens)) == 4, "two printed, two opened"
