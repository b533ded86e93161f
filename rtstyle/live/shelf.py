"""Which styles there are, who wants which, and so what to load next and what to free.

Nothing here is locked: the palette is, whose part this is.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rtstyle.backends import Stylizer
from rtstyle.errors import RtstyleError, UsageError
from rtstyle.pipeline import Style
from rtstyle.styles import StyleSpec, find_style
from rtstyle.types import Size

SIZES_A_STYLE = 2
"""As many as the runtimes keep; a third would be compiled anew for every picture."""
SETTLED_SECONDS = 0.5
"""A style that is warm for some size is warmed for another only when that stayed for so long: who
shares the style waits meanwhile, and a camera that changes its size does so in steps."""


@dataclass(slots=True)
class Entry:
    name: str
    spec: StyleSpec
    stylizer: Stylizer | None = None
    owned: bool = True
    """Whether the palette closes it."""
    error: RtstyleError | None = None
    misfits: dict[Size, RtstyleError] = field(default_factory=dict)
    """Sizes that it cannot be warmed for, and why."""
    warm: set[Size] = field(default_factory=set)
    asked: int = 0
    """Grows with time: when somebody last wanted it."""
    in_use: threading.Lock = field(default_factory=threading.Lock)
    """A stylizer serves one thread at a time."""


@dataclass(frozen=True, slots=True)
class Want:
    styles: tuple[int, ...]
    """The most urgent first."""
    size: Size | None
    since: float = field(default_factory=time.monotonic, compare=False)
    """When this size was first wanted (monotonic)."""


class Shelf:
    """The styles of a palette, and the wants of its viewers."""

    def __init__(self, styles: Sequence[Style | Stylizer]) -> None:
        """See ``Palette``; raises UsageError where a name comes twice, and UnknownStyle."""
        self.entries = [_entry(style) for style in styles]
        self.places: dict[str, int] = {}
        for place, entry in enumerate(self.entries):
            if entry.name in self.places:
                raise UsageError(f"style {entry.name} was given twice; leave one out")
            self.places[entry.name] = place
        self.wants: dict[Hashable, Want] = {}
        self._clock = itertools.count(1)

    def add(self, spec: StyleSpec) -> int:
        """See ``Palette.add``."""
        place = self.places.get(spec.name)
        if place is None or self.entries[place].spec != spec:
            self.entries.append(Entry(spec.name, spec))
            place = self.places[spec.name] = len(self.entries) - 1
        self.entries[place].error = None
        self.entries[place].misfits.clear()
        return place

    def want(self, viewer: Hashable, want: Want | None) -> None:
        """``viewer`` wants this from now on; None for nothing."""
        old = self.wants.pop(viewer, None)
        if want is not None:
            same = old is not None and old.size == want.size
            self.wants[viewer] = replace(want, since=old.since) if old and same else want
        for one in (old, want):
            for index in one.styles if one is not None else ():
                self.entries[index].asked = next(self._clock)

    def next_wanted(self) -> tuple[Entry, Size | None] | None:
        """The style to load, and the size to warm it for; None where all wants are met."""
        for viewer, want in self.wants.items():
            for index in want.styles:
                entry = self.entries[index]
                if self._lacks(entry, want):
                    # To the end of the row, so that who keeps choosing keeps nobody waiting.
                    self.wants[viewer] = self.wants.pop(viewer)
                    return entry, want.size
        return None

    def is_settling(self) -> bool:
        """Whether a want may become one to be met by waiting alone."""
        return any(_is_new(want) for want in self.wants.values())

    def _lacks(self, entry: Entry, want: Want) -> bool:
        if entry.error is not None:
            return False
        if entry.stylizer is None:
            return True
        size = want.size
        if size is None or size in entry.warm or size in entry.misfits:
            return False
        return not (entry.warm and _is_new(want)) and not self.is_crowded(entry, size)

    def is_crowded(self, entry: Entry, size: Size) -> bool:
        """Whether others hold all the sizes that ``entry`` is kept warm for."""
        return len((entry.warm & self.wanted_sizes(entry)) - {size}) >= SIZES_A_STYLE

    def wanted_sizes(self, entry: Entry) -> set[Size]:
        """Of the viewers that want ``entry``."""
        return {
            want.size
            for want in self.wants.values()
            if want.size is not None and any(self.entries[i] is entry for i in want.styles)
        }

    def spare(self, keep: int) -> list[Entry]:
        """The loaded styles that nobody wants, beyond the ``keep`` that were wanted last."""
        wanted = {index for want in self.wants.values() for index in want.styles}
        idle = [
            entry
            for index, entry in enumerate(self.entries)
            if index not in wanted and entry.stylizer is not None and entry.owned
        ]
        idle.sort(key=lambda entry: entry.asked, reverse=True)
        return idle[keep:]


def _is_new(want: Want) -> bool:
    return want.size is not None and time.monotonic() - want.since < SETTLED_SECONDS


def _entry(style: Style | Stylizer) -> Entry:
    if isinstance(style, StyleSpec):
        return Entry(style.name, style)
    # Whatever is no word for a style is one that runs.
    if not isinstance(style, str | Path):
        return Entry(style.spec.name, style.spec, stylizer=style, owned=False)
    spec = find_style(style)
    return Entry(spec.name, spec)
