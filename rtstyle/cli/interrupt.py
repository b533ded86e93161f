"""Ctrl-C and SIGTERM: once to keep what is done, twice to stop at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HINT = b"\nrtstyle: stopping and keeping what is done; once more to stop at once\n"


class Stop:
    """Whether the user asked to stop. Until ``arm`` is called the first signal stops at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._armed = False

    def arm(self) -> None:
        """From now on there is something worth keeping."""
        self._armed = True

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        del number, frame
        if not self._armed or self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()
        # Not through sys.stderr: the signal may have come in the middle of a write to it.
        os.write(2, _HINT)


@contextmanager
def graceful_stop() -> Iterator[Stop]:
    """Handle SIGINT and SIGTERM by a Stop; elsewhere than in the main thread nothing changes."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop.handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
