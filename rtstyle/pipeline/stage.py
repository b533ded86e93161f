"""Stages in threads of their own. This is the only module that starts a thread.

A stage is a generator; ``prefetch`` runs one ahead of its consumer through a bounded queue.
``Background`` runs what has no consumer: a watch, a loader.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.05


class StageClosedError(RuntimeError):
    """A stage was asked for an item after it, or one that shares its ``stop``, was closed."""


@dataclass(frozen=True, slots=True)
class _End:
    """The worker's last word."""

    error: BaseException | None


class Prefetch(Generic[T]):
    """An iterator whose upstream runs in another thread, at most ``depth`` items ahead.

    Use it as a context manager: leaving it by any way stops and joins the thread.
    """

    def __init__(
        self,
        upstream: Iterable[T],
        depth: int,
        *,
        name: str,
        stop: threading.Event | None = None,
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self._upstream = upstream
        self._items: queue.Queue[T | _End] = queue.Queue(depth)
        self._stop = stop if stop is not None else threading.Event()
        self._ended = False
        # A daemon, so that a thread stuck in native code cannot keep a process alive whose user
        # pressed Ctrl-C twice; everywhere else close() waits for it.
        self._thread = threading.Thread(target=self._work, name=f"rtstyle-{name}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """The next item; the worker's own exception where it failed.

        Raises StageClosedError once closed, so that a stage downstream cannot take it for the end.
        """
        if self._ended:
            raise StopIteration
        while not self._stop.is_set():
            try:
                item = self._items.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if not isinstance(item, _End):
                return item
            self._ended = True
            self._thread.join()
            if item.error is not None:
                raise item.error
            raise StopIteration
        raise StageClosedError(f"{self._thread.name} was closed")

    @property
    def ahead(self) -> int:
        """How many items wait for the consumer."""
        return self._items.qsize()

    def close(self) -> None:
        """Stop the thread and wait until it has ended; calling it twice is allowed.

        The wait lasts as long as the item in work, since what the worker uses must not be freed
        under it. Prefetches that share a ``stop`` event are all told to stop.
        """
        self._stop.set()
        while self._thread.is_alive():
            self._thread.join(_POLL_SECONDS)
        while not self._items.empty():
            self._items.get_nowait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A stage that came to its end must not stop the others that share its event.
        if kind is None and self._ended:
            return
        self.close()

    def _work(self) -> None:
        failure: BaseException | None = None
        try:
            self._pump()
        except BaseException as error:
            failure = error
        self._put(_End(failure))

    def _pump(self) -> None:
        iterator = iter(self._upstream)
        try:
            for item in iterator:
                if not self._put(item):
                    return
        finally:
            # A generator may be closed only by the thread that runs it.
            if isinstance(iterator, Generator):
                iterator.close()

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._items.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False


def prefetch(
    upstream: Iterable[T], depth: int, *, name: str, stop: threading.Event | None = None
) -> Prefetch[T]:
    """Run ``upstream`` in a thread, at most ``depth`` items (at least 1) ahead of the consumer.

    ``name`` is for people who look at a list of threads. Stages of one chain share a ``stop``
    event: closing any of them wakes and ends all of them.
    """
    return Prefetch(upstream, depth, name=name, stop=stop)


class Background:
    """One function in a thread of its own, told by an event to end."""

    def __init__(self, work: Callable[[threading.Event], None], *, name: str) -> None:
        """``work`` must return soon after the event that it is given was set."""
        self._work: Callable[[threading.Event], None] | None = work
        self.stop = threading.Event()
        self.error: BaseException | None = None
        """What ``work`` raised; the owner's to raise again."""
        # A daemon for the same reason as in Prefetch.
        self._thread = threading.Thread(target=self._run, name=f"rtstyle-{name}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its own end, at most ``timeout`` seconds; whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self, timeout: float | None = None) -> bool:
        """Tell it to stop and wait for it, at most ``timeout`` seconds; whether it has ended."""
        self.stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        # Most often a method of the owner: kept, the two would hold each other, and with them
        # megabytes of pictures and codecs, until Python happens to look for such rings.
        work, self._work = self._work, None
        try:
            if work is not None:
                work(self.stop)
        except BaseException as error:
            self.error = error
        finally:
            del work
