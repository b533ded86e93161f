"""Files to a client: whole or a part of one, opened through no link, at the client's pace or not
at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from aiohttp import hdrs, web

from rtstyle.files import open_regular
from rtstyle.web.places import Places, TooSlowError, Transfer

_CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
"""One range of at most an exabyte. Several at once may be answered with the whole file."""


async def send_file(
    request: web.Request, places: Places, path: Path, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer with the file ``path``.

    Raises OSError where it is not there or no regular file, BusyError where too many are on.
    """
    with places.transfer(request, "download") as transfer:
        file = os.fdopen(await asyncio.to_thread(open_regular, path), "rb")
        try:
            return await _answer(request, file, transfer, headers)
        finally:
            file.close()


async def _answer(
    request: web.Request, file: IO[bytes], transfer: Transfer, headers: Mapping[str, str]
) -> web.StreamResponse:
    about = os.fstat(file.fileno())
    size, tag = about.st_size, f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
    known = {**headers, hdrs.ETAG: tag, hdrs.ACCEPT_RANGES: "bytes"}
    if tag in (one.strip() for one in request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")):
        return web.Response(status=304, headers=known)
    begin, end, status = 0, size, 200
    if request.headers.get(hdrs.IF_RANGE, tag) == tag:
        part = span(request.headers.get(hdrs.RANGE, ""), size)
        if part is not None:
            (begin, end), status = part, 206
            known[hdrs.CONTENT_RANGE] = f"bytes {begin}-{end - 1}/{size}"
            if begin >= end:
                known[hdrs.CONTENT_RANGE] = f"bytes */{size}"
                return web.Response(status=416, headers=known)
    response = web.StreamResponse(status=status, headers=known)
    response.content_length = end - begin
    try:
        async with transfer.waiting():
            await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await _send(response, file, transfer, begin, end)
        async with transfer.waiting():
            await response.write_eof()
    except (ConnectionError, TooSlowError, EOFError):
        # It went away or takes nothing, or the file ends early: that is told by a cut alone.
        cut(request)
    return response


async def _send(
    response: web.StreamResponse, file: IO[bytes], transfer: Transfer, begin: int, end: int
) -> None:
    await asyncio.to_thread(file.seek, begin)
    while begin < end:
        chunk = await asyncio.to_thread(file.read, min(_CHUNK, end - begin))
        if not chunk:
            raise EOFError
        async with transfer.waiting():
            await response.write(chunk)
        transfer.moved(len(chunk))
        begin += len(chunk)


def span(text: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last that a Range header asks for, of ``size``.

    None for the whole file, also where the header makes no sense; the first is not below the
    second where the file has no such bytes.
    """
    found = _RANGE.fullmatch(text)
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def cut(request: web.BaseRequest) -> None:
    """End the connection of ``request`` without waiting for its client."""
    if request.transport is not None:
        with contextlib.suppress(RuntimeError):
            request.transport.abort()
