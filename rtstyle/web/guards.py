"""Who may ask: looked at before a handler runs or a body is read.

A page of another site can send requests to this machine (cross-site requests), and can even get an
own name resolved to it (DNS rebinding). The Host header tells the second, Origin and Sec-Fetch-Site
the first. Whoever sends no Origin is no browser and needs the token.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from rtstyle.errors import RtstyleError

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
        refusal = gate.refusal(request)
        if refusal is not None:
            # Its body is not read: the connection goes with it.
            response: web.StreamResponse = refuse(*refusal, Connection="close")
            response.force_close()
            return response
        try:
            return await handler(request)
        except web.HTTPException as error:
            return refuse(error.status, error.reason)
        except RtstyleError as error:
            return refuse(400, str(error))
        except Exception:
            _LOG.exception("a request to %s failed", request.path)
            return refuse(500, "something went wrong in the server; its terminal says what")

    return guard


async def add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Signal on_response_prepare: every answer carries HEADERS."""
    del request
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
