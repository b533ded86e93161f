"""Text of unknown origin as it may be shown and drawn.

File names are bytes to a system, and may be no text at all; tags, cards and messages of servers
hold what their makers put there. A terminal obeys some of that, and OpenCV crashes on some.
"""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Within words of Persian and Hindi, and within emoji."""
_TABS = "\n\t"


def printable(text: str, *, lines: bool = False) -> str:
    """``text`` with control characters, escape codes, bidirectional marks and what is no character
    at all written as ``\\x1b``; with ``lines`` the ends of lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if is_plain(c) or (lines and c in _TABS) else _escaped(c) for c in text)


def is_plain(character: str) -> bool:
    """Whether one character takes a place of its own, or shapes a letter, and does no more."""
    # Python counts every space but one among what cannot be printed.
    return (
        character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
