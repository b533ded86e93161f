"""What a browser on the page of ``rtstyle web`` sees of its own camera, and how much later."""

from __future__ import annotations

import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from benchmarks.record import percentile
from benchmarks.timecode import BITS, MODULUS, SPLIT, STRIP, stamp
from rtstyle.errors import BackendError
from rtstyle.types import Pixels, Size

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Loopback alone: no other network takes part.
    "--allow-loopback-in-peer-connection",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
_LOOP = MODULUS // 2
"""Pictures in the camera's file, which plays in a loop."""
_BAR = 250.0
_PATIENCE = 120.0
_SETTLE_SECONDS = 6.0

_KEEP_CAMERA = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wish) => window.ownCamera = await open(wish);
"""

# Reads numbers off the camera's own pictures as they are captured and off the painted ones as they
# are shown, for some seconds. Only the strip is read, which costs next to nothing.
_WATCH = """
async ({ seconds, bits, strip }) => {
  const number = (value) => {
    let found = 0, odd = 0;
    for (let row = 0; row <= bits; row++) {
      const bit = value(row) > 128 ? 1 : 0;
      if (row < bits) { found = 2 * found + bit; odd ^= bit; } else if (bit !== odd) return null;
    }
    return found;
  };
  const captured = [], shown = [];
  const track = window.ownCamera.getVideoTracks()[0].clone();
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
  const until = performance.now() + 1000 * seconds;
  const capture = async () => {
    while (performance.now() < until) {
      const { value: frame, done } = await reader.read();
      if (done) break;
      const at = performance.now();
      const [width, height] = [frame.codedWidth, frame.codedHeight];
      const x = Math.round(strip * width / 2 / 2) * 2;
      const rect = { x, y: 0, width: 2, height };
      const pixels = new Uint8Array(frame.allocationSize({ rect }));
      const [{ offset, stride }] = await frame.copyTo(pixels, { rect });
      frame.close();
      const row = (k) => offset + stride * Math.floor((k + 0.5) * height / (bits + 1));
      captured.push([number((k) => pixels[row(k)]), at]);
    }
    track.stop();
  };
  const video = document.querySelector("#painted");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, bits + 1];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const show = () => new Promise((done) => {
    const each = (now, about) => {
      const at = Math.max(performance.now(), about.expectedDisplayTime);
      const [width, height] = [video.videoWidth, video.videoHeight];
      const x = Math.round(strip * width / 2);
      for (let k = 0; k <= bits; k++)
        context.drawImage(video, x, Math.floor((k + 0.5) * height / (bits + 1)), 1, 1, 0, k, 1, 1);
      const { data } = context.getImageData(0, 0, 1, bits + 1);
      shown.push([number((k) => data[4 * k + 1]), at]);
      performance.now() < until ? video.requestVideoFrameCallback(each) : done();
    };
    video.requestVideoFrameCallback(each);
  });
  await Promise.all([capture(), show()]);
  return { captured, shown };
}
"""


@dataclass(frozen=True, slots=True)
class Page:
    """What a browser saw; times in milliseconds."""

    fps_in: float
    fps_out: float
    """Painted pictures that were shown, each counted once."""
    delay_p50: float
    delay_p95: float
    unread: int
    said: str
    """The page's own figures."""
    bar: float = _BAR


def watch_browser(
    style: str, pictures: Sequence[Pixels], *, rate: float, size: Size, seconds: float
) -> Page:
    """Open the page of a fresh server in Chromium, whose camera plays ``pictures``.

    Raises BackendError where Chromium or playwright is missing.
    """
    if not Path(CHROMIUM).exists():
        raise BackendError(f"there is no {CHROMIUM}; install Debian's chromium, or --no-browser")
    try:
        import playwright  # noqa: F401
    except ImportError:
        raise BackendError('no playwright; pip install ".[dev]", or --no-browser') from None
    with tempfile.TemporaryDirectory(prefix="rtstyle-benchmark-") as folder:
        camera = Path(folder) / "camera.y4m"
        _write_y4m(camera, pictures, rate=rate, size=size)
        server = subprocess.Popen(
            [sys.executable, "-m", "rtstyle.cli.main", "web", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            if found is None:
                raise BackendError("rtstyle web does not start; try it by hand")
            seen, said = _watch(found.group(), style, camera, seconds)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
            if server.stdout is not None:
                server.stdout.close()
    return summarise_page(seen["captured"], seen["shown"], said=said, rate=rate)


def _watch(address: str, style: str, camera: Path, seconds: float) -> tuple[dict[str, Any], str]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.add_init_script(_KEEP_CAMERA)
        page.goto(address)
        page.wait_for_selector("#gallery button")
        # Pictures of styles are drawn once, on the processor that is to be measured.
        deadline = time.monotonic() + _PATIENCE
        pictures = "[...document.querySelectorAll('#gallery img')].every((i) => i.naturalWidth)"
        while not page.evaluate(pictures) and time.monotonic() < deadline:
            page.wait_for_timeout(200)
        page.click(f'[data-style="{style}"]')
        page.evaluate(
            "(share) => { const split = document.querySelector('#split'); split.value = share;"
            "split.dispatchEvent(new Event('input', { bubbles: true })); }",
            SPLIT,
        )
        page.click("#camera-on")
        painting = f"document.querySelector('#live-stats').dataset.style === '{style}'"
        while not page.evaluate(painting):
            if time.monotonic() > deadline:
                raise BackendError(f"the page shows nothing: {page.inner_text('body')[:200]}")
            page.wait_for_timeout(100)
        # Rates of both encoders rise until they have found out what the way carries.
        page.wait_for_timeout(1000 * _SETTLE_SECONDS)
        seen: dict[str, Any] = page.evaluate(
            _WATCH, {"seconds": seconds, "bits": BITS, "strip": STRIP}
        )
        said = page.inner_text("#live-stats")
        browser.close()
    return seen, said


def summarise_page(
    captured: Sequence[tuple[int | None, float]],
    shown: Sequence[tuple[int | None, float]],
    *,
    said: str,
    rate: float,
) -> Page:
    """What lists of numbers and milliseconds, of captured and of shown pictures, amount to."""
    loop_ms = 1e3 * _LOOP / rate
    delays, last = [], None
    for number, at in shown:
        if number is None or number == last:
            continue
        last = number
        ages = [at - then for code, then in captured if code == number and 0 <= at - then < loop_ms]
        if ages:
            delays.append(min(ages))
    if len(delays) < 2:
        raise BackendError("the browser showed too few numbers to measure anything")
    span = (shown[-1][1] - shown[0][1]) / 1e3
    length = (captured[-1][1] - captured[0][1]) / 1e3
    return Page(
        fps_in=(len(captured) - 1) / length,
        fps_out=len(delays) / span,
        delay_p50=statistics.median(delays),
        delay_p95=percentile(delays, 0.95),
        unread=sum(number is None for number, _ in (*captured, *shown)),
        said=said,
    )


def _write_y4m(path: Path, pictures: Sequence[Pixels], *, rate: float, size: Size) -> None:
    """A loop of numbered pictures that Chromium plays as a camera, without a codec's cost."""
    with path.open("wb") as file:
        head = f"YUV4MPEG2 W{size.width} H{size.height} F{round(rate * 1000)}:1000 Ip A1:1 C420jpeg"
        file.write(head.encode() + b"\n")
        for number in range(_LOOP):
            pixels = stamp(pictures[number % len(pictures)], number)
            file.write(b"FRAME\n" + cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420).tobytes())
