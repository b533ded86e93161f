"""The edge of an HTTP server: what is turned away before anything is made of it, and what of that
the terminal hears (nothing)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


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


def look_first(server: web.Server, headers: Mapping[str, str]) -> None:
    """Let ``server`` answer requests with odd headers itself; the answers carry ``headers``.

    Earlier than its application can: aiohttp reads some of them before that.
    """
    from aiohttp import hdrs, web

    handle: Handle = server.request_handler

    async def first(request: web.BaseRequest) -> web.StreamResponse:
        if odd := odd_header(request):
            status, told = 400, f"the header {odd} holds characters that it may not"
        elif request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
            status, told = 417, "nothing but 100-continue is expected of this server"
        else:
            return await handle(request)
        response = web.Response(status=status, text=f"{told}\n", headers=headers)
        response.force_close()
        return response

    # Read for every new connection.
    server.request_handler = first


def odd_header(request: web.BaseRequest) -> str:
    """The name of a header that is not of printable ASCII; empty where there is none.

    But for cookies: those of other servers on this machine come along, and may hold anything.
    """
    for name, value in request.raw_headers:
        if not name.isascii():
            return "with an odd name"
        text = value.replace(b"\t", b" ").decode("latin-1")
        if name.lower() != b"cookie" and not (text.isascii() and text.isprintable()):
            return name.decode("ascii").title()
    return ""
