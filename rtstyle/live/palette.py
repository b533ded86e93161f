"""Styles that are loaded and warmed in the background: all beforehand, or those asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from types import TracebackType
from typing import Self

from rtstyle.backends import Stylizer
from rtstyle.errors import BackendError, RtstyleError, UsageError
from rtstyle.live.shelf import SETTLED_SECONDS, SIZES_A_STYLE, Entry, Shelf, Want
from rtstyle.pipeline import Background, Style, open_stylizer
from rtstyle.styles import StyleSpec
from rtstyle.types import BackendInfo, Pixels, Size

_SIZES_KEPT = 4
"""Sizes that styles are kept warm for where all are loaded beforehand."""
_LOG = logging.getLogger(__name__)

Load = Callable[[StyleSpec], Stylizer]
"""Opens a style."""


class Palette:
    """Loads styles one after the other in a thread of its own, and warms each for every size asked.

    Several mixers, one a viewer, may share one palette: each style is in memory once. Without
    ``keep`` all styles are loaded at once. With it only those that viewers want are, and beside
    them the last ``keep`` that were wanted stay; the list of styles may grow meanwhile.
    """

    def __init__(
        self,
        styles: Sequence[Style | Stylizer],
        *,
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        load: Load | None = None,
        keep: int | None = None,
    ) -> None:
        """``styles``: bundled names, pack folders, ONNX files, specs, or stylizers that are open
        already (those stay the caller's). ``load`` opens a spec instead of ``open_stylizer``.

        Raises UsageError where there is no style (allowed with ``keep``) or a name comes twice,
        and UnknownStyle, before anything is loaded.
        """
        if not styles and keep is None:
            raise UsageError("a palette needs at least one style")
        self._load = load or (
            lambda spec: open_stylizer(spec, backend=backend, precision=precision, threads=threads)
        )
        self._keep = keep
        self._shelf = Shelf(styles)
        self._changed = threading.Condition()
        self._sizes: list[Size] = []
        self._loader = Background(self._work, name="palette")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the styles, as given: what a mixer calls them."""
        return tuple(entry.name for entry in self._shelf.entries)

    def add(self, spec: StyleSpec) -> int:
        """The place of ``spec``, which is new where no style of its name and content is here.

        One that failed is tried again.
        """
        with self._changed:
            place = self._shelf.add(spec)
            self._changed.notify_all()
        return place

    def want(self, viewer: Hashable, styles: Sequence[int], size: Size | None) -> None:
        """What ``viewer`` needs until it says otherwise or leaves; returns at once.

        ``styles``: their places, the most urgent first. None of them is freed meanwhile. Without a
        ``size`` they are loaded only. Raises what ended the loader, where no style's error did.
        """
        if self._keep is None:
            if size is not None:
                self.prepare(size)
            return
        self._raise_mistake()
        want = Want(tuple(styles), size)
        if self._shelf.wants.get(viewer) == want:
            return
        with self._changed:
            self._shelf.want(viewer, want)
            self._changed.notify_all()

    def leave(self, viewer: Hashable) -> None:
        """``viewer`` needs nothing any more."""
        with self._changed:
            self._shelf.want(viewer, None)
            self._changed.notify_all()

    def prepare(self, size: Size) -> None:
        """Have every style that is to be loaded beforehand ready for ``size``; returns at once.

        Raises what ended the loader, where that was no error of a style.
        """
        self._raise_mistake()
        if self._sizes and self._sizes[-1] == size:
            return
        with self._changed:
            self._sizes = [*(s for s in self._sizes if s != size), size][-_SIZES_KEPT:]
            self._changed.notify_all()

    def index(self, name: str) -> int:
        """The place of a style; raises UsageError for one that is not here."""
        try:
            return self._shelf.places[name]
        except KeyError:
            raise UsageError(
                f"style {name!r} is not loaded here; there are {', '.join(self._shelf.places)}"
            ) from None

    def is_ready(self, index: int, size: Size) -> bool:
        """Whether ``paint`` would answer without loading or warming first."""
        return size in self._shelf.entries[index].warm

    def fit(self, index: int, size: Size, *, near: bool = False) -> Size | None:
        """The size to give a style pictures of ``size`` in, so that it need not warm up first.

        That is ``size``, or another where so many viewers of other sizes share the style that it
        is not warmed for this one; with ``near`` any that is warm. None where there is none.
        """
        entry = self._shelf.entries[index]
        with self._changed:
            if size in entry.warm:
                return size
            if not entry.warm or not (near or self._shelf.is_crowded(entry, size)):
                return None
            pixels = size.width * size.height
            return min(entry.warm, key=lambda other: abs(other.width * other.height - pixels))

    def error(self, index: int, size: Size | None = None) -> RtstyleError | None:
        """Why a style cannot be used, at all or for ``size``; None where it can, or where that is
        not known yet."""
        entry = self._shelf.entries[index]
        return entry.error or (None if size is None else entry.misfits.get(size))

    def info(self, index: int) -> BackendInfo | None:
        """Where a style runs; None before it is loaded."""
        stylizer = self._shelf.entries[index].stylizer
        return None if stylizer is None else stylizer.info

    def wait(self, index: int, size: Size, timeout: float | None = None) -> bool:
        """Wait until a style is ready for ``size``; False where ``timeout`` seconds went by.

        Raises what loading it raised.
        """
        ticket = object()
        self.want(ticket, (index,), size)
        try:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self.error(index, size) is not None
                        or self.is_ready(index, size)
                        or not self._loader.running
                    ),
                    timeout,
                )
        finally:
            self.leave(ticket)
        if (error := self.error(index, size)) is not None:
            raise error
        self._raise_mistake()
        return self.is_ready(index, size)

    def paint(self, index: int, pixels: Pixels) -> Pixels:
        """Stylize uint8 ``(H, W, 3)`` RGB; raises what the stylizer raises, RuntimeError where the
        style is not loaded."""
        entry = self._shelf.entries[index]
        with entry.in_use:
            if entry.stylizer is None:
                raise RuntimeError(f"style {entry.name} is not loaded")
            painted: Pixels = entry.stylizer(pixels[None])[0]
        return painted

    @property
    def loaded(self) -> int:
        """How many styles are in memory."""
        return sum(entry.stylizer is not None for entry in self._shelf.entries)

    def close(self, timeout: float | None = None) -> None:
        """Free the styles; waits for the one that is being loaded, at most ``timeout`` seconds, and
        then leaves that one to the end of the process. Twice is allowed."""
        self._loader.stop.set()
        with self._changed:
            self._changed.notify_all()
        if not self._loader.close(timeout):
            _LOG.warning("a style is still being loaded; it is left behind")
            return
        for entry in self._shelf.entries:
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

    def _raise_mistake(self) -> None:
        if self._loader.error is not None:
            raise self._loader.error

    def _work(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._free_spare()
                with self._changed:
                    job = self._next_job()
                    if job is None:
                        # What may be freed was freed above; only a change brings more.
                        if not stop.is_set() and not self._spare():
                            soon = SETTLED_SECONDS / 2 if self._shelf.is_settling() else None
                            self._changed.wait(soon)
                        continue
                entry, size = job
                try:
                    self._ready(entry, size)
                except Exception as error:
                    self._note_failure(entry, size, error)
                with self._changed:
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._changed.notify_all()

    def _note_failure(self, entry: Entry, size: Size | None, error: Exception) -> None:
        if not isinstance(error, RtstyleError):
            if self._keep is None:
                raise error
            # A server goes on for those who look at other styles.
            _LOG.warning("style %s cannot be loaded", entry.name, exc_info=error)
            error = BackendError(f"style {entry.name}: unexpected {type(error).__name__}")
        if entry.stylizer is None or size is None:
            entry.error = error
        else:
            entry.misfits[size] = error
            if self._keep is None:
                entry.error = error

    def _next_job(self) -> tuple[Entry, Size | None] | None:
        if self._keep is not None:
            return self._shelf.next_wanted()
        # The newest size first, since it is on show; loading needs no size at all.
        usable = [entry for entry in self._shelf.entries if entry.error is None]
        for size in reversed(self._sizes):
            for entry in usable:
                if size not in entry.warm:
                    return entry, size
        for entry in usable:
            if entry.stylizer is None:
                return entry, None
        return None

    def _spare(self) -> list[Entry]:
        return [] if self._keep is None else self._shelf.spare(self._keep)

    def _free_spare(self) -> None:
        with self._changed:
            freed = [(entry, entry.stylizer) for entry in self._spare()]
            for entry, _ in freed:
                entry.stylizer = None
                entry.warm.clear()
        for entry, stylizer in freed:
            if stylizer is not None:
                # A viewer that just turned away may still paint with it.
                with entry.in_use:
                    stylizer.close()

    def _ready(self, entry: Entry, size: Size | None) -> None:
        if entry.stylizer is None:
            entry.stylizer = self._load(entry.spec)
        if size is None:
            return
        with entry.in_use:
            entry.stylizer.warm_up(size)
        # Runtimes keep some shapes only; what was not asked for lately is warmed again.
        with self._changed:
            if self._keep is None:
                entry.warm = {size, *(s for s in entry.warm if s in self._sizes)}
            else:
                wanted = self._shelf.wanted_sizes(entry)
                others = sorted(entry.warm - {size}, key=lambda s: s in wanted, reverse=True)
                entry.warm = {size, *others[: SIZES_A_STYLE - 1]}
