"""Live pictures over HTTP as JPEGs one after the other (multipart/x-mixed-replace), which OBS,
VLC and browsers open: what works where no virtual camera does."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import socket
import threading
import time
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rtstyle.errors import OutputError, OutputNotWritable
from rtstyle.live.http_edge import http_log, look_first
from rtstyle.live.place import Place
from rtstyle.media import jpeg_of
from rtstyle.pipeline import Background
from rtstyle.types import Frame

if TYPE_CHECKING:
    from aiohttp import web

MOST_VIEWERS = 4
_QUALITY = 90
_PATIENCE_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
"""A picture that stands still is sent again: it shows who has gone, and keeps players waiting."""
_POLL_SECONDS = 0.01
_MOST_IDLE = 32
"""Connections that may be open without a request."""
_START_SECONDS = 10.0
_SEND_BUFFER = 64 * 1024
"""Bytes that the system may hold for a viewer; its own choice is seconds of pictures, and so of
delay."""
_BOUNDARY = "rtstyle-picture"
_HEADERS = {
    "Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}",
    "Server": "rtstyle",
    # Browsers style a lone picture with a line of CSS of their own.
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_REFUSAL_HEADERS = {**_HEADERS, "Content-Type": "text/plain; charset=utf-8"}


class MjpegServer:
    """Serves the newest picture to at most four viewers.

    A picture is encoded once for all of them, and not at all while nobody watches. Who reads
    slowly gets fewer pictures, never older ones; who has not taken one in five seconds is shut out.
    """

    def __init__(self, place: Place | None = None, *, patience: float = _PATIENCE_SECONDS) -> None:
        """Listens from here on. Raises OutputNotWritable where aiohttp is missing or the port is
        taken. ``patience``: seconds in which a viewer must take a picture."""
        self._web, place = _aiohttp(), place or Place(any_port=True)
        self._place, self._patience = place, patience
        self._token = place.token or secrets.token_urlsafe(32)
        self._socket = _listen(place)
        self.port: int = self._socket.getsockname()[1]
        self.frames = self.encoded = self.most_viewers = self.refused = 0
        self._viewers = 0
        self._newest: Frame | None = None
        self._part: tuple[Frame, bytes] | None = None
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fresh: set[asyncio.Event] = set()
        self._closing: asyncio.Event | None = None
        self._busy: set[asyncio.WriteTransport] = set()
        self._met: dict[asyncio.Transport, float] = {}
        self._thread = Background(self._work, name="mjpeg")
        self._started.wait(_START_SECONDS)
        if self._loop is None:
            self.abort()
            raise OutputNotWritable(f"{self.name}: the server did not start; run it again")

    @property
    def name(self) -> str:
        """The address without its secret."""
        host = self._place.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def url(self) -> str:
        """The address to open; whoever has it may watch."""
        return self.name + self._token

    def show(self, frame: Frame) -> None:
        """Take one frame; raises OutputError where the server ended."""
        if not self._thread.running:
            why = self._thread.error
            raise OutputError(f"{self.name}: the server ended ({why}); run it again")
        self.frames += 1
        self._newest = frame
        if self._viewers and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it ends, which the next frame is told
                self._loop.call_soon_threadsafe(self._wake)

    def finish(self) -> str:
        self.abort()
        viewers = f"{self.most_viewers} viewer" + ("" if self.most_viewers == 1 else "s")
        told = f"{self.name}: {self.frames} frames offered, {viewers} at a time at most"
        return told + (f"; {self.refused} more were turned away" if self.refused else "")

    def abort(self) -> None:
        """Close all; calling it twice is allowed."""
        loop = self._loop
        if loop is not None and self._thread.running:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                loop.call_soon_threadsafe(self._close)
        self._thread.close(_START_SECONDS)
        self._socket.close()

    def _work(self, stop: threading.Event) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._started.set()

    async def _serve(self) -> None:
        web = self._web
        app = web.Application()
        app.router.add_get("/{token}", self._watch)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=http_log("rtstyle.live.http"),
            handle_signals=False,
            # Nothing but the head of a request is ever looked at.
            auto_decompress=False,
            lingering_time=0,
            # Who left makes room at once for who comes, were it the same one again.
            handler_cancellation=True,
            shutdown_timeout=1.0,
            max_headers=64,
        )
        self._closing = asyncio.Event()
        await runner.setup()
        if runner.server is not None:
            look_first(runner.server, _REFUSAL_HEADERS)
        try:
            await web.SockSite(runner, self._socket).start()
            self._loop = asyncio.get_running_loop()
            self._started.set()
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _AGAIN_SECONDS)
                self._hang_up(runner)
        finally:
            await runner.cleanup()
            # Connections that were cut are given back in the loop's next turn.
            await asyncio.sleep(0)

    def _hang_up(self, runner: web.AppRunner) -> None:
        """End connections over which nothing was asked for: each holds a descriptor, and who opens
        a thousand must not take the camera's."""
        now = time.monotonic()
        known = [] if runner.server is None else runner.server.connections
        lines = {one.transport for one in known if one.transport is not None} - self._busy
        self._met = {line: self._met.get(line, now) for line in lines}
        for line, since in self._met.items():
            if now - since > self._patience or len(self._met) > _MOST_IDLE:
                line.abort()

    def _wake(self) -> None:
        for event in self._fresh:
            event.set()

    def _close(self) -> None:
        if self._closing is not None:
            self._closing.set()
        for line in self._busy:
            # Who takes nothing now would be waited for.
            if line.get_write_buffer_size():
                line.abort()
        self._wake()

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return self._refuse(*refusal)
        if self._viewers >= MOST_VIEWERS:
            self.refused += 1
            return self._refuse(503, f"{MOST_VIEWERS} viewers are watching already; close one")
        response: web.StreamResponse = self._web.StreamResponse(headers=_HEADERS)
        response.force_close()
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        self._viewers += 1
        self.most_viewers = max(self.most_viewers, self._viewers)
        fresh = asyncio.Event()
        fresh.set()
        self._fresh.add(fresh)
        line = request.transport
        if isinstance(line, asyncio.WriteTransport):
            self._busy.add(line)
        try:
            await response.prepare(request)
            await self._stream(request, response, fresh)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            if isinstance(line, asyncio.WriteTransport):
                self._busy.discard(line)
            self._fresh.discard(fresh)
            self._viewers -= 1
        return response

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, fresh: asyncio.Event
    ) -> None:
        assert self._closing is not None
        # A browser shows a picture when the line behind it has come, so that goes with it.
        await response.write(f"--{_BOUNDARY}\r\n".encode())
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(fresh.wait(), _AGAIN_SECONDS)
            fresh.clear()
            part = self._encoded()
            if part is None:
                continue
            await asyncio.wait_for(response.write(part), self._patience)
            until = time.monotonic() + self._patience
            # Not before this one is gone is the next one looked for: what waits is the newest.
            while (transport := request.transport) and transport.get_write_buffer_size():
                if self._closing.is_set():
                    transport.abort()
                if time.monotonic() > until:
                    raise TimeoutError
                await asyncio.sleep(_POLL_SECONDS)
            if request.transport is None:
                return

    def _encoded(self) -> bytes | None:
        newest = self._newest
        if newest is None:
            return None
        if self._part is None or self._part[0] is not newest:
            jpeg = jpeg_of(np.asarray(newest.pixels, np.uint8), quality=_QUALITY)
            self.encoded += 1
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
            self._part = newest, head + jpeg + f"\r\n--{_BOUNDARY}\r\n".encode()
        return self._part[1]

    def _refusal(self, request: web.Request) -> tuple[int, str] | None:
        """Status and one line where ``request`` is not to be served."""
        hosts = request.headers.getall("Host", [])
        # A page of another site can have an own name resolved to this machine (DNS rebinding).
        if len(hosts) != 1 or not self._place.is_called(hosts[0], self.port):
            return 403, "this server is not called by that name"
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return 403, "pages of other sites may not show this"
        given = request.match_info["token"].encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._token.encode()):
            return 404, "nothing here; open the address that rtstyle printed"
        return None

    def _refuse(self, status: int, why: str) -> web.StreamResponse:
        response: web.Response = self._web.Response(
            status=status, text=why + "\n", headers=_REFUSAL_HEADERS
        )
        response.force_close()
        return response


def _aiohttp() -> ModuleType:
    try:
        from aiohttp import web
    except ImportError:
        raise OutputNotWritable(
            'pictures over http need aiohttp: pip install "rtstyle[camera]"'
        ) from None
    module: ModuleType = web
    return module


def _listen(place: Place) -> socket.socket:
    ports = (place.port, 0) if place.any_port else (place.port,)
    for port in ports:
        try:
            family = socket.getaddrinfo(place.host, port, type=socket.SOCK_STREAM)[0][0]
            one = socket.create_server((place.host, port), family=family)
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        # Inherited by the viewers' connections.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        return one
    raise OutputNotWritable(
        f"cannot listen on {place.host} port {place.port} ({reason}); take another port, or "
        "--output mjpeg for one that is free"
    )
