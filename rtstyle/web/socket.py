"""Cameras of browsers over a WebSocket: JPEG in, painted, JPEG out.

For where WebRTC does not connect: without a network some browsers offer no address at all, and some
systems keep packets from their own address away from loopback. Each message is a number of four
bytes, big-endian, and a picture; the answer has the number of the picture it was painted from, so
that the page knows how many are on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from aiohttp import WSCloseCode, WSMsgType, web

from rtstyle.errors import InputError
from rtstyle.media import jpeg_of, pixels_of_jpeg
from rtstyle.web.schema import LiveOptions
from rtstyle.web.viewer import MOST_PIXELS, EndedError, Viewer, Viewers

MAX_MESSAGE_BYTES = 3 * 2**20
"""A JPEG of 1920x1080 at the page's quality has a fifth of it."""
_NUMBER_BYTES = 4
_HEARTBEAT_SECONDS = 5.0
_STUCK_SECONDS = 8.0
_CLOSE_SECONDS = 1.0
_MOST_REASON_BYTES = 120
_LOG = logging.getLogger(__name__)


async def serve_socket(
    request: web.Request, viewers: Viewers, options: LiveOptions
) -> web.StreamResponse:
    """Paint what comes over the connection of ``request`` until either side ends it.

    Raises TooManyViewersError, and HTTPUpgradeRequired where it is no WebSocket.
    """
    # No compression: JPEG has none left, and a small message could unpack to a large one.
    socket = web.WebSocketResponse(
        timeout=_CLOSE_SECONDS,
        heartbeat=_HEARTBEAT_SECONDS,
        compress=False,
        max_msg_size=MAX_MESSAGE_BYTES,
    )
    if not socket.can_prepare(request).ok:
        raise web.HTTPUpgradeRequired(reason="pictures come over a WebSocket")
    viewer = viewers.enter(options)
    way = viewer.transport = SocketWay(viewer, socket, request.transport)
    try:
        await socket.prepare(request)
        await way.serve()
    finally:
        await viewers.leave(viewer)
    return socket


class SocketWay:
    """One camera's WebSocket."""

    patience = 90.0
    """The heartbeat finds who is gone; this is for those who stay and send nothing, longer than a
    page in the background pauses its timers for."""

    def __init__(
        self, viewer: Viewer, socket: web.WebSocketResponse, wire: asyncio.Transport | None
    ) -> None:
        self._viewer, self._socket, self._wire = viewer, socket, wire

    @property
    def ended(self) -> bool:
        """Whether nothing can come any more."""
        return self._socket.closed

    async def serve(self) -> None:
        """Take pictures and answer with them painted, until it is closed."""
        await self._socket.send_json({"id": self._viewer.id})
        answering = asyncio.create_task(self._answer())
        try:
            async for message in self._socket:
                data = message.data
                if message.type is not WSMsgType.BINARY or len(data) <= _NUMBER_BYTES:
                    await self._end(WSCloseCode.UNSUPPORTED_DATA, "a message is no picture")
                    break
                self._viewer.asked_at = time.monotonic()
                self._viewer.offer(data)
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def close(self) -> None:
        """End the connection; calling it twice is allowed."""
        await self._end(WSCloseCode.GOING_AWAY, "rtstyle closed this camera")

    async def _answer(self) -> None:
        try:
            while True:
                painted = await self._viewer.painted(self._paint)
                async with asyncio.timeout(_STUCK_SECONDS):
                    await self._socket.send_bytes(painted)
        except EndedError:
            pass
        except InputError as error:
            await self._end(WSCloseCode.INVALID_TEXT, str(error))
        except (TimeoutError, ConnectionError):
            # Who does not read what comes back is let go of, not waited for.
            self._cut()
        except Exception:
            # Without this the picture would just stand still.
            _LOG.exception("a camera's picture could not be painted")
            await self._end(WSCloseCode.INTERNAL_ERROR, "something went wrong in the server")

    def _paint(self, message: bytes) -> bytes:
        number, data = message[:_NUMBER_BYTES], message[_NUMBER_BYTES:]
        return number + jpeg_of(self._viewer.process(pixels_of_jpeg(data, most=MOST_PIXELS)))

    async def _end(self, code: WSCloseCode, reason: str) -> None:
        said = reason.encode()[:_MOST_REASON_BYTES].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(2 * _CLOSE_SECONDS):
                with contextlib.suppress(RuntimeError, ConnectionError):
                    await self._socket.close(code=code, message=said)
        except TimeoutError:
            self._cut()

    def _cut(self) -> None:
        if self._wire is not None:
            self._wire.abort()
