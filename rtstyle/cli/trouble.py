"""What goes wrong in a server while it goes on, told on the terminal in a line each."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from rtstyle.cli.terminal import echo, shown

_MOST = 600
"""Characters of a line: clients may have a say in it."""


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        echo(f"rtstyle: {line_of(record)}", err=True)


def line_of(record: logging.LogRecord) -> str:
    """The record, what was raised and where."""
    text = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        text += f": {type(error).__name__}: {error}{where}"
    return shown(" ".join(text.split())[:_MOST])


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Tell on standard error what the logger ``name`` and those below it warn of."""
    log, teller = logging.getLogger(name), _Teller(logging.WARNING)
    log.addHandler(teller)
    try:
        yield
    finally:
        log.removeHandler(teller)
