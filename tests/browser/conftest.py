"""One server and one browser for all tests of the page, and for no others: as long as playwright
is there, an event loop runs in this thread, and nobody else can have one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rtstyle.cli.sample import Scene
from rtstyle.types import Pixels, Size
from tests.browser.chromium import CHROMIUM, ON_CI, launch, serving, watched, write_camera

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip them where there is no Chromium; on CI there must be one."""
    if CHROMIUM.exists() or ON_CI:
        return
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="no Chromium here"))


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the user of all servers has; pictures of styles are drawn once for all."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="package")
def address(home: Path) -> Iterator[str]:
    if not ON_CI:
        pytest.importorskip("aiortc")
    with serving(home) as (found, _):
        yield found


@pytest.fixture(scope="package")
def camera_pictures() -> list[Pixels]:
    """What the camera shows, each for a second."""
    scene = Scene(Size(320, 180), close_up=True)
    return [scene.frame(0.2), scene.frame(3.1)]


@pytest.fixture(scope="package")
def camera(tmp_path_factory: pytest.TempPathFactory, camera_pictures: list[Pixels]) -> Path:
    return write_camera(
        tmp_path_factory.mktemp("camera") / "camera.y4m", camera_pictures, repeat=30
    )


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    if not ON_CI:
        pytest.importorskip("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="package")
def browser(playwright: Playwright, camera: Path) -> Iterator[Browser]:
    browser = launch(playwright, camera)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page that knows nothing yet; nothing may go wrong in it."""
    with watched(browser, address) as found:
        yield found.page
