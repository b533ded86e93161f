"""Takes the pictures of the page that the README shows: ``python -m tests.release.pictures``.

The camera plays the sample scene, so nothing of anyone else is in them. Needs Chromium and
playwright; run it on an idle machine, since the frames a second stand in the pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import av
import cv2
import numpy as np
from av.filter import Graph
from playwright.sync_api import sync_playwright

from rtstyle.cli.sample import Scene
from rtstyle.types import Pixels, Size
from tests.browser.chromium import Watched, decode, launch, serving, until, watched, write_camera
from tests.clips import make_clip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MOST_BYTES = 300_000
CAMERA = Size(640, 360)
_DOCS = Path(__file__).parents[2] / "docs"
# The scene moves and comes back, since the camera begins anew at its end.
_RATE, _SECONDS = 30, 3


def main(folder: Path = _DOCS) -> None:
    """Write web-live.png, web-movie.png, web-dark.png and web-narrow.png into ``folder``."""
    scene = Scene(CAMERA, close_up=True)
    there = [scene.frame(index / _RATE) for index in range(_RATE * _SECONDS)]
    with TemporaryDirectory() as scratch, sync_playwright() as playwright:
        home = Path(scratch)
        camera = write_camera(home / "camera.y4m", there + there[::-1], repeat=1)
        film = _film(home / "holiday.mp4")
        browser = launch(playwright, camera)
        with serving(home) as (address, _):
            _draw_styles(browser, address)
            _take(folder / "web-live.png", browser, address, _live("starry-night", split=0.45))
            _take(
                folder / "web-movie.png",
                browser,
                address,
                lambda page: _movie(page, film),
                viewport={"width": 1280, "height": 880},
            )
            wave = _live("great-wave")
            _take(folder / "web-dark.png", browser, address, wave, color_scheme="dark")
            narrow = {"width": 390, "height": 844}
            _take(folder / "web-narrow.png", browser, address, wave, viewport=narrow)
        browser.close()


def _film(path: Path) -> Path:
    scene = Scene(CAMERA)
    pictures = [scene.frame(index / 25) for index in range(250)]
    size = (CAMERA.width, CAMERA.height)
    return make_clip(path, size=size, frames=len(pictures), pictures=pictures, audio=True)


def _draw_styles(browser: Browser, address: str) -> None:
    """Wait for the gallery, so that nothing is drawn while the camera is on."""
    with watched(browser, address, viewport={"width": 1280, "height": 3000}) as found:
        _wait_for_gallery(found.page, every=True)


def _wait_for_gallery(page: Page, *, every: bool = False) -> None:
    # Those out of sight are not asked for.
    seen = "(({ top, left }) => top < innerHeight && left < innerWidth)"
    images = "[...document.querySelectorAll('#gallery img')]"
    if not every:
        images += f".filter((one) => one.complete || {seen}(one.getBoundingClientRect()))"
    until(page, f"{images}.every((one) => one.naturalWidth > 0)")


def _live(style: str, *, split: float = 0.0) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.click(f'#gallery [data-style="{style}"]')
        page.click("#camera-on")
        until(page, "document.querySelector('#painted').videoWidth > 0")
        if split:
            page.evaluate(
                "(share) => { const it = document.getElementById('split'); it.value = share;"
                " it.dispatchEvent(new Event('input')); }",
                split,
            )
        # Full size and a rate that has settled; the link tests itself for some seconds.
        until(page, "document.querySelector('#live-stats').textContent.includes('fps')")
        for _ in range(30):
            if page.evaluate("document.querySelector('#painted').videoWidth") == CAMERA.width:
                break
            page.wait_for_timeout(1000)
        page.wait_for_timeout(5000)

    return act


def _movie(page: Page, film: Path) -> None:
    page.click("#tab-movie")
    page.click('#gallery [data-style="great-wave"]')
    page.set_input_files("#movie-file", str(film))
    until(page, "!document.querySelector('#movie-compare').hidden")
    page.click("#movie-start")
    until(page, "document.querySelector('#movie-jobs progress')?.value > 0.6")


def _take(
    path: Path, browser: Browser, address: str, act: Callable[[Page], None], **options: object
) -> None:
    chosen: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, **options}
    found = Watched(browser, address, **chosen)
    act(found.page)
    _wait_for_gallery(found.page)
    # What was pressed last must not look as if it were the point.
    found.page.mouse.move(0, 0)
    found.page.evaluate("document.activeElement.blur()")
    pixels = decode(found.page.screenshot())
    found.close()
    for colours in (256, 192, 128, 96, 64):
        data = _png(pixels, colours)
        if len(data) <= MOST_BYTES:
            break
    path.write_bytes(data)
    sys.stdout.write(f"{path}: {len(data) / 1000:.0f} kB, {colours} colours\n")


def _png(pixels: Pixels, colours: int) -> bytes:
    """A PNG file of ``pixels`` with a palette of their own."""
    graph = Graph()
    height, width = pixels.shape[:2]
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base="1/25")  # type: ignore[arg-type]
    both = graph.add("split")
    palette = graph.add("palettegen", f"max_colors={colours}:reserve_transparent=0")
    use = graph.add("paletteuse", "dither=sierra2_4a")
    sink = graph.add("buffersink")
    source.link_to(both)
    both.link_to(palette, 0, 0)
    both.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame.pts = 0
    source.push(frame)
    source.push(None)
    shown = cast(av.VideoFrame, sink.pull())
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "pal8"
    encoder.options = {"compression_level": "9", "pred": "none"}
    packets = [*encoder.encode(shown), *encoder.encode(None)]
    data = b"".join(bytes(packet) for packet in packets)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    return data


if __name__ == "__main__":
    main(*(Path(one) for one in sys.argv[1:2]))
