"""The page of ``rtstyle web`` in a real browser, with a camera that plays a clip."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tests.clips import make_clip, moving_picture, read_frames, video_pts

CHROMIUM = Path("/usr/bin/chromium")
ON_CI = os.environ.get("CI") == "true"
if not ON_CI:
    pytest.importorskip("playwright")
    pytest.importorskip("aiortc")

from playwright.sync_api import Page, sync_playwright  # noqa: E402

pytestmark = pytest.mark.skipif(not CHROMIUM.exists() and not ON_CI, reason="no Chromium here")

PATIENCE = 120.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "rtstyle.cli.main", "web", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    with server.stdout:
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None
        yield found.group()
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0


@pytest.fixture(scope="module")
def page(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    camera = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    with camera.open("wb") as file:
        for index in range(40):
            file.write(cv2.imencode(".jpg", moving_picture((320, 180), index))[1].tobytes())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#gallery button")
        yield page
        browser.close()
    assert troubles == []


def until(page: Page, script: str) -> None:
    """Wait until ``script`` is true in the page, whose policy forbids what playwright does."""
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(script):
        assert time.monotonic() < deadline, f"{script}\n{page.inner_text('body')}"
        page.wait_for_timeout(100)


AVERAGE = """() => {
  const video = document.querySelector('#painted'), canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [64, 36];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 64, 36);
  return [...context.getImageData(0, 0, 64, 36).data];
}"""


def test_the_camera_comes_back_painted_and_changes_with_the_style(page: Page) -> None:
    page.click("#tab-live")
    page.click('[data-style="great-wave"]')
    page.click("#camera-on")
    until(page, "document.querySelector('#painted').videoWidth > 0")
    until(page, "document.querySelector('#live-stats').dataset.style === 'great-wave'")
    shown = page.evaluate("document.querySelector('#painted').currentTime")
    until(page, f"document.querySelector('#painted').currentTime > {shown}")
    page.wait_for_timeout(1500)
    wave = page.evaluate(AVERAGE)
    page.click('[data-style="starry-night"]')
    until(page, "document.querySelector('#live-stats').dataset.style === 'starry-night'")
    page.wait_for_timeout(1500)
    night = page.evaluate(AVERAGE)
    apart = sum(abs(one - other) for one, other in zip(wave, night, strict=True)) / len(wave)
    assert apart > 8
    page.click("#camera-off")
    assert page.is_visible("#camera-on")


def test_a_film_is_previewed_painted_and_outlives_a_reload(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "my film.mp4", size=(160, 90), frames=20, audio=True)
    page.click("#tab-movie")
    page.set_input_files("#movie-file", str(clip))
    until(page, "!document.querySelector('#movie-compare').hidden")
    page.click("#movie-start")
    page.wait_for_selector("#movie-jobs li")
    page.reload()
    until(page, "!!document.querySelector('#movie-jobs li.done')")
    with page.expect_download() as caught:
        page.click("#movie-jobs a.button")
    assert caught.value.suggested_filename.startswith("my film-")
    result = tmp_path / "result.mp4"
    caught.value.save_as(result)
    assert video_pts(result) == video_pts(clip)
    assert any(
        (abs(one.astype(int) - other) > 12).mean() > 0.1
        for one, other in zip(read_frames(result), read_frames(clip), strict=True)
    )


def test_what_is_no_film_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("<script>alert(1)</script>")
    page.click("#tab-movie")
    if page.is_visible("#movie-other"):
        page.click("#movie-other")
    page.set_input_files("#movie-file", str(bad))
    until(page, "!document.querySelector('#notice').hidden")
    assert "bad.mp4" in page.inner_text("#notice")


def test_a_picture_comes_back_painted(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "face.png"
    cv2.imwrite(str(source), moving_picture((120, 80), 1))
    page.click("#tab-image")
    page.set_input_files("#image-file", str(source))
    until(page, "document.querySelector('#image-jobs li.done img')?.naturalWidth === 120")


@pytest.mark.parametrize("tab", ["live", "movie", "image"])
def test_nothing_is_wider_than_a_narrow_screen(page: Page, tab: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.click(f"#tab-{tab}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1280, "height": 860})


def test_tabs_and_styles_go_by_keyboard(page: Page) -> None:
    page.click("#tab-live")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#tab-movie", "aria-selected") == "true"
    before = page.get_attribute('#gallery [aria-checked="true"]', "data-style")
    page.focus('#gallery [aria-checked="true"]')
    page.keyboard.press("ArrowDown")
    assert page.get_attribute('#gallery [aria-checked="true"]', "data-style") != before
