"""The page itself: readable, narrow, by keyboard, in both colour schemes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rtstyle.web.guards import SCRIPTS
from tests.browser.chromium import drop, probe, until, watched
from tests.clips import make_clip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

PAGE = Path(__file__).parents[2] / "rtstyle" / "web" / "page"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(page: Page, scheme: str, tmp_path: Path) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    films = [make_clip(tmp_path / "film.mp4", size=(64, 48), frames=4)]
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    page.click("#tab-image")
    drop(page, "#image-drop", bad)
    until(page, "!!document.querySelector('#image-jobs .failed .error')")
    page.click("#tab-movie")
    drop(page, "#movie-drop", *films)
    until(page, "!document.querySelector('#movie-compare').hidden")
    page.click("#movie-start")
    until(page, "!!document.querySelector('#movie-jobs .done')")
    # The colours move for a moment.
    page.emulate_media(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
    )
    probe(page, "show")
    seen = set()
    for tab in ("live", "movie", "image"):
        page.evaluate(f"document.getElementById('tab-{tab}').click()")
        found = probe(page, "contrast")
        seen |= {text for *_, text in found}
        assert [one for one in found if one[0] < one[1]] == []
    assert {"Record", "A message", "20.0 fps", "film.mp4", "done", "failed", "Another file"} <= seen
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(dark.removeprefix("rgb(").split(",")[0]) < 100) == (scheme == "dark")
    for kind in ("movie", "image"):
        page.evaluate(
            f"[...document.querySelectorAll('#{kind}-jobs button')].map((one) => one.click())"
        )
        until(page, f"!document.querySelector('#{kind}-jobs li')")


@pytest.mark.parametrize("tab", ["live", "movie", "image"])
def test_nothing_is_wider_than_a_narrow_screen(page: Page, tab: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.click(f"#tab-{tab}")
    probe(page, "show")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert probe(page, "small") == []


@pytest.mark.parametrize(
    ("tab", "wanted"),
    [
        ("live", ["tab-live", "camera-on", "great-wave", "strength", "colour", "split"]),
        ("movie", ["tab-movie", "movie-file", "great-wave", "strength"]),
        ("image", ["tab-image", "image-file", "image-format", "great-wave", "strength"]),
    ],
)
def test_all_is_reached_by_tab_and_shows_it(page: Page, tab: str, wanted: list[str]) -> None:
    page.click(f"#tab-{tab}")
    page.focus(".brand")
    reached = []
    for _ in range(len(wanted)):
        page.keyboard.press("Tab")
        name, style, width = probe(page, "ring")
        reached.append(name)
        assert style != "none", name
        assert width >= 2, name
    assert reached == wanted


def test_tabs_and_styles_go_by_keyboard(page: Page) -> None:
    def chosen() -> str | None:
        return page.get_attribute('#gallery [aria-checked="true"]', "data-style")

    page.focus("#tab-live")
    for key, tab in (("ArrowRight", "movie"), ("End", "image"), ("ArrowRight", "live")):
        page.keyboard.press(key)
        assert page.get_attribute(f"#tab-{tab}", "aria-selected") == "true"
        assert page.is_visible(f"#{tab}")
        assert page.evaluate("document.activeElement.id") == f"tab-{tab}"
    styles = page.evaluate(
        "[...document.querySelectorAll('#gallery button')].map((b) => b.dataset.style)"
    )
    page.focus('#gallery [aria-checked="true"]')
    for key, style in (
        ("ArrowDown", styles[1]),
        ("ArrowLeft", styles[0]),
        ("ArrowUp", styles[-1]),
        ("Home", styles[0]),
        ("End", styles[-1]),
    ):
        page.keyboard.press(key)
        assert chosen() == style
        assert page.evaluate("document.activeElement.dataset.style") == style
    assert page.evaluate("document.querySelectorAll('#gallery [tabindex=\"0\"]').length") == 1
    # What was chosen is still chosen after a reload.
    page.click("#tab-movie")
    page.reload()
    page.wait_for_selector("#gallery button")
    until(
        page,
        f"document.querySelector('#gallery [aria-checked=true]')?.dataset.style === '{styles[-1]}'",
    )
    assert page.is_visible("#movie")


def test_controls_have_names(page: Page) -> None:
    probe(page, "show")
    assert probe(page, "nameless") == []
    assert page.get_attribute("html", "lang") == "en"


def test_nothing_moves_for_those_who_asked(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    assert probe(page, "moving") == []


@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_many_styles_with_long_names_fit(page: Page, width: int) -> None:
    picture = (PAGE / "sample.jpg").read_bytes()
    styles = [
        {"name": f"mine-{index}", "title": "A style " + "of mine " * (index % 9), "licence": "MIT"}
        for index in range(25)
    ]

    def about(route: Route) -> None:
        said = {"version": "1", "styles": styles, "max_upload_bytes": 1000}
        route.fulfill(body=json.dumps(said), content_type="application/json")

    page.route("**/api/about", about)
    page.route("**/picture", lambda route: route.fulfill(body=picture, content_type="image/jpeg"))
    page.set_viewport_size({"width": width, "height": 860})
    page.reload()
    until(page, "document.querySelectorAll('#gallery button').length === 25")
    until(page, "document.querySelector('#gallery img').naturalWidth > 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # None lies over another, and titles stand beneath their pictures.
    assert probe(page, "tidy")
    if width >= 1280:
        strength = page.locator("#strength").bounding_box()
        assert strength is not None
        assert strength["y"] + strength["height"] < 860
    # The last is brought into sight when it is chosen by keyboard.
    page.focus('#gallery [aria-checked="true"]')
    page.keyboard.press("End")
    assert probe(page, "in_sight")


def test_a_file_that_is_too_large_is_not_sent(page: Page, tmp_path: Path) -> None:
    styles = [{"name": "great-wave", "title": "The Great Wave", "licence": "MIT"}]
    said = {"version": "1", "styles": styles, "max_upload_bytes": 100}
    page.route(
        "**/api/about",
        lambda route: route.fulfill(body=json.dumps(said), content_type="application/json"),
    )
    page.reload()
    until(page, "document.querySelectorAll('#gallery button').length === 1")
    clip = make_clip(tmp_path / "large.mp4", size=(64, 48), frames=4)
    drop(page, "body", clip)
    until(page, "!document.querySelector('#notice').hidden")
    assert "large.mp4 is too large" in page.inner_text("#notice")
    assert page.is_visible("#movie-drop")


def test_it_works_where_the_browser_keeps_nothing(browser: Browser, address: str) -> None:
    script = (
        "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name,"
        " { get() { throw new DOMException('forbidden', 'SecurityError'); } });"
    )
    with watched(browser, address, script=script) as found:
        page = found.page
        page.click("#tab-image")
        page.click('#gallery [data-style="starry-night"]')
        assert page.get_attribute('#gallery [aria-checked="true"]', "data-style") == "starry-night"


def test_every_part_of_the_page_is_served_and_no_more() -> None:
    """A module that is not listed would be missing; one that is not there would be a 500."""
    assert {path.stem for path in PAGE.glob("*.js")} == set(SCRIPTS)
