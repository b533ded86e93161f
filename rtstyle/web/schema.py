"""What a client may say: closed sets of options, every value checked. Anything else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rtstyle.errors import UsageError

KINDS = ("image", "video", "preview")
CONTAINERS = ("mp4", "mkv")
FORMATS = ("png", "jpg", "webp")
AUDIO = ("copy", "aac", "none")
MAX_SDP_BYTES = 64 * 1024
_ID_LENGTH = 32

Check = Callable[[str, object], Any]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """One conversion of an uploaded file."""

    kind: str
    """One of KINDS; a preview is one picture of a film, before and after."""
    upload: str
    """Id of the upload."""
    style: str
    strength: float = 1.0
    """0 the source, 1 the full style."""
    container: str = "mp4"
    format: str = "png"
    audio: str = "copy"


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a live picture is painted."""

    style: str
    strength: float = 1.0
    """0 the camera's picture, 1 the full style."""
    keep_colour: float = 0.0
    """0 the style's colours, 1 the camera's."""
    split: float = 0.0
    """The share of the width, from the left, that is shown unpainted."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A browser that wants to send its camera."""

    sdp: str
    options: LiveOptions


def parse_job(body: bytes, *, styles: Collection[str]) -> JobOptions:
    """The job a request's body asks for; raises UsageError that names what is wrong."""
    checks: Mapping[str, Check] = {
        "kind": _one_of(KINDS),
        "upload": _identifier,
        "style": _one_of(styles),
        "strength": _share,
        "container": _one_of(CONTAINERS),
        "format": _one_of(FORMATS),
        "audio": _one_of(AUDIO),
    }
    return JobOptions(**_checked(_object(body), checks, needed=("kind", "upload", "style")))


def parse_live(body: bytes, *, styles: Collection[str], now: LiveOptions) -> LiveOptions:
    """``now`` with the changes of a request's body; raises UsageError that names what is wrong."""
    kept = {name: getattr(now, name) for name in LiveOptions.__slots__}
    return LiveOptions(**{**kept, **_checked(_object(body), _live_checks(styles), needed=())})


def parse_opening(text: str, *, styles: Collection[str]) -> LiveOptions:
    """The options a camera begins with, as JSON; raises UsageError that names what is wrong."""
    return LiveOptions(**_checked(_object(text), _live_checks(styles), needed=("style",)))


def parse_offer(body: bytes, *, styles: Collection[str]) -> Offer:
    """The offer a request's body makes; raises UsageError that names what is wrong."""
    checks = {"sdp": _sdp, **_live_checks(styles)}
    values = _checked(_object(body), checks, needed=("sdp", "style"))
    return Offer(values.pop("sdp"), LiveOptions(**values))


def _live_checks(styles: Collection[str]) -> dict[str, Check]:
    return {
        "style": _one_of(styles),
        "strength": _share,
        "keep_colour": _share,
        "split": _share,
    }


def _object(body: bytes | str) -> dict[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UsageError("the request is no JSON") from None
    if not isinstance(value, dict):
        raise UsageError("the request is no JSON object")
    return value


def _checked(
    said: Mapping[str, object], checks: Mapping[str, Check], *, needed: Collection[str]
) -> dict[str, Any]:
    if unknown := sorted(set(said) - set(checks)):
        raise UsageError(f"unknown option {unknown[0][:40]!r}; known are {', '.join(checks)}")
    if missing := [name for name in needed if name not in said]:
        raise UsageError(f"option {missing[0]!r} is missing")
    return {name: checks[name](name, value) for name, value in said.items()}


def _one_of(words: Collection[str]) -> Check:
    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise UsageError(f"option {name!r} must be one of {', '.join(words)}")
        return value

    return check


def _share(name: str, value: object) -> float:
    # bool is an int to Python, and true is no strength. Compared before it is made a float: JSON
    # has integers beyond any; and NaN is within no bounds.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise UsageError(f"option {name!r} must be a number from 0 to 1")


def _identifier(name: str, value: object) -> str:
    if not isinstance(value, str) or not is_identifier(value):
        raise UsageError(f"option {name!r} is no id that was given out")
    return value


def is_identifier(text: str) -> bool:
    """Whether ``text`` looks like an id made by this server: 32 digits of lower-case hex."""
    return len(text) == _ID_LENGTH and set(text) <= set("0123456789abcdef")


def _sdp(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.startswith("v=0"):
        raise UsageError(f"option {name!r} is no session description")
    if len(value) > MAX_SDP_BYTES:
        raise UsageError(f"option {name!r} is longer than {MAX_SDP_BYTES} characters")
    return value
