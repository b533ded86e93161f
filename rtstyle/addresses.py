"""Addresses of streams and servers as messages and reports may show them: without what they hide.

A stream's key stands in its path, a password before its host, a token in its query. Whoever
watches a terminal, or is sent a report, is to learn none of them.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

HIDDEN = "…"
"""Stands for what is not shown."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_IN_TEXT = re.compile(r"(?<![A-Za-z0-9])([A-Za-z][A-Za-z0-9+.-]+):(/{1,3})([^\s'\"<>|]+)")
"""One slash too: that is what a path makes of two."""
_KEYED = ("rtmp", "rtmps", "rtmpe", "rtmpt", "rtmpte", "rtmpts")
"""Schemes whose path ends in the key of the stream."""
_MARKS = ".,;:!?)]}"
"""What ends a sentence or a bracket around an address, and not the address."""


def is_url(name: str) -> bool:
    """Whether ``name`` is an address, as ``rtsp://camera/stream``."""
    return _URL.match(name) is not None


def without_secrets(url: str) -> str:
    """The address without password, query, fragment and stream key; never raises."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}://{_shown(scheme, rest)}" if mark else without_secrets_in(url)


def without_secrets_in(text: str) -> str:
    """``text`` with each address in it as ``without_secrets`` shows it; the rest as it is."""
    if ":/" not in text:
        return text
    return _IN_TEXT.sub(_replaced, text)


def _replaced(match: re.Match[str]) -> str:
    scheme, slashes, rest = match.groups()
    bare = rest.rstrip(_MARKS)
    if scheme.lower() == "file" or not bare:
        return match[0]
    return f"{scheme}:{slashes}{_shown(scheme, bare)}{rest[len(bare) :]}"


def _shown(scheme: str, rest: str) -> str:
    """Host and path of what stands behind ``scheme://``, as far as they hide nothing."""
    try:
        parts = urlsplit(f"x://{rest}")
        port = parts.port
    except ValueError:
        # No port, no host in brackets: it may be a piece of a password.
        return HIDDEN
    user, _, host = parts.netloc.rpartition("@")
    if not user and ":" in host and "@" in rest and port is not None:
        # A password with a slash or a question mark in it: nothing is where it seems to be.
        return HIDDEN
    steps = parts.path.split("/")
    if scheme.lower() in _KEYED:
        # /app/key; one alone may be either.
        kept = steps[:2] if len(steps) > 2 else steps[:1]
        if any(steps[len(kept) :]):
            steps = [*kept, HIDDEN]
    # Some cameras are asked with /user=admin&password=….
    steps = [HIDDEN if "=" in step else step for step in steps]
    return host + "/".join(steps)
