"""The page without the token of its server, and how it gets in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.chromium import serving, until, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LOCKED = "!document.querySelector('#locked').hidden"


def test_without_the_printed_address_the_page_says_so_and_opens_with_it(
    browser: Browser, home: Path
) -> None:
    with serving(home) as (address, _):
        base = address.partition("#")[0]
        with watched(browser, address, expected="401") as found:
            page = found.page
            # What is left in the address line is no secret, and is enough for a bookmark.
            assert page.url == base
            page.reload()
            page.wait_for_selector("#gallery button")
            cookies = found.context.cookies()
            assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]
            assert page.evaluate("document.cookie") == ""
            other = found.context.new_page()
            other.goto(base)
            other.wait_for_selector("#gallery button")
            # Somebody without it.
            found.context.clear_cookies()
            page.reload()
            until(page, LOCKED)
            assert "address that rtstyle web printed" in page.inner_text("#locked")
            assert page.query_selector("#gallery button") is None
            page.goto(f"{base}#token={'x' * 43}")
            until(page, LOCKED)
            # The address in the same tab: nothing is loaded by that alone.
            page.goto(address)
            page.wait_for_selector("#gallery button")
            until(page, "document.querySelector('#locked').hidden")
            assert page.url == base


def test_a_server_that_was_started_anew_wants_its_new_address(browser: Browser, home: Path) -> None:
    with serving(home) as (before, port):
        found = watched(browser, before, expected="ERR_CONNECTION_REFUSED|401")
        page = found.__enter__().page
    until(page, "!document.querySelector('#away').hidden")
    with serving(home, port=port) as (after, _):
        assert after != before
        until(page, LOCKED)
        assert page.evaluate("document.querySelector('#away').hidden")
        page.goto(after)
        page.wait_for_selector("#gallery button")
        until(page, "document.querySelector('#locked').hidden")
        found.__exit__(None, None, None)
