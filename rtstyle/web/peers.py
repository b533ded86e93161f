"""Cameras of browsers over WebRTC: pictures in, painted, pictures out."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import cast

import aioice.ice
import aiortc.codecs.h264
import aiortc.codecs.vpx
import ifaddr
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.sdp import SessionDescription

from rtstyle.errors import RtstyleError, UsageError
from rtstyle.media import WireFrame, frame_of, pixels_of
from rtstyle.web.guards import is_loopback
from rtstyle.web.schema import Offer
from rtstyle.web.viewer import MOST_PIXELS, EndedError, Viewer, Viewers

_SILENCE_SECONDS = 8.0
_START_SECONDS = 20.0
_MOST_SECTIONS = 4
_MOST_CANDIDATES = 32
_BITRATES = {"MIN_BITRATE": 500_000, "DEFAULT_BITRATE": 4_000_000, "MAX_BITRATE": 12_000_000}
_WANTED_KBITS = {"start": 4000, "min": 1000, "max": 8000}


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


async def answer_call(viewers: Viewers, offer: Offer, *, client: str) -> tuple[str, str]:
    """Id and answer for an offer from the address ``client``.

    Raises TooManyViewersError, and UsageError for an offer that is none.
    """
    description = checked_offer(offer.sdp, client)
    viewer = viewers.enter(offer.options)
    try:
        call = Call(viewer)
        viewer.transport = call
        async with asyncio.timeout(_START_SECONDS):
            return viewer.id, await call.answer(description)
    except BaseException as error:
        await viewers.leave(viewer)
        if isinstance(error, RtstyleError) or not isinstance(error, Exception):
            raise
        raise UsageError("the session description cannot be used") from error


def checked_offer(sdp: str, client: str) -> str:
    """``sdp`` less the addresses that are not ``client``'s; raises UsageError where it is no offer
    of one camera.

    An address in it is one this machine would send packets to.
    """
    if sum(line.startswith("m=") for line in sdp.splitlines()) > _MOST_SECTIONS:
        raise UsageError("the session description has too many parts")
    own = _own_addresses() if is_loopback(client) else set()
    lines, near = [], 0
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            near += (is_near := _is_client(line, client, own))
            if not is_near or near > _MOST_CANDIDATES:
                continue
        lines.append(line)
    cleaned = "\r\n".join(lines) + "\r\n"
    try:
        kinds = [media.kind for media in SessionDescription.parse(cleaned).media]
    except Exception as error:
        raise UsageError("the session description cannot be read") from error
    if kinds != ["video"]:
        raise UsageError("the session description must be that of one camera, without sound")
    return cleaned


def quick_to_begin(sdp: str) -> str:
    """An answer that asks the browser to send a good picture at once.

    Chromium begins at 300 kbit/s and takes a minute to find out that more fits; until then detail
    is gone before it is painted, and the size shrinks. Others leave what they do not know.
    """
    lines = sdp.splitlines()
    numbers = [
        line.removeprefix("a=rtpmap:").split()[0]
        for line in lines
        if line.startswith("a=rtpmap:") and line.endswith(("VP8/90000", "H264/90000"))
    ]
    settings = ";".join(f"x-google-{name}-bitrate={rate}" for name, rate in _WANTED_KBITS.items())
    for number in numbers:
        start = f"a=fmtp:{number} "
        known = next((at for at, line in enumerate(lines) if line.startswith(start)), None)
        if known is not None:
            lines[known] += f";{settings}"
        else:
            at = next(i for i, line in enumerate(lines) if line.startswith(f"a=rtpmap:{number} "))
            lines.insert(at + 1, start + settings)
    return "\r\n".join(lines) + "\r\n"


def _is_client(line: str, client: str, own: set[str]) -> bool:
    fields = line.split()
    try:
        address = str(ipaddress.ip_address(fields[4]))
    except (ValueError, IndexError):
        return False
    return address == client or address in own


def _own_addresses() -> set[str]:
    addresses = {"127.0.0.1"}
    for adapter in ifaddr.get_adapters():
        addresses |= {ip.ip for ip in adapter.ips if isinstance(ip.ip, str)}
    return addresses


class Call:
    """One camera's connection."""

    patience = _SILENCE_SECONDS

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._track = PaintedTrack(viewer)
        self._reading: asyncio.Task[None] | None = None
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
        return quick_to_begin(str(self._connection.localDescription.sdp))

    async def close(self) -> None:
        """End the connection; calling it twice is allowed."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._track.stop()
        await self._connection.close()

    def _take(self, track: MediaStreamTrack) -> None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        """Take every picture off the connection at once, whose own queue knows no end."""
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, WireFrame):
                    self._viewer.offer(frame)


class PaintedTrack(VideoStreamTrack):
    """What goes back: the newest picture, painted. While the sender encodes one, the next is
    painted already; they would else wait for each other."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._next: asyncio.Task[WireFrame | None] | None = None

    async def recv(self) -> WireFrame:
        """The next picture; raises MediaStreamError after the end."""
        painted = await (self._next or self._begin())
        if painted is None:
            raise MediaStreamError
        self._next = self._begin()
        return painted

    def stop(self) -> None:
        """No more pictures; calling it twice is allowed."""
        super().stop()
        if self._next is not None:
            self._next.cancel()

    def _begin(self) -> asyncio.Task[WireFrame | None]:
        return asyncio.create_task(self._newest())

    async def _newest(self) -> WireFrame | None:
        try:
            return await self._viewer.painted(self._paint)
        except EndedError:
            return None

    def _paint(self, frame: WireFrame) -> WireFrame:
        pixels = self._viewer.process(pixels_of(frame, most=MOST_PIXELS))
        base = cast(Fraction, frame.time_base)
        return frame_of(pixels, pts=int(frame.pts or 0), time_base=base)
