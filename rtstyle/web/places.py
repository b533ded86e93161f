"""How many clients a server holds, and how slow one may be before it makes room for others.

A connection is a place, and so is a file on its way. Where all are taken the slowest gives way; and
who moves next to nothing is let go of without others waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiohttp import web

from rtstyle.errors import InputError, LimitExceeded

IDLE_SECONDS = 30.0
"""For which a client may say or take nothing."""
MAX_CONNECTIONS = 96
BACKLOG = 32
"""How many asyncio accepts before it gets round to counting them. Together with MAX_CONNECTIONS
they stay below 256, the fewest open files that a system allows a process."""
MOST_AT_A_TIME = {"upload": 32, "download": 32}
"""Of each kind; the rest of the connections stays free for short requests."""
PRESSED_SECONDS = 2.0
"""Who is waited for as long in one block makes room where there is none."""
_WATCH_SECONDS = 1.0


class TooSlowError(InputError):
    """A client did not send or take enough in its time."""


class BusyError(LimitExceeded):
    """All places of this kind are taken by clients that are quick enough."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The least that a client must do."""

    idle_seconds: float = IDLE_SECONDS
    """For which nothing at all may come or go."""
    block_bytes: int = 64 * 1024
    block_seconds: float = IDLE_SECONDS
    """In which a block must come or go, so that bytes that drip do not count as a transfer."""


class Transfer:
    """Bytes on their way to or from one client; only the time that it is waited for counts."""

    def __init__(self, pace: Pace, kind: str = "") -> None:
        self.kind = kind
        self._pace = pace
        self._waited = 0.0
        self._moved = 0
        self._since: float | None = None

    @property
    def slow_seconds(self) -> float:
        """For how long it was waited for in the block under way."""
        now = 0.0 if self._since is None else time.monotonic() - self._since
        return self._waited + now

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Wait for the client in here; raises TooSlowError when that has lasted too long."""
        self._since = time.monotonic()
        left = min(self._pace.idle_seconds, self._pace.block_seconds - self._waited)
        try:
            async with asyncio.timeout(max(0.0, left)):
                yield
        except TimeoutError:
            what = "nothing" if not self._moved else "too little"
            raise TooSlowError(f"{what} came for a while; send the file again") from None
        finally:
            self._waited, self._since = self.slow_seconds, None

    def moved(self, count: int) -> None:
        """Note ``count`` bytes that came or went."""
        self._moved += count
        if self._moved >= self._pace.block_bytes:
            self._moved, self._waited = 0, 0.0


@dataclass(slots=True, eq=False)
class _Line:
    """One connection."""

    handler: web.RequestHandler
    transport: asyncio.Transport
    transfer: Transfer | None = None
    closing_since: float | None = None
    is_leaving: bool = False
    """Whether it was answered and has only to hear that."""
    is_gone: bool = False
    """Whether it was ended, which is over in the loop's next turn."""

    def end(self) -> None:
        """Close it; what its client has not taken is dropped, which would be waited for."""
        self.is_gone = True
        self.handler.force_close()
        # TLS would wait for the client's farewell.
        if self.transport.get_write_buffer_size() or self.handler.ssl_context is not None:
            self.transport.abort()


class Places:
    """The connections of one server."""

    def __init__(self, pace: Pace | None = None, *, most: int | None = None) -> None:
        self._pace = pace or Pace()
        self._most = MAX_CONNECTIONS if most is None else most
        self._lines: dict[web.RequestHandler, _Line] = {}

    def attach(self, server: web.Server) -> None:
        """Count the connections of ``server`` from here on."""
        made, lost = server.connection_made, server.connection_lost

        def come(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
            made(handler, transport)
            newcomer = _Line(handler, transport)
            self._lines[handler] = newcomer
            others = [line for line in self._lines.values() if not line.is_gone]
            others.remove(newcomer)
            if len(others) >= self._most:
                _least_missed(others, newcomer).end()

        def go(handler: web.RequestHandler, exc: BaseException | None = None) -> None:
            lost(handler, exc)
            self._lines.pop(handler, None)

        # Methods of each server, called for every connection; there is no other place to count.
        server.connection_made = come  # type: ignore[method-assign]
        server.connection_lost = go  # type: ignore[method-assign]

    async def watch(self) -> None:
        """Cut, for ever, connections that were closed and whose clients do not take the rest."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            for line in list(self._lines.values()):
                if _is_closing(line):
                    line.closing_since = line.closing_since or now
                    if now - line.closing_since > self._pace.idle_seconds:
                        line.transport.abort()

    @contextmanager
    def transfer(self, request: web.BaseRequest, kind: str = "") -> Iterator[Transfer]:
        """A transfer over the connection of ``request``.

        Raises BusyError where as many of its ``kind`` are on as may be, and none is slow.
        """
        if kind:
            self._check_room(kind)
        line = self._lines.get(request.protocol)
        one = Transfer(self._pace, kind)
        if line is not None:
            line.transfer = one
        try:
            yield one
        finally:
            if line is not None:
                line.transfer = None

    def leaves(self, request: web.BaseRequest) -> None:
        """Its client was answered, and the connection is of no more use."""
        if (line := self._lines.get(request.protocol)) is not None:
            line.is_leaving = True

    def _check_room(self, kind: str) -> None:
        same = [
            line
            for line in self._lines.values()
            if line.transfer is not None and line.transfer.kind == kind and not _is_closing(line)
        ]
        if len(same) < MOST_AT_A_TIME[kind]:
            return
        slowest = max(same, key=_slowness)
        if _slowness(slowest) < PRESSED_SECONDS:
            raise BusyError(f"{len(same)} {kind}s are on at a time already; try again in a moment")
        slowest.end()


def _least_missed(others: list[_Line], newcomer: _Line) -> _Line:
    """Whose place is taken: closed already, idle, slow; else the newcomer gets none."""
    for line in (*filter(_is_closing, others), *filter(_is_idle, others)):
        return line
    slowest = max(others, key=_slowness, default=newcomer)
    return slowest if _slowness(slowest) >= PRESSED_SECONDS else newcomer


def _is_closing(line: _Line) -> bool:
    # aiohttp forgets the transport of a connection that it has closed.
    return line.handler.transport is None or line.transport.is_closing()


def _is_idle(line: _Line) -> bool:
    """Whether nothing is being done on it; without that attribute all count as at work."""
    return line.is_leaving or not getattr(line.handler, "_request_in_progress", True)


def _slowness(line: _Line) -> float:
    return line.transfer.slow_seconds if line.transfer is not None else 0.0


@asynccontextmanager
async def watched(places: Places) -> AsyncIterator[None]:
    """``places`` are looked after in here."""
    watch = asyncio.create_task(places.watch())
    try:
        yield
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
