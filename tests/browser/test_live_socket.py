"""The camera in a real browser where WebRTC does not connect: over a WebSocket, all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest

from tests.browser.chromium import apart, fitted, grab, until, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WITHOUT = "delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection;"
NEVER = """
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor() { super({ iceTransportPolicy: "relay" }); }
  };
"""


PLACES = """async () => {
  const path = '/api/live/socket?options=' + encodeURIComponent('{"style":"great-wave"}');
  const found = [], all = [];
  for (let count = 0; count < 4; count++) {
    const one = new WebSocket(`ws://${location.host}${path}`);
    all.push(one);
    found.push(await new Promise((done) => {
      one.onmessage = () => done('in');
      one.onclose = () => done('out');
    }));
  }
  for (const one of all) one.close();
  return found;
}"""

KEPT = """
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...given) { super(...given); window.kept = this; }
  };
"""


@pytest.fixture(params=[WITHOUT, NEVER], ids=["no WebRTC", "WebRTC never connects"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    # The one place too many that a test asks for is refused, and the browser says so.
    with watched(browser, address, script=request.param, expected="503") as found:
        yield found.page


def test_a_call_that_breaks_off_goes_on_over_a_websocket(browser: Browser, address: str) -> None:
    with watched(browser, address, script=KEPT) as found:
        page = found.page
        page.click("#camera-on")
        until(page, "document.querySelector('#live-stats').title.includes('WebRTC')")
        until(page, "document.querySelector('#painted').videoWidth > 0")
        # As where the network goes away.
        page.evaluate(
            """() => {
              Object.defineProperty(window.kept, 'connectionState', { value: 'failed' });
              window.kept.onconnectionstatechange();
            }"""
        )
        until(page, "document.querySelector('#live-stats').title.includes('WebSocket')")
        shown = page.evaluate("document.querySelector('#painted').currentTime")
        until(page, f"document.querySelector('#painted').currentTime > {shown}")
        until(page, "document.querySelector('#live-stats').dataset.style === 'great-wave'")
        assert page.is_hidden("#notice")
        page.click("#camera-off")


def test_the_camera_is_painted_and_recorded_over_a_websocket(page: Page, tmp_path: Path) -> None:
    page.click('#gallery [data-style="great-wave"]')
    page.click("#camera-on")
    until(page, "document.querySelector('#painted').videoWidth === 320")
    # This one has a place, and the way that failed has none any more.
    assert page.evaluate(PLACES) == ["in", "in", "in", "out"]
    until(page, "document.querySelector('#live-stats').dataset.style === 'great-wave'")
    assert "WebSocket" in (page.get_attribute("#live-stats", "title") or "")
    shown = page.evaluate("document.querySelector('#painted').currentTime")
    until(page, f"document.querySelector('#painted').currentTime > {shown}")
    page.wait_for_timeout(1000)
    wave = fitted(grab(page, "#painted"), (64, 36))
    page.click('#gallery [data-style="starry-night"]')
    until(page, "document.querySelector('#live-stats').dataset.style === 'starry-night'")
    page.wait_for_timeout(1000)
    night = fitted(grab(page, "#painted"), (64, 36))
    assert apart(wave, night) > 8
    until(page, "/ \\d+ ms/.test(document.querySelector('#live-stats').textContent)")
    with page.expect_download() as caught:
        page.click("#snapshot")
    picture = tmp_path / "snapshot.png"
    caught.value.save_as(picture)
    saved = cv2.imread(str(picture))
    assert saved is not None
    assert saved.shape == (180, 320, 3)
    page.click("#record")
    page.wait_for_timeout(2500)
    with page.expect_download() as caught:
        page.click("#record")
    film = tmp_path / "film.webm"
    caught.value.save_as(film)
    assert film.stat().st_size > 10_000
    page.click("#camera-off")
    assert page.is_visible("#camera-on")


OFFLINE = """
import re, signal, subprocess, sys
from playwright.sync_api import sync_playwright
from benchmarks.browser import FLAGS
from tests.browser.chromium import CHROMIUM, until
server = subprocess.Popen(
    [sys.executable, "-m", "rtstyle.cli.main", "web", "--port", "0"],
    stdout=subprocess.PIPE,
    text=True,
)
url = re.search(r"http://\\S+", server.stdout.readline()).group()
flags = [flag for flag in FLAGS if "loopback" not in flag]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector("#gallery button")
    page.click("#camera-on")
    until(page, "document.querySelector('#live-stats').dataset.style === 'great-wave'")
    until(page, "document.querySelector('#painted').currentTime > 0")
    print("way:", page.get_attribute("#live-stats", "title"))
    browser.close()
server.send_signal(signal.SIGINT)
assert server.wait(30) == 0
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_without_any_network_the_camera_is_painted_all_the_same() -> None:
    own = ["unshare", "-n", "bash", "-c", 'ip link set lo up && exec "$@"', "_"]
    if subprocess.run([*own, "true"], capture_output=True).returncode != 0:
        pytest.skip("no network namespace of its own here")
    done = subprocess.run(
        [*own, sys.executable, "-c", OFFLINE], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "way:" in done.stdout
