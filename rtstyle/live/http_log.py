"""What an HTTP library may write to the terminal."""

from __future__ import annotations

import logging


def http_log(name: str) -> logging.Logger:
    """The logger ``name`` for aiohttp, without requests that are no HTTP or were left off: anybody
    can fill a terminal with these, and they were answered."""
    log = logging.getLogger(name)
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    from aiohttp import http_exceptions

    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, http_exceptions.HttpProcessingError | ConnectionError)
