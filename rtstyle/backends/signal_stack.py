"""Keeping a thread's alternate signal stack its own, round a library that replaces it.

Python runs signal handlers with SA_ONSTACK. A library that sets a stack by ``sigaltstack`` and
frees it later, in another order than it was set, leaves the thread with memory that is gone, and
the next signal ends the process.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _SignalStack(ctypes.Structure):
    """stack_t of sigaltstack(2) on Linux."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


_ON_STACK = 1


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Give the calling thread back the signal stack that it has now, whatever is done meanwhile."""
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None)
    before = _SignalStack()
    known = libc.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            # What the system reports as being in use may not be given back to it as a wish.
            before.flags &= ~_ON_STACK
            libc.sigaltstack(ctypes.byref(before), None)
