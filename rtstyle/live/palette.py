"""Styles that are loaded and warmed in the background, before anybody needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rtstyle.backends import Stylizer
from rtstyle.errors import RtstyleError, UsageError
from rtstyle.pipeline import Background, Style, open_stylizer
from rtstyle.styles import StyleSpec, find_style
from rtstyle.types import BackendInfo, Pixels, Size

_SIZES_KEPT = 4
"""Sizes that styles are kept warm for: one a viewer, and a few viewers share a palette."""

Load = Callable[[StyleSpec], Stylizer]
"""Opens a style."""


@dataclass(slots=True)
class _Entry:
    name: str
    spec: StyleSpec
    stylizer: Stylizer | None = None
    owned: bool = True
    """Whether the palette closes it."""
    error: RtstyleError | None = None
    warm: set[Size] = field(default_factory=set)
    in_use: threading.Lock = field(default_factory=threading.Lock)
    """A stylizer serves one thread at a time."""


class Palette:
    """Loads styles one after the other in a thread of its own, and warms each for every size asked.

    Several mixers, one a viewer, may share one palette: each style is in memory once.
    """

    def __init__(
        self,
        styles: Sequence[Style | Stylizer],
        *,
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        load: Load | None = None,
    ) -> None:
        """``styles``: bundled names, pack folders, ONNX files, specs, or stylizers that are open
        already (those stay the caller's). ``load`` opens a spec instead of ``open_stylizer``.

        Raises UsageError where there is no style or a name comes twice, and UnknownStyle, before
        anything is loaded.
        """
        if not styles:
            raise UsageError("a palette needs at least one style")
        self._load = load or (
            lambda spec: open_stylizer(spec, backend=backend, precision=precision, threads=threads)
        )
        self._entries = [_entry(style) for style in styles]
        self.names = tuple(entry.name for entry in self._entries)
        """Of the styles, as given: what a mixer calls them."""
        for name in self.names:
            if self.names.count(name) > 1:
                raise UsageError(f"style {name} was given twice; leave one out")
        self._changed = threading.Condition()
        self._sizes: list[Size] = []
        self._loader = Background(self._work, name="palette")

    def prepare(self, size: Size) -> None:
        """Have every style ready for pictures of ``size``; returns at once.

        Raises what ended the loader, where that was no error of a style.
        """
        if self._loader.error is not None:
            raise self._loader.error
        if self._sizes and self._sizes[-1] == size:
            return
        with self._changed:
            self._sizes = [*(s for s in self._sizes if s != size), size][-_SIZES_KEPT:]
            self._changed.notify_all()

    def index(self, name: str) -> int:
        """The place of a style; raises UsageError for one that is not here."""
        try:
            return self.names.index(name)
        except ValueError:
            raise UsageError(
                f"style {name!r} is not loaded here; there are {', '.join(self.names)}"
            ) from None

    def is_ready(self, index: int, size: Size) -> bool:
        """Whether ``paint`` would answer without loading or warming first."""
        return size in self._entries[index].warm

    def error(self, index: int) -> RtstyleError | None:
        """Why a style cannot be used; None where it can, or where that is not known yet."""
        return self._entries[index].error

    def info(self, index: int) -> BackendInfo | None:
        """Where a style runs; None before it is loaded."""
        stylizer = self._entries[index].stylizer
        return None if stylizer is None else stylizer.info

    def wait(self, index: int, size: Size, timeout: float | None = None) -> bool:
        """Wait until a style is ready for ``size``; False where ``timeout`` seconds went by.

        Raises what loading it raised.
        """
        self.prepare(size)
        entry = self._entries[index]
        with self._changed:
            self._changed.wait_for(
                lambda: entry.error is not None or size in entry.warm or not self._loader.running,
                timeout,
            )
        if entry.error is not None:
            raise entry.error
        if self._loader.error is not None:
            raise self._loader.error
        return size in entry.warm

    def paint(self, index: int, pixels: Pixels) -> Pixels:
        """Stylize uint8 ``(H, W, 3)`` RGB; raises what the stylizer raises, RuntimeError where the
        style is not loaded."""
        entry = self._entries[index]
        if entry.stylizer is None:
            raise RuntimeError(f"style {entry.name} is not loaded")
        with entry.in_use:
            painted: Pixels = entry.stylizer(pixels[None])[0]
        return painted

    def close(self) -> None:
        """Free the styles; waits for the one that is being loaded. Twice is allowed."""
        self._loader.stop.set()
        with self._changed:
            self._changed.notify_all()
        self._loader.close()
        for entry in self._entries:
            stylizer, entry.stylizer = entry.stylizer, None
            entry.warm.clear()
            if stylizer is not None and entry.owned:
                with entry.in_use:
                    stylizer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                with self._changed:
                    job = self._next_job()
                    if job is None:
                        self._changed.wait()
                        continue
                entry, size = job
                try:
                    self._ready(entry, size)
                except RtstyleError as error:
                    entry.error = error
                with self._changed:
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._changed.notify_all()

    def _next_job(self) -> tuple[_Entry, Size | None] | None:
        """The newest size first, since it is on show; loading needs no size at all."""
        usable = [entry for entry in self._entries if entry.error is None]
        for size in reversed(self._sizes):
            for entry in usable:
                if size not in entry.warm:
                    return entry, size
        for entry in usable:
            if entry.stylizer is None:
                return entry, None
        return None

    def _ready(self, entry: _Entry, size: Size | None) -> None:
        if entry.stylizer is None:
            entry.stylizer = self._load(entry.spec)
        if size is not None:
            with entry.in_use:
                entry.stylizer.warm_up(size)
            # Runtimes keep some shapes only; what was not asked for lately is warmed again.
            entry.warm = {size, *(s for s in entry.warm if s in self._sizes)}


def _entry(style: Style | Stylizer) -> _Entry:
    if isinstance(style, StyleSpec):
        return _Entry(style.name, style)
    # Whatever is no word for a style is one that runs.
    if not isinstance(style, str | Path):
        return _Entry(style.spec.name, style.spec, stylizer=style, owned=False)
    spec = find_style(style)
    return _Entry(spec.name, spec)
