"""Who may ask: looked at before a handler runs or a body is read.

A page of another site can send requests to this machine (cross-site requests), and can even get an
own name resolved to it (DNS rebinding). The Host header tells the second, Origin and Sec-Fetch-Site
the first. Whoever sends no Origin is no browser and needs the token.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import hdrs, http_exceptions, web
from aiohttp.typedefs import Middleware

from rtstyle.errors import RtstyleError

if sys.platform != "win32":
    import resource

COOKIE = "rtstyle"
MAX_HEADER_BYTES = 16 * 1024
SCRIPTS = (
    "app",
    "capture",
    "common",
    "controls",
    "files",
    "jobs",
    "live",
    "styles",
    "transport",
)
"""The modules of the page, which are files beside each other."""
PUBLIC = frozenset(
    ("/", "/style.css", "/icon.svg", "/api/session", *(f"/{name}.js" for name in SCRIPTS))
)
"""What holds nothing of anyone and so is given without a token."""

_SAFE = frozenset((hdrs.METH_GET, hdrs.METH_HEAD))
_LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
IDLE_SECONDS = 30.0
"""For which a client may say nothing."""
MAX_CONNECTIONS = 96
BACKLOG = 32
"""How many asyncio accepts before it gets round to counting them. Together with their like that are
just being closed they stay below 256, the fewest open files that a system allows a process."""
MOST_FILES = 8192
_GRACE_SECONDS = 1.0
"""For a client to read why its body is not wanted."""
_LOG = logging.getLogger(__name__)

HEADERS = {
    "Server": "rtstyle",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def new_token() -> str:
    """256 random bits, fit for an address."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Gate:
    """The rules of one server."""

    host: str
    """What it listens on."""
    token: str
    demanded: bool
    """Whether every request needs the token, not only those that no browser sends."""
    names: frozenset[str] = field(default=frozenset())
    """Further names, lower-case, by which browsers may call it."""

    def refusal(self, request: web.BaseRequest) -> tuple[int, str] | None:
        """Status and one line where ``request`` is not to be served; None where it is."""
        if sum(len(key) + len(value) for key, value in request.raw_headers) > MAX_HEADER_BYTES:
            return 431, "the headers are too long"
        if len(request.headers.getall(hdrs.HOST, [])) != 1 or not self._is_own(
            request, request.headers[hdrs.HOST]
        ):
            return 403, "this server is not called by that name"
        if (foreign := self._foreign(request)) is not None:
            return 403, foreign
        if request.path in PUBLIC and request.method in _SAFE:
            return None
        known = self.knows(request)
        if self.demanded and not known and request.path not in PUBLIC:
            return 401, "open the address that rtstyle web printed; it holds the token"
        if request.method not in _SAFE and hdrs.ORIGIN not in request.headers and not known:
            return 403, "a request without an Origin needs the token"
        return None

    def knows(self, request: web.BaseRequest) -> bool:
        """Whether ``request`` brings the token, as a cookie or as ``Authorization: Bearer``."""
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        bearer = given if scheme.lower() == "bearer" else ""
        found = (request.cookies.get(COOKIE, ""), bearer)
        return any(hmac.compare_digest(one.encode(), self.token.encode()) for one in found)

    def _foreign(self, request: web.BaseRequest) -> str | None:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None:
            parts = urlsplit(origin)
            if parts.scheme != request.scheme or not self._is_own(request, parts.netloc):
                return "requests of other sites are refused"
        site = request.headers.get("Sec-Fetch-Site", "none")
        # Somebody may have put a link to the page on another one; it cannot be framed or read.
        followed = (
            request.path == "/"
            and request.method in _SAFE
            and request.headers.get("Sec-Fetch-Mode") == "navigate"
        )
        if site not in ("same-origin", "none") and not followed:
            return "requests of other sites are refused"
        return None

    def _is_own(self, request: web.BaseRequest, netloc: str) -> bool:
        transport = request.transport
        if transport is None:
            return False
        port = transport.get_extra_info("sockname")[1]
        try:
            asked = urlsplit(f"//{netloc}")
            name, asked_port = asked.hostname, asked.port
        except ValueError:
            return False
        if name is None or "@" in netloc:
            return False
        if (asked_port or (443 if request.scheme == "https" else 80)) != port:
            return False
        if is_loopback(self.host):
            return name in _LOCAL_NAMES or name == self.host
        # An address is safe from rebinding, which needs a name.
        return _is_address(name) or name in self.names or name in _LOCAL_NAMES


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def refuse(status: int, message: str, **headers: str) -> web.Response:
    """An answer that says ``message`` as the page expects it."""
    return web.json_response(
        {"error": message},
        status=status,
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )


def middleware(gate: Gate) -> Middleware:
    """Keeps the rules of ``gate``, and lets no trace of an error out."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await answer(request, handler)
        if not request.content.is_eof():
            await _dismiss(request, response)
        return response

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = gate.refusal(request)
        if refusal is not None:
            response = refuse(*refusal)
            response.force_close()
            return response
        try:
            return await handler(request)
        except web.HTTPException as error:
            return refuse(error.status, error.reason)
        except RtstyleError as error:
            return refuse(400, str(error))
        except Exception as error:
            if isinstance(error, ConnectionError) and request.transport is None:
                # Its sender went away; nobody hears this.
                return refuse(400, "the connection was lost")
            _LOG.exception("a request to %s failed", request.path)
            return refuse(500, "something went wrong in the server; its terminal says what")

    return guard


async def _dismiss(request: web.Request, response: web.StreamResponse) -> None:
    """Answer, and end the connection with the rest of the body unread, however long it is.

    Closing at once would reset the connection, and many clients then lose the answer too.
    """
    response.force_close()
    if request.transport is None:
        return
    request.transport.pause_reading()
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
        await asyncio.sleep(_GRACE_SECONDS)
    request.protocol.force_close()


def bound_connections(server: web.Server, most: int = MAX_CONNECTIONS) -> None:
    """Let ``server`` hold at most ``most`` connections.

    One more ends the oldest on which nothing is being done, as clients do that open many and say
    nothing; where all are at work it is refused itself.
    """
    made = server.connection_made

    def bounded(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        there = [one for one in server.connections if one.transport is not None]
        made(handler, transport)
        if len(there) >= most:
            # Without that attribute all count as at work.
            idle = (one for one in there if not getattr(one, "_request_in_progress", True))
            next(idle, handler).force_close()

    # A method of each server, called for every connection; there is no other place to count them.
    server.connection_made = bounded  # type: ignore[method-assign]


def allow_many_files() -> None:
    """Let this process open thousands of files, where the system does.

    ``bound_connections`` does not see those that are still agreeing on TLS, for a minute at most.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def http_log() -> logging.Logger:
    """What aiohttp tells of requests, without those that are no HTTP or were left off: anybody can
    fill a terminal with these, and they were answered."""
    log = logging.getLogger("rtstyle.web.http")
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, http_exceptions.HttpProcessingError | ConnectionError)


async def add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Signal on_response_prepare: every answer carries HEADERS."""
    del request
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
