"""One file over https: to hosts that were named, within a length, and never waiting for ever.

The standard library's opener is used with only the handlers that are wanted: no file or ftp
address, no unencrypted one, no cookie, and the proxy of the environment. What it lacks is added
here: a look at each redirect, and an end to servers that send a byte now and then.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import IO, TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from rtstyle import __version__
from rtstyle.styles.admission import brief

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which the same request may well succeed."""


class RefusedError(Exception):
    """This address will not give the file, however often it is asked; str() says why."""


class BrokenError(Exception):
    """The transfer came to an end too early; asking again may go on from there."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for."""

    stall_seconds: float = 30.0
    """Without a byte for so long, a transfer is given up."""
    least_bytes: int = 32 * 2**10
    """In each such span; fewer is a server that holds its clients."""
    tries: int = 3
    """Of one address, where transfers break."""
    pause_seconds: float = 1.0
    """Between two of them."""
    plain_http: bool = False
    """True lets unencrypted addresses through, for a server of the tests."""


class Body:
    """What a server sends, after its headers were found in order."""

    def __init__(self, response: HTTPResponse, start: int, patience: Patience) -> None:
        self.start = start
        """Where in the file it begins; 0 where the server takes no part of it."""
        self._response = response
        self._patience = patience

    def read(self, most: int) -> bytes:
        """Up to ``most`` bytes as they come, none at the end; raises BrokenError."""
        try:
            return self._response.read1(most)
        except (OSError, HTTPException) as error:
            raise BrokenError(_reason(error, self._patience)) from error


@contextmanager
def open_body(
    address: str, *, start: int, length: int, redirects: tuple[str, ...], patience: Patience
) -> Iterator[Body]:
    """Ask for the file of ``length`` bytes at ``address`` from byte ``start`` on.

    Raises RefusedError for an answer that is not that file, BrokenError for none.
    """
    _check_hop(address, (*redirects, _host(address)), patience, "the address is")
    headers = {"User-Agent": f"rtstyle/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(address, headers=headers)
    try:
        response = _opener(redirects, patience).open(request, timeout=patience.stall_seconds)
    except HTTPError as error:
        with error:
            words = f"it answers {error.code} {brief(str(error.reason), 40)}".rstrip()
        raise (BrokenError if error.code in _PASSING else RefusedError)(words) from error
    except (OSError, HTTPException) as error:
        # The first is what URLError, too, is; what is below it tells whether to ask again.
        cause = error.reason if isinstance(error, URLError) else error
        lasting = isinstance(
            cause, (socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError, str)
        )
        words = _reason(cause, patience)
        raise (RefusedError if lasting else BrokenError)(words) from error
    except (ValueError, OverflowError) as error:
        # What urllib raises for brackets, ports and names that are none, in a redirect too.
        raise RefusedError("it passes on to what is no address") from error
    with response:
        yield Body(response, _checked_start(response, start, length), patience)


def _checked_start(response: HTTPResponse, start: int, length: int) -> int:
    kind = response.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml"):
        raise RefusedError("it sends a web page instead of the file")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RefusedError("it sends the file compressed, which was not asked for")
    if response.status == 206:
        wanted = f"bytes {start}-{length - 1}/{length}"
        found = response.headers.get("Content-Range", "no range")
        if found != wanted:
            raise RefusedError(f"it sends {brief(found, 60)}, asked for {wanted}")
    elif response.status == 200:
        start = 0
    else:
        raise RefusedError(f"it answers {response.status}")
    announced = response.headers.get("Content-Length")
    if announced is not None and announced.strip() != str(length - start):
        found = brief(announced, 20)
        raise RefusedError(f"it has a file of {found} bytes instead of {length - start}")
    return start


def _check_hop(address: str, hosts: tuple[str, ...], patience: Patience, how: str) -> None:
    try:
        parts = urlsplit(address)
        name, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise RefusedError(f"{how} no address") from error
    schemes = ("https", "http") if patience.plain_http else ("https",)
    if parts.scheme not in schemes:
        raise RefusedError(f"{how} {brief(parts.scheme, 20)}, which is not encrypted")
    if not any(
        name.endswith(host[1:]) if host.startswith("*.") else name == host for host in hosts
    ):
        raise RefusedError(f"{how} the host {brief(name, 80)}, which is not one of its own")


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _reason(cause: BaseException | str, patience: Patience) -> str:
    if isinstance(cause, _TooSlowError):
        return str(cause)
    if isinstance(cause, TimeoutError):
        return f"it sent nothing for {patience.stall_seconds:g} s"
    if isinstance(cause, socket.gaierror):
        return "its name is not known here: is there a network?"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({brief(cause.verify_message, 80)})"
    if isinstance(cause, OSError) and cause.strerror:
        return brief(cause.strerror, 80)
    return brief(str(cause) or type(cause).__name__, 80)


class _TooSlowError(TimeoutError):
    """Bytes come, but too few."""


class _Paced(io.RawIOBase):
    """A socket's stream that ends where too little comes; headers pass through it as well."""

    def __init__(self, raw: io.RawIOBase, patience: Patience) -> None:
        self._raw = raw
        self._patience = patience
        self._since = time.monotonic()
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        now = time.monotonic()
        span, least = self._patience.stall_seconds, self._patience.least_bytes
        if now - self._since >= span:
            if self._bytes < least:
                raise _TooSlowError(f"it sent only {self._bytes} bytes in {span:g} s")
            self._since, self._bytes = now, 0
        count: int | None = self._raw.readinto(buffer)
        self._bytes += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _opener(redirects: tuple[str, ...], patience: Patience) -> urllib.request.OpenerDirector:
    class Response(HTTPResponse):
        def __init__(
            self,
            sock: socket.socket,
            debuglevel: int = 0,
            method: str | None = None,
            url: str | None = None,
        ) -> None:
            super().__init__(sock, debuglevel, method, url)
            self.fp = io.BufferedReader(_Paced(self.fp.detach(), patience), 2**16)

    class Encrypted(http.client.HTTPSConnection):
        response_class = Response

    class Plain(http.client.HTTPConnection):
        response_class = Response

    class Secure(urllib.request.AbstractHTTPHandler):
        def https_open(self, request: urllib.request.Request) -> HTTPResponse:
            return self.do_open(Encrypted, request, context=ssl.create_default_context())

        def https_request(self, request: urllib.request.Request) -> urllib.request.Request:
            return self.do_request_(request)

    class Insecure(urllib.request.AbstractHTTPHandler):
        def http_open(self, request: urllib.request.Request) -> HTTPResponse:
            return self.do_open(Plain, request)

        def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
            return self.do_request_(request)

    class Redirects(urllib.request.HTTPRedirectHandler):
        max_redirections = 5

        def redirect_request(
            self,
            req: urllib.request.Request,
            fp: IO[bytes],
            code: int,
            msg: str,
            headers: Message,
            newurl: str,
        ) -> urllib.request.Request | None:
            own = _host(req.full_url)
            try:
                _check_hop(newurl, (*redirects, own), patience, "it passes on to")
            except RefusedError:
                fp.close()
                raise
            return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
        Redirects(),
        Secure(),
    ):
        opener.add_handler(handler)
    if patience.plain_http:
        opener.add_handler(Insecure())
    return opener
