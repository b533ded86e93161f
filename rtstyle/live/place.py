"""Where live pictures are served over HTTP, and by which names that may be called."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from rtstyle.addresses import without_secrets
from rtstyle.errors import UsageError

USUAL_PORT = 8090
_SHORTEST_TOKEN = 22
"""Characters of an own path: 128 bits in base64."""
_LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where to serve."""

    host: str = "127.0.0.1"
    port: int = USUAL_PORT
    token: str = ""
    """The path; empty for one that is made up."""
    any_port: bool = False
    """Whether another port will do where this one is taken."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        address = _address(self.host)
        return self.host == "localhost" if address is None else address.is_loopback

    @property
    def is_everywhere(self) -> bool:
        """Whether it is no address to call, but stands for all that this machine has."""
        address = _address(self.host)
        return address is not None and address.is_unspecified

    def is_called(self, netloc: str, port: int) -> bool:
        """Whether a Host header names this server, which listens on ``port``.

        A page of another site can have a name of its own resolved to this machine (DNS rebinding);
        an address cannot be rebound.
        """
        try:
            asked = urlsplit(f"//{netloc}")
            name, asked_port = asked.hostname, asked.port
        except ValueError:
            return False
        if name is None or "@" in netloc or (asked_port or 80) != port:
            return False
        if name in _LOCAL_NAMES or name == self.host:
            return True
        return not self.is_local and _address(name) is not None


def parse_place(address: str, *, insecure: bool = False) -> Place:
    """``mjpeg`` or ``http://HOST:PORT/`` as a place; raises UsageError.

    A path of 22 characters or more is taken for the secret part, so that the address stays the
    same from run to run. Other machines are let in with ``insecure`` alone.
    """
    if address == "mjpeg":
        return Place(any_port=True)
    # The path is a secret.
    shown = re.sub(r"(?<=[^:/])/.*", "", without_secrets(address))
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if not host or parts.scheme.lower() != "http" or "@" in parts.netloc:
        raise UsageError(f"{shown}: cannot serve there; write http://127.0.0.1:{USUAL_PORT}")
    token = parts.path.strip("/")
    safe = token.replace("-", "").replace("_", "").replace(".", "")
    if parts.query or parts.fragment or (token and not (safe.isascii() and safe.isalnum())):
        raise UsageError(f"{shown}: the path may hold letters, digits, - _ . only; leave it out")
    if token and len(token) < _SHORTEST_TOKEN:
        raise UsageError(
            f"{shown}: the path is the secret, at least {_SHORTEST_TOKEN} characters; "
            "leave it out, and one is made up"
        )
    place = Place(host, USUAL_PORT if port is None else port, token)
    if not place.is_local and not insecure:
        raise UsageError(
            f"{shown}: whoever can reach {host} could listen in, since http is not encrypted; "
            f"take http://127.0.0.1:{place.port}, or add --insecure in a network you trust"
        )
    return place


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
