"""Cameras of browsers: WebRTC in, painted, WebRTC out.

Each camera has one slot that holds the newest picture; older ones are dropped and counted, so that
a slow net costs pictures and never time.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, cast

import aioice.ice
import aiortc.codecs.h264
import aiortc.codecs.vpx
import ifaddr
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.sdp import SessionDescription

from rtstyle.errors import LimitExceeded, RtstyleError, UsageError
from rtstyle.media import WireFrame, frame_of, pixels_of
from rtstyle.styles import StyleSpec
from rtstyle.types import Pixels
from rtstyle.web.guards import is_loopback
from rtstyle.web.painter import Painter, PainterFactory
from rtstyle.web.schema import LiveOptions, Offer

MOST_PIXELS = 1920 * 1080
_SILENCE_SECONDS = 8.0
_START_SECONDS = 20.0
_RATE_SECONDS = 3.0
_MOST_SECTIONS = 4
_BITRATES = {"MIN_BITRATE": 500_000, "DEFAULT_BITRATE": 4_000_000, "MAX_BITRATE": 12_000_000}


class TooManyPeersError(LimitExceeded):
    """As many cameras as are allowed are on already."""


@contextmanager
def video_calls(host: str) -> Iterator[None]:
    """Settings of the WebRTC library that it has no options for, while the server runs.

    Its bit rates are meant for faces at 640x480, and paint is all edges; and it offers every
    address of the machine but loopback, where only ``host`` was asked for.
    """
    with contextlib.ExitStack() as stack:
        for codec in (aiortc.codecs.vpx, aiortc.codecs.h264):
            for name, rate in _BITRATES.items():
                stack.callback(setattr, codec, name, getattr(codec, name))
                setattr(codec, name, rate)
        if host not in ("0.0.0.0", "::"):
            address = "127.0.0.1" if host == "localhost" else host
            stack.callback(setattr, aioice.ice, "get_host_addresses", aioice.ice.get_host_addresses)
            setattr(aioice.ice, "get_host_addresses", lambda *_, **__: [address])  # noqa: B010
        yield


class Peers:
    """All cameras of a server."""

    def __init__(
        self,
        make_painter: PainterFactory,
        styles: Callable[[], Mapping[str, StyleSpec]],
        *,
        most: int = 4,
        silence_seconds: float = _SILENCE_SECONDS,
    ) -> None:
        """``most`` cameras at a time; one whose page asks for nothing that long is closed."""
        self._make_painter, self._styles = make_painter, styles
        self._most = most
        self._silence_seconds = silence_seconds
        self._all: dict[str, _Peer] = {}
        self._coming = 0
        self._watch: asyncio.Task[None] | None = None

    async def accept(self, offer: Offer, *, client: str) -> tuple[str, str]:
        """Id and answer for an offer from the address ``client``.

        Raises TooManyPeersError, UsageError for an offer that is none, ModelError, BackendError.
        """
        if len(self._all) + self._coming >= self._most:
            raise TooManyPeersError(f"{self._most} cameras are on already; close one and try again")
        description = checked_offer(offer.sdp, client)
        self._coming += 1
        peer = _Peer(self._make_painter())
        try:
            async with asyncio.timeout(_START_SECONDS):
                answer = await peer.answer(description)
                await peer.tune(offer.options, self._styles())
        except (UsageError, RtstyleError):
            await peer.close()
            raise
        except Exception as error:
            await peer.close()
            raise UsageError("the session description cannot be used") from error
        except BaseException:
            await peer.close()
            raise
        finally:
            self._coming -= 1
        identifier = secrets.token_hex(16)
        self._all[identifier] = peer
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look_after())
        return identifier, answer

    def has(self, identifier: str) -> bool:
        """Whether this camera is on."""
        return identifier in self._all

    def __len__(self) -> int:
        return len(self._all)

    def options(self, identifier: str) -> LiveOptions:
        """What was last asked for."""
        options = self._all[identifier].wanted
        assert options is not None
        return options

    async def tune(self, identifier: str, options: LiveOptions) -> None:
        """Paint otherwise from now on; raises ModelError or BackendError."""
        await self._all[identifier].tune(options, self._styles())

    def stats(self, identifier: str) -> dict[str, Any]:
        """How it goes, for the page."""
        return self._all[identifier].stats()

    async def close_one(self, identifier: str) -> None:
        """End a camera."""
        peer = self._all.pop(identifier, None)
        if peer is not None:
            await peer.close()

    async def close(self) -> None:
        """End all."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await asyncio.gather(*(self.close_one(identifier) for identifier in list(self._all)))

    async def _look_after(self) -> None:
        """Close what was left: a page that is gone says nothing, or its connection ended."""
        while self._all:
            await asyncio.sleep(min(1.0, self._silence_seconds / 2))
            for identifier, peer in list(self._all.items()):
                silent = time.monotonic() - peer.asked_at > self._silence_seconds
                if silent or peer.ended:
                    await self.close_one(identifier)


def checked_offer(sdp: str, client: str) -> str:
    """``sdp`` less the addresses that are not ``client``'s; raises UsageError where it is no offer
    of one camera.

    An address in it is one this machine would send packets to.
    """
    if sum(line.startswith("m=") for line in sdp.splitlines()) > _MOST_SECTIONS:
        raise UsageError("the session description has too many parts")
    lines = [
        line
        for line in sdp.splitlines()
        if not line.startswith("a=candidate:") or _is_client(line, client)
    ]
    cleaned = "\r\n".join(lines) + "\r\n"
    try:
        kinds = [media.kind for media in SessionDescription.parse(cleaned).media]
    except Exception as error:
        raise UsageError("the session description cannot be read") from error
    if kinds != ["video"]:
        raise UsageError("the session description must be that of one camera, without sound")
    return cleaned


def _is_client(line: str, client: str) -> bool:
    fields = line.split()
    try:
        address = ipaddress.ip_address(fields[4])
        from_here = is_loopback(client)
        return str(address) == client or (from_here and str(address) in _own_addresses())
    except (ValueError, IndexError):
        return False


def _own_addresses() -> set[str]:
    addresses = {"127.0.0.1"}
    for adapter in ifaddr.get_adapters():
        addresses |= {ip.ip for ip in adapter.ips if isinstance(ip.ip, str)}
    return addresses


class _Peer:
    """One camera."""

    def __init__(self, painter: Painter) -> None:
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._painter = painter
        self._track = PaintedTrack(painter)
        self._reading: asyncio.Task[None] | None = None
        self.wanted: LiveOptions | None = None
        self._style = ""
        self._changing = asyncio.Lock()
        self.asked_at = time.monotonic()
        self._connection.on("track", self._take)

    @property
    def ended(self) -> bool:
        """Whether nothing can come any more."""
        return self._connection.connectionState in ("failed", "closed")

    async def answer(self, sdp: str) -> str:
        """The answer to an offer that was looked at."""
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        self._connection.addTrack(self._track)
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return str(self._connection.localDescription.sdp)

    async def tune(self, options: LiveOptions, styles: Mapping[str, StyleSpec]) -> None:
        self.asked_at = time.monotonic()
        self.wanted = options
        self._painter.set_strength(options.strength)
        self._painter.set_keep_colour(options.keep_colour)
        self._painter.set_split(options.split)
        async with self._changing:
            # Of several wishes while a net was loaded only the last counts.
            if options is self.wanted and options.style != self._style:
                await asyncio.to_thread(self._painter.set_style, styles[options.style])
                self._style = options.style
                self.asked_at = time.monotonic()

    def stats(self) -> dict[str, Any]:
        self.asked_at = time.monotonic()
        return {"style": self._style, "backend": self._painter.backend, **self._track.stats()}

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._connection.close()
        await self._track.close()
        await asyncio.to_thread(self._painter.close)

    def _take(self, track: MediaStreamTrack) -> None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        """Take every picture off the connection at once, whose own queue knows no end."""
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, WireFrame):
                    self._track.offer(frame)


class PaintedTrack(VideoStreamTrack):
    """What goes back: the newest picture, painted, whenever the sender is ready for one."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        self._painter = painter
        self._newest: tuple[WireFrame, float] | None = None
        self._there = asyncio.Event()
        # One thread, so that a net is used by one at a time.
        self._brush = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._came = self._dropped = 0
        self._done: deque[tuple[float, float]] = deque(maxlen=600)
        self._size = ""
        self._trouble = ""

    def offer(self, frame: WireFrame) -> None:
        """Put ``frame`` into the slot; one that is still there is dropped."""
        self._came += 1
        self._dropped += self._newest is not None
        self._newest = (frame, time.monotonic())
        self._there.set()

    async def recv(self) -> WireFrame:
        await self._there.wait()
        if self.readyState != "live" or self._newest is None:
            raise MediaStreamError
        (frame, came_at), self._newest = self._newest, None
        self._there.clear()
        loop = asyncio.get_running_loop()
        painted = await loop.run_in_executor(self._brush, self._paint, frame)
        now = time.monotonic()
        self._done.append((now, now - came_at))
        return painted

    def stats(self) -> dict[str, Any]:
        """fps and median delay in milliseconds of the last seconds, and counts."""
        now = time.monotonic()
        late = [(at, took) for at, took in self._done if now - at <= _RATE_SECONDS]
        delays = sorted(took for _, took in late)
        span = now - late[0][0] if len(late) > 1 else 0.0
        return {
            "fps": (len(late) - 1) / span if span > 0 else 0.0,
            "delay_ms": 1000 * delays[len(delays) // 2] if delays else None,
            "came": self._came,
            "dropped": self._dropped,
            "size": self._size,
            "trouble": self._trouble,
        }

    async def close(self) -> None:
        self.stop()
        self._there.set()
        await asyncio.to_thread(self._brush.shutdown)

    def _paint(self, frame: WireFrame) -> WireFrame:
        pixels: Pixels = pixels_of(frame, most=MOST_PIXELS)
        self._size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        try:
            painted = self._painter.process(pixels)
            self._trouble = ""
        except Exception as error:
            # The picture goes on unpainted, and the page says why.
            painted = pixels
            known = isinstance(error, RtstyleError)
            self._trouble = str(error) if known else f"unexpected {type(error).__name__}"
        base = cast(Fraction, frame.time_base)
        return frame_of(painted, pts=int(frame.pts or 0), time_base=base)
