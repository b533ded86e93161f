"""Languages of tracks: one language, two codes."""

from __future__ import annotations

QUICKTIME_LANGUAGES = {
    "ces": "cze",
    "deu": "ger",
    "fas": "per",
    "fra": "fre",
    "isl": "ice",
    "mkd": "mac",
    "msa": "may",
    "mya": "bur",
    "nld": "dut",
    "ron": "rum",
    "slk": "slo",
    "sqi": "alb",
    "zho": "chi",
    "ell": "gre",
    "eus": "baq",
    "hye": "arm",
    "kat": "geo",
    "cym": "wel",
    "bod": "tib",
}
"""QuickTime knows these languages by their older code only."""


def same_language(one: str | None, other: str | None) -> bool:
    """Whether two tags mean one language; the older and the newer code of ISO 639-2 do, and no tag
    is the same as ``und``."""
    return _settled(one) == _settled(other)


def _settled(tag: str | None) -> str:
    tag = tag or "und"
    return QUICKTIME_LANGUAGES.get(tag, tag)
