"""A server from start to end: what it listens on, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from rtstyle.errors import UsageError
from rtstyle.live import Load, Palette
from rtstyle.live.http_edge import http_log, look_first
from rtstyle.types import DEFAULT_LIMITS, Limits
from rtstyle.web.app import Parts, make_app
from rtstyle.web.child import DEFAULT_BOUNDS, Bounds
from rtstyle.web.gallery import Gallery
from rtstyle.web.guards import HEADERS, Gate, allow_many_files, is_loopback, new_token
from rtstyle.web.jobs import Jobs
from rtstyle.web.peers import video_calls
from rtstyle.web.places import BACKLOG, IDLE_SECONDS, Pace, Places, watched
from rtstyle.web.spool import Spool
from rtstyle.web.viewer import STYLES_KEPT, Viewers

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{22,256}")
LOG = "rtstyle.web"
"""The logger of what goes wrong in a server."""
_SHUTDOWN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is to be."""

    host: str = "127.0.0.1"
    port: int = 7860
    """0 takes any that is free."""
    token: str | None = None
    """None makes one. At least 128 bits, so 22 characters that an address may hold."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
    """Whether it may listen beyond this machine without TLS."""
    names: tuple[str, ...] = ()
    """Names, beside its address, by which browsers call it from elsewhere."""
    backend: str = "auto"
    idle_seconds: float = IDLE_SECONDS
    """A client that sends or takes nothing for so long is let go; headers must have come whole by
    then."""
    block_seconds: float = IDLE_SECONDS
    """In which a client must send or take 64 KiB of a file, however it drips."""
    limits: Limits = DEFAULT_LIMITS
    bounds: Bounds = DEFAULT_BOUNDS
    """Of each process that converts."""
    load: Load | None = None
    """Opens the styles of live pictures; None for ``open_stylizer`` on ``backend``."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    url: str
    """For a browser; holds the token, behind #."""
    host: str
    port: int
    opening: str = ""
    """As ``url``, but good for one visit: programs of all users can see what a browser is started
    with."""


def check(settings: Settings) -> ssl.SSLContext | None:
    """The TLS that ``settings`` ask for; raises UsageError where they must not be listened on."""
    if settings.token is not None and not _TOKEN.fullmatch(settings.token):
        raise UsageError("a token needs 22 to 256 letters, digits or . _ ~ -; leave it out")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together; give both")
    if settings.tls_cert is None or settings.tls_key is None:
        if not settings.is_local and not settings.insecure:
            raise UsageError(
                f"on {settings.host} others could listen in, and browsers give no camera: give "
                "--tls-cert and --tls-key, or --insecure in a network you trust"
            )
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{settings.tls_cert}: no certificate with its key ({error})") from None
    return context


async def serve(
    settings: Settings, stop: asyncio.Event, on_ready: Callable[[Address], None]
) -> None:
    """Listen as ``settings`` say until ``stop`` is set, and leave nothing behind.

    Raises UsageError where they must not or cannot be listened on.
    """
    tls = check(settings)
    limits = settings.limits
    gate = Gate(
        settings.host,
        settings.token or new_token(),
        names=frozenset(name.lower() for name in settings.names),
    )
    places = Places(Pace(settings.idle_seconds, block_seconds=settings.block_seconds))
    with Spool(max_bytes=limits.max_upload_bytes) as spool, video_calls(settings.host):
        jobs = Jobs(spool, backend=settings.backend, bounds=settings.bounds)
        gallery = Gallery(spool, backend=settings.backend, bounds=settings.bounds)
        palette = Palette([], backend=settings.backend, load=settings.load, keep=STYLES_KEPT)
        viewers = Viewers(palette, gallery.styles, most=limits.max_clients)
        runner = web.AppRunner(
            make_app(Parts(spool, jobs, gallery, viewers, places), gate),
            # Addresses people were at are nobody's business.
            access_log=None,
            logger=http_log(f"{LOG}.http"),
            handle_signals=False,
            keepalive_timeout=settings.idle_seconds,
            # The guard refuses what is compressed; until then nothing of it is unpacked.
            auto_decompress=False,
            # What is left of a refused body is not read; the guard lets its sender go.
            lingering_time=0,
            max_line_size=8190,
            max_field_size=8190,
            max_headers=64,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            await _listen(runner, settings, tls, places)
            on_ready(_address(runner, settings, gate, tls is not None))
            async with watched(places):
                await stop.wait()
        finally:
            await asyncio.gather(jobs.close(), viewers.close(), gallery.close())
            await asyncio.gather(
                runner.cleanup(), asyncio.to_thread(palette.close, _SHUTDOWN_SECONDS)
            )


async def _listen(
    runner: web.AppRunner, settings: Settings, tls: ssl.SSLContext | None, places: Places
) -> None:
    if runner.server is not None:
        places.attach(runner.server)
        look_first(runner.server, HEADERS)
    site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls, backlog=BACKLOG)
    try:
        await site.start()
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}); "
            "choose another with --port"
        ) from None


def _address(runner: web.AppRunner, settings: Settings, gate: Gate, secure: bool) -> Address:
    port = int(runner.addresses[0][1])
    host = settings.names[0] if settings.names else settings.host
    shown = f"[{host}]" if ":" in host else host
    base = f"{'https' if secure else 'http'}://{shown}:{port}/"
    once = new_token()
    gate.once.add(once)
    # Behind # it is not sent to anyone, and the page takes it out of the address line.
    return Address(
        f"{base}#token={gate.token}", settings.host, port, opening=f"{base}#token={once}"
    )


def run(settings: Settings, on_ready: Callable[[Address], None]) -> None:
    """``serve`` until Ctrl-C, SIGTERM or the terminal is closed (SIGHUP)."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _endings():
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, stop.set)
        await serve(settings, stop, on_ready)

    allow_many_files()
    asyncio.run(main())


def _endings() -> Iterator[signal.Signals]:
    """Signals that end a server."""
    yield signal.SIGINT
    yield signal.SIGTERM
    # Ignored where it was started with nohup, to outlive its terminal.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP
