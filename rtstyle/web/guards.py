"""Who may ask: looked at before a handler runs or a body is read.

A page of another site can send requests to this machine (cross-site requests), and can even get an
own name resolved to it (DNS rebinding). The Host header tells the second, Origin and Sec-Fetch-Site
the first. And since other users of this machine, and their programs, send what headers they like,
everything but the page itself needs the token, which the page trades for a cookie.
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

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from rtstyle.errors import DiskFull, OutputNotWritable, RtstyleError
from rtstyle.web.downloads import cut
from rtstyle.web.places import BusyError, Places, TooSlowError

if sys.platform != "win32":
    import resource

COOKIE = "rtstyle"
SESSION = "/api/session"
LOCKED = "open the address that rtstyle web printed; it holds the token"
_LOCKED_PAGE = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>rtstyle</title>
<h1>Not from here</h1><p>Please {LOCKED}.</p></html>
"""
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
PUBLIC = frozenset(("/", "/style.css", "/icon.svg", *(f"/{name}.js" for name in SCRIPTS)))
"""What holds nothing of anyone and so is given without a token."""

_SAFE = frozenset((hdrs.METH_GET, hdrs.METH_HEAD))
_LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
MOST_FILES = 8192
_STATUS: dict[type[RtstyleError], int] = {
    DiskFull: 507,
    OutputNotWritable: 507,
    TooSlowError: 408,
}
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
    """Without which nothing of anyone is given, on this machine neither: it has other users."""
    names: frozenset[str] = field(default=frozenset())
    """Further names, lower-case, by which browsers may call it."""
    once: set[str] = field(default_factory=set)
    """Further tokens, each good for one session: those that others may have read since."""

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
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
            # A few bytes could unpack to as many as there is memory.
            return 415, "bodies are taken as they are, not compressed"
        # Whoever asks for a session is looked at by what gives it out.
        if request.path == SESSION or (request.path in PUBLIC and request.method in _SAFE):
            return None
        if not self.knows(request):
            return 401, LOCKED
        # No browser leaves it out; and what it sends of its own accord is the cookie.
        is_browser = hdrs.ORIGIN in request.headers or request.method in _SAFE
        if not is_browser and not self.bears(request):
            return 403, "a request without an Origin needs the token in Authorization"
        return None

    def knows(self, request: web.BaseRequest) -> bool:
        """Whether ``request`` brings the token, as a cookie or as ``Authorization: Bearer``."""
        cookie = request.cookies.get(cookie_name(request), "")
        return any(self._is_one(given, (self.token,)) for given in (cookie, _bearer(request)))

    def trades(self, request: web.BaseRequest) -> bool:
        """Whether ``request`` may have a session; a token that is good for one is used up."""
        given = _bearer(request)
        if self._is_one(given, tuple(self.once)):
            self.once.discard(given)
            return True
        return self.knows(request)

    def bears(self, request: web.BaseRequest) -> bool:
        """Whether ``request`` brings the token itself, as no browser does of its own accord."""
        return self._is_one(_bearer(request), (self.token,))

    @staticmethod
    def _is_one(given: str, tokens: tuple[str, ...]) -> bool:
        # Cookies of others on this machine may hold anything.
        said = given.encode("utf-8", "surrogateescape")
        return any(hmac.compare_digest(said, token.encode()) for token in tokens)

    def _foreign(self, request: web.BaseRequest) -> str | None:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None:
            scheme, _, netloc = origin.partition("://")
            if scheme != request.scheme or not self._is_own(request, netloc):
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


def cookie_name(request: web.BaseRequest) -> str:
    """Of this server: browsers send the cookies of one port to all of a machine."""
    transport = request.transport
    return f"{COOKIE}-{transport.get_extra_info('sockname')[1]}" if transport else COOKIE


def _bearer(request: web.BaseRequest) -> str:
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return given if scheme.lower() == "bearer" else ""


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


def locked(request: web.BaseRequest) -> web.Response:
    """An answer to who brings no token: for people a page, for scripts what ``refuse`` says."""
    if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(status=401, text=_LOCKED_PAGE, content_type="text/html")
    return refuse(401, LOCKED)


def middleware(gate: Gate, places: Places) -> Middleware:
    """Keeps the rules of ``gate``, and lets no trace of an error out."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await answer(request, handler)
        if isinstance(response, web.Response):
            if request.content.is_eof():
                await _hand_over(places, request, response)
            else:
                await _dismiss(places, request, response)
        return response

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = gate.refusal(request)
        if refusal is not None:
            response = locked(request) if refusal[0] == 401 else refuse(*refusal)
            response.force_close()
            return response
        try:
            return await handler(request)
        except web.HTTPException as error:
            return refuse(error.status, error.reason)
        except BusyError as error:
            return refuse(503, str(error), Retry_After="2")
        except RtstyleError as error:
            return refuse(_STATUS.get(type(error), 400), str(error))
        except Exception as error:
            if isinstance(error, ConnectionError) and request.transport is None:
                # Its sender went away; nobody hears this.
                return refuse(400, "the connection was lost")
            _LOG.exception("a request to %s failed", request.path)
            return refuse(500, "something went wrong in the server; its terminal says what")

    return guard


async def _hand_over(places: Places, request: web.Request, response: web.Response) -> None:
    """Let the client take the answer; one that asks for many and reads none does not hold a place.

    What is written here is not written again by aiohttp, which would wait for ever.
    """
    try:
        with places.transfer(request) as transfer:
            async with transfer.waiting():
                await response.prepare(request)
                await response.write_eof()
    except TooSlowError:
        cut(request)
    except ConnectionError:
        pass


async def _dismiss(places: Places, request: web.Request, response: web.Response) -> None:
    """Answer, and end the connection with the rest of the body unread, however long it is.

    Closing at once would reset the connection, and many clients then lose the answer too.
    """
    response.force_close()
    if request.transport is None:
        return
    places.leaves(request)
    request.transport.pause_reading()
    await _hand_over(places, request, response)
    await asyncio.sleep(_GRACE_SECONDS)
    request.protocol.force_close()


def allow_many_files() -> None:
    """Let this process open thousands of files, where the system does.

    ``Places`` does not see those that are still agreeing on TLS, for a minute at most.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Signal on_response_prepare: every answer carries HEADERS."""
    del request
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
