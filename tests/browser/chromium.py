"""A server, a browser whose camera plays a clip, and pages that tell of everything amiss."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from benchmarks.browser import FLAGS
from rtstyle.types import Pixels

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request

CHROMIUM = Path("/usr/bin/chromium")
ON_CI = os.environ.get("CI") == "true"
_PROBES = Path(__file__).parent / "probes"
PATIENCE = 120.0


def launch(playwright: Playwright, camera: Path | None = None, *, allowed: bool = True) -> Browser:
    """A browser whose camera plays ``camera``, and which pages may use where ``allowed``."""
    # Without this one nobody answers the question whether a page may, which is a no.
    flags = [flag for flag in FLAGS if allowed or "fake-ui" not in flag]
    more = [f"--use-file-for-fake-video-capture={camera}"] if camera else []
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*flags, *more])


def write_camera(path: Path, pictures: Sequence[Pixels], *, repeat: int) -> Path:
    """A camera that shows each of ``pictures`` ``repeat`` times, at 30 a second, again and again.

    In y4m, since browsers take the full range of JPEG for the limited one, and so change colours.
    """
    height, width = pictures[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for picture in pictures:
            planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
            file.write((b"FRAME\n" + planes.tobytes()) * repeat)
    return path


@contextmanager
def serving(home: Path, *options: str, port: int = 0, token: str = "") -> Iterator[tuple[str, int]]:
    """``rtstyle web``, whose user has nothing but ``home``; its address and port.

    ``token`` is one that stays the same from server to server.
    """
    own = {
        "RTSTYLE_STYLES": str(home / "styles"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_DATA_HOME": str(home / "data"),
        "RTSTYLE_WEB_TOKEN": token,
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "rtstyle.cli.main", "web", "--port", str(port), *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **own},
    )
    assert server.stdout is not None
    with server.stdout:
        try:
            # With the token, which the page trades for a cookie.
            found = re.search(r"http://\S+:(\d+)/#token=\S+", server.stdout.readline())
            assert found is not None
            yield found.group(), int(found.group(1))
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
        finally:
            server.kill()
            server.wait()


class Watched:
    """A page in a profile of its own, and what went wrong in it."""

    def __init__(
        self, browser: Browser, address: str, *, script: str = "", **options: object
    ) -> None:
        """``script`` runs before those of the page."""
        chosen: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}, **options}
        self.context = browser.new_context(**chosen)
        if script:
            self.context.add_init_script(script)
        self.address = address
        self.troubles: list[str] = []
        self.page = self.open()

    def open(self) -> Page:
        """Another tab of it."""
        page = self.context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", self._hear)
        page.on("request", self._see)
        page.goto(self.address)
        page.wait_for_selector("#gallery button")
        return page

    def close(self, *, expected: str = "") -> None:
        """Fails where anything went wrong but what the pattern ``expected`` finds."""
        with suppress(Exception):
            self.context.close()
        left = [one for one in self.troubles if not expected or not re.search(expected, one)]
        assert left == []

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"{message.type}: {message.text}")

    def _see(self, request: Request) -> None:
        if not request.url.startswith((self.address.partition("#")[0], "blob:", "data:")):
            self.troubles.append(f"asked {request.url}")


@contextmanager
def watched(
    browser: Browser, address: str, *, expected: str = "", script: str = "", **options: object
) -> Iterator[Watched]:
    """A page, closed and judged at the end."""
    found = Watched(browser, address, script=script, **options)
    try:
        yield found
    except BaseException:
        found.context.close()
        raise
    found.close(expected=expected)


def until(page: Page, script: str) -> None:
    """Wait until ``script`` is true in the page, whose policy forbids what playwright does."""
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(script):
        assert time.monotonic() < deadline, f"{script}\n{page.inner_text('body')}"
        page.wait_for_timeout(100)


_TYPES = {
    ".mp4": "video/mp4",
    ".mkv": "video/x-matroska",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}


def probe(page: Page, name: str, given: object = None) -> Any:  # noqa: ANN401 (JSON)
    """What the script ``name`` of ``probes`` finds in the page."""
    return page.evaluate((_PROBES / f"{name}.js").read_text(encoding="utf-8"), given)


def drop(page: Page, place: str, *paths: Path) -> None:
    """Drop files onto the element ``place``, as a person does from a folder."""
    files = [
        [path.name, _TYPES[path.suffix], base64.b64encode(path.read_bytes()).decode()]
        for path in paths
    ]
    probe(page, "drop", [place, files])


def grab(page: Page, selector: str) -> Pixels:
    """What a video or a picture shows now, uint8 ``(H, W, 3)`` RGB."""
    data = str(probe(page, "grab", selector))
    assert data, f"{selector} shows nothing"
    return decode(base64.b64decode(data.partition(",")[2]))


def decode(data: bytes) -> Pixels:
    """The picture in a file, uint8 ``(H, W, 3)`` RGB."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """``pixels`` in the size ``(width, height)``."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return cast(Pixels, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def apart(one: Pixels, other: Pixels) -> float:
    """The mean difference of two pictures of one shape, in levels of 255."""
    return float(cv2.absdiff(one, other).mean())
