"""Those who look at their camera painted, whichever way its pictures come and go.

Each has one place where the newest picture waits; older ones are dropped and counted, so that a
slow net costs pictures and never time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

from rtstyle.errors import LimitExceeded, RtstyleError, UsageError
from rtstyle.live import Mixer, Palette
from rtstyle.styles import StyleSpec
from rtstyle.types import Pixels
from rtstyle.web.schema import LiveOptions

MOST_PIXELS = 1920 * 1080
STYLES_KEPT = 4
"""Styles that stay in memory beside those on show."""
_RATE_SECONDS = 3.0

T = TypeVar("T")
R = TypeVar("R")


class TooManyViewersError(LimitExceeded):
    """As many cameras as are allowed are on already."""


class EndedError(Exception):
    """No picture will come any more. Never leaves this package."""


class Transport(Protocol):
    """The way of one camera's pictures, here and back."""

    @property
    def ended(self) -> bool:
        """Whether nothing can come any more."""
        ...

    @property
    def patience(self) -> float:
        """Seconds without a word from the client after which it is taken to be gone."""
        ...

    async def close(self) -> None:
        """End it; calling it twice is allowed."""
        ...


class Newest(Generic[T]):
    """What ``rtstyle.live.Slot`` is between threads, for tasks: waiting takes no thread each."""

    def __init__(self) -> None:
        self._item: T | None = None
        self._there = asyncio.Event()
        self._closed = False
        self.came = self.dropped = 0

    def put(self, item: T) -> None:
        """Leave the newest item; one that is still there is dropped."""
        self.came += 1
        self.dropped += self._item is not None
        self._item = item
        self._there.set()

    async def get(self) -> T:
        """Take the newest item; raises EndedError after ``close``."""
        while self._item is None or self._closed:
            if self._closed:
                raise EndedError
            self._there.clear()
            await self._there.wait()
        item, self._item = self._item, None
        return item

    def close(self) -> None:
        """No more items; wakes who waits."""
        self._closed = True
        self._there.set()


class Viewer:
    """One camera: what its pictures become, and how that goes."""

    def __init__(
        self, palette: Palette, options: LiveOptions, styles: Mapping[str, StyleSpec]
    ) -> None:
        self.id = secrets.token_hex(16)
        self.transport: Transport | None = None
        self.frames: Newest[tuple[Any, float]] = Newest()
        """Pictures as they came, and when (monotonic)."""
        self.wanted = options
        self.asked_at = time.monotonic()
        self._palette = palette
        palette.add(_spec_of(styles, options.style))
        self._mixer = Mixer(palette, style=options.style)
        # One thread, so that pictures stay in order.
        self._brush = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._done: deque[tuple[float, float]] = deque(maxlen=600)
        self._size = ""
        self._trouble = ""
        self.tune(options, styles)

    def tune(self, options: LiveOptions, styles: Mapping[str, StyleSpec]) -> None:
        """Paint otherwise from now on; a style that is not loaded yet follows when it is."""
        self.asked_at = time.monotonic()
        # Not at every move of a slider: one that failed would be tried each time.
        if options.style != self.wanted.style:
            self._palette.add(_spec_of(styles, options.style))
            self._mixer.style = options.style
        self.wanted = options
        self._mixer.strength = options.strength
        self._mixer.keep_colour = options.keep_colour
        self._mixer.split = options.split if options.split > 0 else None

    def offer(self, frame: object) -> None:
        """Leave a picture to be painted, in whatever form the transport has it."""
        self.frames.put((frame, time.monotonic()))

    async def painted(self, work: Callable[[Any], R]) -> R:
        """``work`` done on the newest picture, in the viewer's thread; raises EndedError, and what
        ``work`` raises."""
        frame, came_at = await self.frames.get()
        result = await asyncio.get_running_loop().run_in_executor(self._brush, work, frame)
        now = time.monotonic()
        self._done.append((now, now - came_at))
        return result

    def process(self, pixels: Pixels) -> Pixels:
        """What to show for uint8 ``(H, W, 3)`` RGB; where painting fails, the picture as it is,
        and ``stats`` say why."""
        self._size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        try:
            painted = self._mixer.process(pixels)
            self._trouble = ""
        except Exception as error:
            painted = pixels
            known = isinstance(error, RtstyleError)
            self._trouble = str(error) if known else f"unexpected {type(error).__name__}"
        return painted

    def stats(self) -> dict[str, Any]:
        """For the page: style on show, trouble, fps and delays (ms) of the last seconds, counts."""
        now = self.asked_at = time.monotonic()
        late = [(at, took) for at, took in self._done if now - at <= _RATE_SECONDS]
        delays = sorted(1000 * took for _, took in late)
        span = now - late[0][0] if len(late) > 1 else 0.0
        info, trouble = self._mixer.info, self._mixer.trouble
        return {
            "style": self._mixer.shown or "",
            "wanted": self.wanted.style,
            "loading": self._mixer.is_loading,
            "backend": "" if info is None else f"{info.name} {info.precision}",
            "fps": (len(late) - 1) / span if span > 0 else 0.0,
            "delay_ms": delays[len(delays) // 2] if delays else None,
            "delay_p95_ms": delays[int(0.95 * (len(delays) - 1))] if delays else None,
            "came": self.frames.came,
            "dropped": self.frames.dropped,
            "size": self._size,
            "trouble": str(trouble) if trouble is not None else self._trouble,
        }

    async def close(self) -> None:
        """End it and its transport. Calling it twice is allowed."""
        self.frames.close()
        if self.transport is not None:
            await self.transport.close()
        await asyncio.to_thread(self._brush.shutdown)
        self._mixer.close()


def _spec_of(styles: Mapping[str, StyleSpec], name: str) -> StyleSpec:
    try:
        return styles[name]
    except KeyError:
        # Removed since the request was looked at.
        raise UsageError(f"style {name} is not here any more; choose another") from None


class Viewers:
    """All viewers of a server."""

    def __init__(
        self,
        palette: Palette,
        styles: Callable[[], Mapping[str, StyleSpec]],
        *,
        most: int = 4,
    ) -> None:
        """``most`` at a time; ``palette`` stays the caller's; ``styles``: those there are now."""
        self._palette, self._styles = palette, styles
        self._most = most
        self._all: dict[str, Viewer] = {}
        self._leaving: set[Viewer] = set()
        self._closed = False
        self._watch: asyncio.Task[None] | None = None

    def check_room(self) -> None:
        """Raise TooManyViewersError where there is none; it costs nothing to be refused."""
        # One that leaves still holds its thread and its connection.
        if self._closed or len(self) >= self._most:
            raise TooManyViewersError(
                f"no room: {self._most} at a time are served; close a camera and try again"
            )

    def enter(self, options: LiveOptions) -> Viewer:
        """A place for one more; raises TooManyViewersError. Whoever enters leaves."""
        self.check_room()
        viewer = Viewer(self._palette, options, self._styles())
        self._all[viewer.id] = viewer
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look_after())
        return viewer

    async def leave(self, viewer: Viewer) -> None:
        """End ``viewer``, where that was not done yet."""
        if self._all.pop(viewer.id, None) is None:
            return
        self._leaving.add(viewer)
        try:
            await viewer.close()
        finally:
            self._leaving.discard(viewer)

    def __len__(self) -> int:
        return len(self._all) + len(self._leaving)

    def find(self, identifier: str) -> Viewer | None:
        """The viewer of this id; None where it is not on."""
        return self._all.get(identifier)

    def tune(self, viewer: Viewer, options: LiveOptions) -> None:
        """See ``Viewer.tune``."""
        viewer.tune(options, self._styles())

    async def close(self) -> None:
        """End all; nobody enters any more."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await asyncio.gather(*(self.leave(viewer) for viewer in list(self._all.values())))

    async def _look_after(self) -> None:
        """Close what was left: a page that is gone says nothing, or its connection ended."""
        while self._all:
            await asyncio.sleep(0.5)
            now = time.monotonic()
            gone = [
                viewer
                for viewer in self._all.values()
                if (way := viewer.transport) is not None
                and (way.ended or now - viewer.asked_at > way.patience)
            ]
            await asyncio.gather(*(self.leave(viewer) for viewer in gone))
