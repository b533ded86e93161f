"""Being told to stop, so that a frame in work is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second raises KeyboardInterrupt.

    Covers every signal that would raise KeyboardInterrupt by Python's own handler. A handler of
    the caller's stays as it is, and so does everything outside the main thread.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()

    taken = [
        number
        for number in signal.valid_signals()
        if signal.getsignal(number) is signal.default_int_handler
    ]
    for number in taken:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number in taken:
            signal.signal(number, signal.default_int_handler)
