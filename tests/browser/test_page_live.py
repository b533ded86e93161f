"""The camera on the page: what comes back is what the style makes of it, and can be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from rtstyle.pipeline import open_stylizer
from rtstyle.types import Pixels
from tests.browser.chromium import apart, decode, fitted, grab, launch, serving, until, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

STYLES = ("great-wave", "starry-night", "paprika-fast")
SOURCE = "source"
BAR = 14.0
"""Levels of 255 that two video codecs may cost; what is to be told apart is 15 and more apart."""
TRIES = 100


class Judge:
    """Says what a shown picture is: the camera's, or that in a style."""

    def __init__(self, pictures: list[Pixels]) -> None:
        self._pictures = pictures
        self._known: dict[tuple[str, tuple[int, int]], list[Pixels]] = {}

    def candidates(self, style: str, size: tuple[int, int]) -> list[Pixels]:
        """Every picture of the camera in ``style``, of the size ``(width, height)``."""
        key = (style, size)
        if key not in self._known:
            pictures = [fitted(picture, size) for picture in self._pictures]
            if style != SOURCE:
                with open_stylizer(style) as stylizer:
                    pictures = [stylizer(picture[np.newaxis])[0] for picture in pictures]
            self._known[key] = pictures
        return self._known[key]

    def distances(self, shown: Pixels, part: slice = slice(None)) -> dict[str, float]:
        """How far ``shown`` is from each style, within the columns ``part`` (in percent)."""
        width = shown.shape[1]
        columns = slice(
            None if part.start is None else part.start * width // 100,
            None if part.stop is None else part.stop * width // 100,
        )
        size = (width, shown.shape[0])
        return {
            style: min(
                apart(shown[:, columns], one[:, columns]) for one in self.candidates(style, size)
            )
            for style in (SOURCE, *STYLES)
        }

    def wait(self, page: Page, style: str, part: slice = slice(None)) -> Pixels:
        """A picture on show that is in ``style``, by far; fails where none comes."""
        found: dict[str, float] = {}
        for _ in range(TRIES):
            shown = grab(page, "#painted")
            found = self.distances(shown, part)
            others = min(distance for name, distance in found.items() if name != style)
            if found[style] < BAR and found[style] < others / 2:
                return shown
            page.wait_for_timeout(200)
        raise AssertionError(f"wanted {style}, found {found}; {page.inner_text('body')}")


@pytest.fixture(scope="module")
def judge(camera_pictures: list[Pixels]) -> Judge:
    return Judge(camera_pictures)


def turn_on(page: Page, style: str = "great-wave") -> None:
    page.click("#tab-live")
    page.click(f'#gallery [data-style="{style}"]')
    page.click("#camera-on")
    until(page, "document.querySelector('#painted').videoWidth > 0")
    until(page, f"document.querySelector('#live-stats:not([hidden])')?.dataset.style === '{style}'")


@pytest.fixture(scope="module")
def shared(browser: Browser, address: str) -> Iterator[Page]:
    with watched(browser, address) as found:
        turn_on(found.page)
        yield found.page
        found.page.click("#camera-off")
        assert found.page.is_visible("#camera-on")


@pytest.fixture
def on(shared: Page) -> Page:
    """A page whose camera is on, in the first style and at full strength."""
    shared.click('#gallery [data-style="great-wave"]')
    for name, value in (("strength", 1), ("colour", 0), ("split", 0)):
        slide(shared, name, value)
    return shared


def slide(page: Page, name: str, value: float) -> None:
    page.evaluate(
        "([id, value]) => { const it = document.getElementById(id); it.value = value;"
        " for (const kind of ['input', 'change']) it.dispatchEvent(new Event(kind)); }",
        [name, value],
    )


def test_what_comes_back_is_the_style_and_follows_a_switch(on: Page, judge: Judge) -> None:
    judge.wait(on, "great-wave")
    moment = on.evaluate("document.querySelector('#painted').currentTime")
    on.click('#gallery [data-style="starry-night"]')
    judge.wait(on, "starry-night")
    until(
        on, "document.querySelector('#live-stats:not([hidden])')?.dataset.style === 'starry-night'"
    )
    on.click('#gallery [data-style="paprika-fast"]')
    judge.wait(on, "paprika-fast")
    until(on, f"document.querySelector('#painted').currentTime > {moment}")


def test_no_strength_shows_the_camera(on: Page, judge: Judge) -> None:
    judge.wait(on, "great-wave")
    slide(on, "strength", 0)
    judge.wait(on, SOURCE)


def test_the_split_shows_before_at_the_left_and_after_at_the_right(on: Page, judge: Judge) -> None:
    slide(on, "split", 0.5)
    judge.wait(on, SOURCE, slice(2, 47))
    judge.wait(on, "great-wave", slice(53, 98))
    stage = on.locator("#live-stage").bounding_box()
    assert stage is not None
    # Drawn by the pointer, from the middle to a quarter.
    on.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + 40)
    on.mouse.down()
    on.mouse.move(stage["x"] + stage["width"] / 4, stage["y"] + 60, steps=4)
    on.mouse.up()
    assert on.inner_text("#split-value") == "25 %"
    judge.wait(on, "great-wave", slice(28, 98))
    judge.wait(on, SOURCE, slice(2, 22))


def test_colours_are_kept(on: Page, judge: Judge) -> None:
    slide(on, "colour", 1)

    def chroma(pixels: Pixels) -> Pixels:
        return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., 1:], np.uint8)

    def luma(pixels: Pixels) -> Pixels:
        return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., :1], np.uint8)

    def nearest(view: Callable[[Pixels], Pixels], shown: Pixels, style: str) -> float:
        size = (shown.shape[1], shown.shape[0])
        return min(apart(view(shown), view(one)) for one in judge.candidates(style, size))

    found = {}
    for _ in range(TRIES):
        shown = grab(on, "#painted")
        found = {
            (view.__name__, style): nearest(view, shown, style)
            for view in (chroma, luma)
            for style in (SOURCE, "great-wave")
        }
        kept = found["chroma", SOURCE] < found["chroma", "great-wave"] / 2
        painted = found["luma", "great-wave"] < found["luma", SOURCE] / 2
        if kept and painted:
            return
        on.wait_for_timeout(200)
    raise AssertionError(found)


def test_a_snapshot_is_the_picture_on_show(on: Page, judge: Judge, tmp_path: Path) -> None:
    judge.wait(on, "great-wave")
    with on.expect_download() as caught:
        on.click("#snapshot")
    assert caught.value.suggested_filename.startswith("rtstyle-")
    file = tmp_path / caught.value.suggested_filename
    caught.value.save_as(file)
    assert file.read_bytes().startswith(b"\x89PNG")
    kept = decode(file.read_bytes())
    size = on.evaluate(
        "(({videoWidth: w, videoHeight: h}) => [w, h])(document.querySelector('video'))"
    )
    assert [kept.shape[1], kept.shape[0]] == size
    found = judge.distances(kept)
    assert found["great-wave"] == min(found.values()) < BAR


def test_a_recording_can_be_played(on: Page, judge: Judge, tmp_path: Path) -> None:
    judge.wait(on, "great-wave")
    on.click("#record")
    assert on.get_attribute("#record", "aria-pressed") == "true"
    until(on, "/0:0[2-9]/.test(document.querySelector('#record').textContent)")
    # Whoever leaves now would lose it, and is asked.
    asked = "!window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert on.evaluate(asked)
    with on.expect_download() as caught:
        on.click("#record")
    file = tmp_path / caught.value.suggested_filename
    caught.value.save_as(file)
    with av.open(str(file)) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) > 1
    found = judge.distances(np.ascontiguousarray(pictures[-1], np.uint8))
    assert found["great-wave"] == min(found.values())
    assert on.inner_text("#record") == "Record"
    assert not on.evaluate(asked)


def test_a_recording_outlives_the_camera(browser: Browser, address: str, tmp_path: Path) -> None:
    with watched(browser, address) as found:
        turn_on(found.page)
        found.page.click("#record")
        until(found.page, "/0:0[1-9]/.test(document.querySelector('#record').textContent)")
        with found.page.expect_download() as caught:
            found.page.click("#camera-off")
        file = tmp_path / caught.value.suggested_filename
        caught.value.save_as(file)
        with av.open(str(file)) as film:
            assert sum(1 for _ in film.decode(video=0)) > 0
        assert found.page.is_visible("#camera-on")


def test_keys_are_those_of_the_window(on: Page, judge: Judge) -> None:
    def style() -> str | None:
        return on.get_attribute('#gallery [aria-checked="true"]', "data-style")

    on.focus("#camera-off")
    on.keyboard.press("n")
    assert style() == "starry-night"
    on.keyboard.press("p")
    assert style() == "great-wave"
    for _ in range(3):
        on.keyboard.press("ArrowDown")
    on.keyboard.press("ArrowUp")
    assert on.inner_text("#strength-value") == "80 %"
    on.keyboard.press("c")
    assert on.inner_text("#colour-value") == "100 %"
    on.keyboard.press("c")
    on.keyboard.press("b")
    assert on.inner_text("#split-value") == "50 %"
    on.keyboard.press("b")
    assert on.inner_text("#split-value") == "off"
    with on.expect_download():
        on.keyboard.press("s")
    on.keyboard.press("r")
    assert on.get_attribute("#record", "aria-pressed") == "true"
    until(on, "/0:0[1-9]/.test(document.querySelector('#record').textContent)")
    with on.expect_download():
        on.keyboard.press("r")
    # What a control does with a key of its own, it goes on doing.
    on.focus("#split")
    on.keyboard.press("ArrowUp")
    assert on.inner_text("#split-value") == "1 %"
    assert on.inner_text("#strength-value") == "80 %"
    on.uncheck("#keys-on")
    on.keyboard.press("n")
    assert style() == "great-wave"
    on.check("#keys-on")
    on.focus("#camera-off")
    on.keyboard.press("q")
    assert on.is_visible("#camera-on")
    on.focus("#camera-on")
    on.keyboard.press("Enter")
    until(on, "document.querySelector('#painted').videoWidth > 0")
    slide(on, "strength", 1)
    slide(on, "split", 0)
    judge.wait(on, "great-wave")


def test_the_picture_fills_the_screen(browser: Browser, address: str) -> None:
    with watched(browser, address) as found:
        turn_on(found.page)
        found.page.keyboard.press("f")
        until(found.page, "document.fullscreenElement?.id === 'live-stage'")
        found.page.keyboard.press("f")
        until(found.page, "!document.fullscreenElement")


def test_a_camera_that_is_refused_is_told_in_words(playwright: Playwright, address: str) -> None:
    browser = launch(playwright, allowed=False)
    try:
        with watched(browser, address) as found:
            found.page.click("#camera-on")
            until(found.page, "!document.querySelector('#notice').hidden")
            assert "not allowed to use the camera" in found.page.inner_text("#notice")
            assert found.page.is_enabled("#camera-on")
            found.page.keyboard.press("Escape")
            assert found.page.is_hidden("#notice")
    finally:
        browser.close()


def test_a_tab_that_is_closed_gives_its_camera_back(browser: Browser, home: Path) -> None:
    with (
        serving(home, "--max-clients", "1") as (own, _),
        watched(browser, own) as first,
        watched(browser, own, expected="503") as second,
    ):
        turn_on(first.page)
        second.page.click("#camera-on")
        until(second.page, "!document.querySelector('#notice').hidden")
        assert "no room" in second.page.inner_text("#notice"), second.page.inner_text("#notice")
        first.page.close()
        for _ in range(TRIES):
            if second.page.is_enabled("#camera-on"):
                second.page.click("#camera-on")
            second.page.wait_for_timeout(300)
            if second.page.evaluate("document.querySelector('#painted').videoWidth"):
                break
        else:
            raise AssertionError(second.page.inner_text("body"))
