"""Films and pictures on the page: dropped, looked at, painted, and taken home."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import pytest

from rtstyle import stylize_image
from rtstyle.cli.sample import Scene
from rtstyle.pipeline import open_stylizer
from rtstyle.types import Pixels, Size
from tests.browser.chromium import apart, decode, drop, grab, serving, until, watched
from tests.clips import audio_packets, make_clip, read_frames, video_pts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTH, HEIGHT = 160, 96


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    scene = Scene(Size(WIDTH, HEIGHT))
    return [scene.frame(index / 25) for index in range(10)]


def write_picture(path: Path, pixels: Pixels) -> Path:
    cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return path


def job(name: str) -> str:
    all_of_them = "[...document.querySelectorAll('.jobs li')]"
    return f"{all_of_them}.find((one) => one.textContent.includes('{name}'))"


def wait_for(page: Page, name: str, state: str) -> None:
    until(page, f"{job(name)}?.className === '{state}'")


def press(page: Page, name: str, word: str) -> None:
    buttons = f"[...{job(name)}.querySelectorAll('button')]"
    page.evaluate(f"{buttons}.find((one) => one.textContent === '{word}').click()")


def download(page: Page, name: str, to: Path) -> Path:
    with page.expect_download() as caught:
        page.evaluate(f"{job(name)}.querySelector('a.button').click()")
    caught.value.save_as(to)
    return to


def choose(page: Page, tab: str, style: str = "great-wave") -> None:
    page.click(f"#tab-{tab}")
    page.click(f'#gallery [data-style="{style}"]')


def painted(style: str, pixels: Pixels) -> Pixels:
    with open_stylizer(style) as stylizer:
        return cast(Pixels, stylizer(pixels[np.newaxis])[0])


def test_a_dropped_film_is_shown_before_and_after(
    page: Page, tmp_path: Path, pictures: Sequence[Pixels]
) -> None:
    clip = make_clip(
        tmp_path / "coast.mp4", size=(WIDTH, HEIGHT), pictures=pictures, frames=len(pictures)
    )
    choose(page, "movie", "starry-night")
    drop(page, "#movie-drop", clip)
    until(page, "!document.querySelector('#movie-compare').hidden")
    before = grab(page, "#movie-compare .before")
    after = grab(page, "#movie-compare .after")
    middle = read_frames(clip)[len(pictures) // 2]
    assert before.shape == after.shape == (HEIGHT, WIDTH, 3)
    assert apart(before, middle) < 6
    assert apart(after, painted("starry-night", middle)) < 8
    # The handle goes by keys as well; the picture before is cut there.
    page.focus("#movie-compare input")
    page.keyboard.press("Home")
    clip_path = "getComputedStyle(document.querySelector('#movie-compare .before')).clipPath"
    assert "100%" in page.evaluate(clip_path)
    page.keyboard.press("End")
    assert "100%" not in page.evaluate(clip_path)
    # A new style is a new picture, and so is a new strength.
    page.click('#gallery [data-style="great-wave"]')
    for _ in range(200):
        if apart(grab(page, "#movie-compare .after"), painted("great-wave", middle)) < 8:
            break
        page.wait_for_timeout(100)
    else:
        raise AssertionError("the preview did not follow the style")
    # What nothing was made of is not kept.
    page.click("#movie-other")
    assert page.is_visible("#movie-drop")
    names = (
        "fetch('/api/jobs').then((it) => it.json()).then((it) => it.jobs.map((one) => one.name))"
    )
    until(page, f"{names}.then((all) => !all.includes('coast.mp4'))")


def test_films_are_cancelled_resumed_and_like_the_command_line_s(
    page: Page, tmp_path: Path
) -> None:
    first = make_clip(tmp_path / "first film.mp4", size=(WIDTH, HEIGHT), frames=1500, audio=True)
    second = make_clip(tmp_path / "second.mp4", size=(64, 48), frames=5)
    choose(page, "movie")
    drop(page, "#movie-drop", first)
    until(page, "!document.querySelector('#movie-start').disabled")
    page.click("#movie-start")
    until(page, f"{job('first film')}?.querySelector('[role=progressbar]')?.value > 0")
    assert page.evaluate("document.title").endswith("% · rtstyle")
    # Anywhere on the page will do, and the film before it is not touched.
    drop(page, "footer", second)
    until(page, "document.querySelector('#movie-name').textContent === 'second.mp4'")
    until(page, "!document.querySelector('#movie-start').disabled")
    page.click("#movie-start")
    until(page, f"!!{job('second.mp4')}")
    press(page, "first film", "Cancel")
    wait_for(page, "first film", "stopped")
    wait_for(page, "second.mp4", "done")
    press(page, "first film", "Resume")
    until(page, f"['queued', 'running', 'done'].includes({job('first film')}.className)")
    page.reload()
    wait_for(page, "first film", "done")
    until(page, f"{job('first film')}.querySelector('video').readyState > 0")
    result = download(page, "first film", tmp_path / "result.mp4")
    wanted = tmp_path / "wanted.mp4"
    command = [sys.executable, "-m", "rtstyle.cli.main", "video", str(first), "-o", str(wanted)]
    subprocess.run([*command, "--style", "great-wave"], check=True, capture_output=True)
    assert video_pts(result) == video_pts(wanted)
    assert audio_packets(result) == audio_packets(wanted) == audio_packets(first)
    ours, theirs = read_frames(result), read_frames(wanted)
    assert len(ours) == 1500
    assert max(apart(one, other) for one, other in zip(ours, theirs, strict=True)) < 4
    for name in ("first film", "second.mp4"):
        press(page, name, "Remove")
        until(page, f"!{job(name)}")


def test_two_tabs_show_the_same_films(browser: Browser, address: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "shared.mkv", size=(64, 48), frames=4)
    with watched(browser, address) as one, watched(browser, address) as other:
        for found in (one, other):
            choose(found.page, "movie")
        drop(one.page, "#movie-drop", clip)
        until(one.page, "!document.querySelector('#movie-start').disabled")
        one.page.select_option("#movie-container", "mkv")
        one.page.click("#movie-start")
        for found in (one, other):
            wait_for(found.page, "shared.mkv", "done")
        result = download(other.page, "shared.mkv", tmp_path / "result.mkv")
        assert len(read_frames(result)) == 4
        press(other.page, "shared.mkv", "Remove")
        until(one.page, f"!{job('shared.mkv')}")


def test_what_is_no_film_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    choose(page, "movie")
    bad = tmp_path / "bad.mp4"
    bad.write_text("<script>document.title = 'taken'</script><img src=x onerror=alert(1)>")
    picture = write_picture(tmp_path / "face.png", np.full((40, 60, 3), 90, np.uint8))
    for file, words in ((bad, "bad.mp4"), (picture, "under Image")):
        drop(page, "#movie-drop", file)
        until(page, "!document.querySelector('#notice').hidden")
        assert words in page.inner_text("#notice")
        assert page.is_visible("#movie-drop")
        page.click("#notice-close")
        assert page.is_hidden("#notice")
    assert page.title() == "rtstyle"


def test_a_name_is_text_and_nothing_else(page: Page, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>" + "long " * 30
    file = write_picture(tmp_path / f"{name}.png", np.full((40, 60, 3), 90, np.uint8))
    choose(page, "image")
    drop(page, "#image-drop", file)
    wait_for(page, "onerror=alert", "done")
    assert page.evaluate(f"{job('onerror=alert')}.querySelectorAll('img').length") == 1
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    press(page, "onerror=alert", "Remove")


def test_pictures_come_back_painted_past_one_that_cannot(
    page: Page, tmp_path: Path, pictures: Sequence[Pixels]
) -> None:
    good = [write_picture(tmp_path / f"good{index}.png", pictures[index]) for index in range(2)]
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    # Dropped where the camera is: pictures find their tab.
    page.click("#tab-live")
    page.click('#gallery [data-style="starry-night"]')
    drop(page, "#live", good[0], bad, good[1])
    assert page.get_attribute("#tab-image", "aria-selected") == "true"
    wait_for(page, "bad.png", "failed")
    assert "bad.png" in str(page.evaluate(f"{job('bad.png')}.querySelector('.error').textContent"))
    for file in good:
        wait_for(page, file.name, "done")
        until(page, f"{job(file.name)}.querySelector('img').naturalWidth === {WIDTH}")
        result = download(page, file.name, tmp_path / f"result-{file.name}")
        wanted = tmp_path / f"wanted-{file.name}"
        stylize_image(file, "starry-night", output=wanted)
        assert apart(decode(result.read_bytes()), decode(wanted.read_bytes())) < 1
    for name in ("good0.png", "good1.png", "bad.png"):
        press(page, name, "Remove")
        until(page, f"!{job(name)}")


def test_a_server_that_is_gone_is_told_and_found_again(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "lost.mp4", size=(64, 48), frames=4)
    # With a token that stays, as those give who start it anew and keep their pages open.
    token = "the-same-token-as-before"
    with serving(home, token=token) as (own, port):
        found = watched(browser, own, expected="ERR_CONNECTION_REFUSED|400")
        page = found.__enter__().page
        choose(page, "movie")
        drop(page, "#movie-drop", clip)
        until(page, "!document.querySelector('#movie-start').disabled")
        page.click("#movie-start")
        wait_for(page, "lost.mp4", "done")
    until(page, "!document.querySelector('#away').hidden")
    with serving(home, port=port, token=token):
        until(page, "document.querySelector('#away').hidden")
        until(page, "document.querySelector('#notice').textContent.includes('started anew')")
        until(page, f"!{job('lost.mp4')}")
        drop(page, "body", clip)
        until(page, "!document.querySelector('#movie-compare').hidden")
        found.__exit__(None, None, None)
