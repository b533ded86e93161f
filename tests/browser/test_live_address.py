"""The address of ``rtstyle live --output mjpeg`` in a real browser."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtstyle.live import MjpegServer, Place
from rtstyle.media import CAPTURE_CLOCK
from rtstyle.types import Frame

CHROMIUM = Path("/usr/bin/chromium")
ON_CI = os.environ.get("CI") == "true"
if not ON_CI:
    pytest.importorskip("playwright")

from playwright.sync_api import Page, sync_playwright  # noqa: E402

pytestmark = pytest.mark.skipif(not CHROMIUM.exists() and not ON_CI, reason="no Chromium here")

PATIENCE = 60.0
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    one = MjpegServer(Place(port=0))
    yield one
    one.abort()


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield browser.new_page()
        browser.close()


def plain(colour: tuple[int, int, int]) -> Frame:
    pixels = np.empty((120, 160, 3), np.uint8)
    pixels[...] = colour
    return Frame(pixels, time.monotonic_ns(), CAPTURE_CLOCK, None, 0)


def middle(page: Page) -> tuple[int, ...]:
    data = np.frombuffer(page.screenshot(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None
    height, width = picture.shape[:2]
    return tuple(int(value) for value in picture[height // 2, width // 2, ::-1])


def test_a_browser_shows_each_picture_when_it_comes(server: MjpegServer, page: Page) -> None:
    server.show(plain((200, 40, 40)))
    page.goto(server.url, wait_until="commit")
    for colour in ((200, 40, 40), (40, 200, 40), (40, 40, 200)):
        server.show(plain(colour))
        deadline = time.monotonic() + PATIENCE
        while max(abs(a - b) for a, b in zip(middle(page), colour, strict=True)) > 12:
            assert time.monotonic() < deadline, f"{colour} was never seen"
            time.sleep(0.05)


def test_a_page_of_another_site_cannot_show_it(server: MjpegServer, page: Page) -> None:
    server.show(plain((200, 40, 40)))
    body = (
        f"<img src='{server.url}' onload=\"document.title='seen'\" "
        "onerror=\"document.title='refused'\">"
    ).encode()

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            for name in ("127.0.0.1", "localhost"):
                page.goto(f"http://{name}:{other.server_port}/")
                page.wait_for_function("document.title != ''", timeout=1000 * PATIENCE)
                assert page.title() == "refused"
        finally:
            other.shutdown()
            thread.join()
    assert server.most_viewers == 0
