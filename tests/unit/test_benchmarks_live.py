"""The benchmark of live pictures: what it reads off them, and what it makes of that."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import benchmarks
from benchmarks.browser import summarise_page
from benchmarks.live import CodedCamera, look
from benchmarks.timecode import MODULUS, STRIP, number_on, stamp
from rtstyle.backends import FakeStylizer
from rtstyle.types import Pixels


def noise(height: int = 90, width: int = 160) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("number", [0, 1, 85, 170, 255, 256, 1000])
def test_a_number_survives_a_codec(number: int) -> None:
    good, data = cv2.imencode(".jpg", stamp(noise(), number), [cv2.IMWRITE_JPEG_QUALITY, 40])
    assert good
    assert number_on(np.asarray(cv2.imdecode(data, 1), np.uint8)) == number % MODULUS


def test_a_number_with_a_wrong_bit_is_not_believed() -> None:
    pixels = stamp(noise(), 5)
    block = pixels[: 90 // 9, : round(STRIP * 160)]
    block[...] = 255 - block
    assert number_on(pixels) is None


def test_a_late_reader_gets_the_newest_picture() -> None:
    camera = CodedCamera([noise()], 100.0, threading.Event())
    first = camera.read()
    threading.Event().wait(0.1)
    second = camera.read()
    assert first is not None and second is not None
    assert camera.missed >= 8
    late = number_on(np.asarray(second.pixels, np.uint8))
    assert late is not None and late >= 9
    assert camera.due[late] == pytest.approx(second.pts * 1e-9)


def test_the_delay_of_a_stand_in_is_at_least_its_own_time() -> None:
    sight = look(
        [FakeStylizer(delay=0.05, invert=True)],
        [noise(), noise()[::-1]],
        rate=40.0,
        seconds=1.0,
        intervals_allowed=2,
    )
    assert sight.unread == 0
    assert sight.net_p50 >= 49  # a histogram's bin is 2 % wide
    assert sight.delay_p95 >= sight.delay_p50 >= 50
    assert sight.bar == pytest.approx(sight.net_p50 + 50)
    assert sight.dropped > 5
    assert sight.fps_out < 20 < sight.fps_in


def test_a_browsers_delay_is_taken_from_the_newest_picture_of_that_number() -> None:
    # Numbers come again once the loop is over; ten frames a second, painted 150 ms later.
    captured = [(k % MODULUS, 100.0 * k) for k in range(300)]
    shown = [(k % MODULUS, 100.0 * k + 150) for k in range(290) if k % 2 == 0]
    shown.insert(7, (None, 1350.0))
    shown.insert(8, (shown[6][0], 1352.0))  # shown again, since nothing newer came
    page = summarise_page(captured, shown, said="", rate=10.0)
    assert page.delay_p50 == page.delay_p95 == 150
    assert page.fps_in == pytest.approx(10)
    assert page.fps_out == pytest.approx(5, rel=0.05)
    assert page.unread == 1


def test_the_command_prints_a_table_and_writes_a_record(tmp_path: Path) -> None:
    args = ["live", "--no-browser", "--size", "160x90", "--seconds", "2", "--record", str(tmp_path)]
    result = CliRunner().invoke(benchmarks, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "| great-wave " in result.output
    (file,) = tmp_path.glob("live-*.json")
    figures = json.loads(file.read_text())["sink"]
    assert figures["great-wave"]["fps_out"] > 0
    slow = figures["a stand-in 5 times too slow"]
    assert slow["dropped"] > 0
