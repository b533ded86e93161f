"""What a server tells on the terminal."""

from __future__ import annotations

import logging

import pytest

from rtstyle.cli.trouble import line_of, told_of


def test_a_failure_is_one_line_that_says_what_and_where(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("rtstyle.test-of-trouble")
    with told_of("rtstyle.test-of-trouble"):
        try:
            raise OverflowError("too large\nby far")
        except OverflowError:
            log.exception("a request to %s failed", "/x\x1b[2J\x07\udcff")
        log.warning("a style is odd")
        log.info("nothing")
    log.error("nobody listens any more")
    caplog.clear()
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "rtstyle: a request to /x\\x1b[2J\\x07\\udcff failed: OverflowError: too large by far ("
    )
    assert "test_cli_trouble.py:" in first
    assert second == "rtstyle: a style is odd"


def test_a_line_is_not_endless() -> None:
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "y" * 10_000, (), None)
    assert len(line_of(record)) <= 600
