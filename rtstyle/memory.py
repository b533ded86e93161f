"""How much memory this process can still have, and which errors say that there was none.

Whatever bounds a process is looked at: the machine's own memory, the control groups that a
container is made of (version 2 and 1, each with all that it lies in), and the limits of the
process. What cannot be read does not bound: a machine that does not tell is never taken for a full
one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rtstyle.errors import BackendOutOfMemory, RtstyleError

if sys.platform != "win32":
    import resource

MACHINE, CONTAINER, PROCESS = "the machine", "the container", "this process"
"""What bounds memory, for people."""
_MORE = {
    MACHINE: "close other programs",
    CONTAINER: "give the container more memory",
    PROCESS: "raise the limit of this process (ulimit)",
}
_KIB = 1024
_UNBOUNDED = 2**60
"""Control groups of version 1 say it by a number of about 2**63."""
_CACHES = ("total_inactive_file", "inactive_file")
_RESERVED = 64 * 2**20
"""Of address space, which threads' stacks and allocators take and never write to."""
FOR_THREADS = 128 * 2**20
"""What a film's threads, decoder and encoder reserve of addresses besides, where those are
bounded."""
_FEW = 256 * 2**20
_TO_START = 600 * 2**20
"""Addresses that the libraries which every command loads take."""
_SIGNS = (
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "out-of-memory",
    "insufficient memory",
    "not enough memory",
    "failed to allocate",
    "unable to allocate",
    "cannot allocate",
    "can't alloc",
    "could not allocate",
    "bfcarena",
    "enomem",
)


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that is still to be had."""

    bytes: int
    """Never below 0."""
    source: str
    """MACHINE, CONTAINER or PROCESS."""


def available_memory(root: Path = Path("/")) -> Room | None:
    """What this process can still take before something refuses it or kills it.

    The least of what the machine, the control groups and the limits of the process leave; None
    where nothing can be read. ``root`` is where /proc and /sys/fs/cgroup are looked for; with
    another than ``/`` only what lies there counts. Swap is not counted: a net that is computed in
    it takes hours. Takes about a millisecond, and raises nothing.
    """
    found = list(_rooms(root))
    return min(found, key=lambda room: room.bytes, default=None)


def says_out_of_memory(error: BaseException) -> bool:
    """Whether an error speaks of memory; the runtimes and codecs have no class of it in common."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    text = str(error).lower()
    if "failed to map segment" in text:
        # So a loader calls a file system that lets nothing run, too.
        room = available_memory()
        return room is not None and room.bytes < _FEW
    # A loader's word for a lack of another kind, which no free memory mends.
    return "static tls" not in text and any(sign in text for sign in _SIGNS)


def caused_by_memory(error: BaseException) -> bool:
    """Whether ``error`` or one that it was raised from or while handling speaks of memory.

    Of rtstyle's own errors only BackendOutOfMemory does: others quote names of files.
    """
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        own = isinstance(at, RtstyleError)
        if isinstance(at, BackendOutOfMemory) or (not own and says_out_of_memory(at)):
            return True
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return False


@contextlib.contextmanager
def memory_told(doing: str) -> Iterator[None]:
    """As a context or a decorator: what fails for want of memory raises BackendOutOfMemory.

    ``doing``: what was being done, for people: ``while stylizing``. Libraries have errors of their
    own for it, and callers of theirs take those for a damaged file or a codec that is missing.
    """
    try:
        yield
    except BackendOutOfMemory:
        raise
    except Exception as error:
        if not caused_by_memory(error):
            raise
        raise out_of_memory(doing) from error


def out_of_memory(doing: str) -> BackendOutOfMemory:
    """That memory ran out ``while`` something was done, and what there is of it."""
    room = available_memory()
    left = "" if room is None else f" ({room.source} has {shown(room.bytes)} left)"
    return BackendOutOfMemory(
        f"memory ran out {doing}{left}; {more_of(room)}, take a smaller style, or scale the source "
        "down"
    )


def more_of(room: Room | None) -> str:
    """What gives more memory where ``room`` is what bounds it, as an order."""
    return _MORE.get("" if room is None else room.source, _MORE[MACHINE])


def check_start() -> None:
    """Raise BackendOutOfMemory where not even the libraries that every command loads would load.

    Where addresses are bounded they crash instead, some of them without a word.
    """
    for room in _limits(Path("/")):
        if room.bytes < _TO_START:
            raise BackendOutOfMemory(
                f"{room.source} may take {shown(room.bytes)} of addresses more, and rtstyle "
                f"needs {shown(_TO_START)} to start; {more_of(room)}"
            )


def shown(amount: int) -> str:
    """Bytes for people, in steps that a first look takes in: ``2.1 GB``, ``340 MB``."""
    if amount >= 10**9:
        return f"{amount / 1e9:.1f} GB"
    return f"{amount / 1e6:.0f} MB"


def _rooms(root: Path) -> Iterator[Room]:
    fake = root != Path("/")
    if fake or sys.platform not in ("win32", "darwin"):
        if (free := _free_on_linux(root)) is not None:
            yield Room(free, MACHINE)
        for left in _groups(root):
            yield Room(left, CONTAINER)
    elif sys.platform == "win32":
        if (free := _free_on_windows()) is not None:
            yield Room(free, MACHINE)
    elif (free := _free_on_mac()) is not None:
        yield Room(free, MACHINE)
    if not fake:
        yield from _limits(root)


def _free_on_linux(root: Path) -> int | None:
    """MemAvailable: what is free, and the caches that would make way."""
    for line in _text(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if key == "MemAvailable":
            number = _number(value.split()[0]) if value.split() else None
            return None if number is None else number * _KIB
    return None


def _groups(root: Path) -> Iterator[int]:
    """What each control group that this process lies in leaves, of either version."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for base in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                yield from _left(root / base, path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            yield from _left(root / "sys/fs/cgroup/memory", path, *names)


def _left(base: Path, path: str, limit: str, usage: str) -> Iterator[int]:
    """Of the group ``path`` and all above it; in a container the root may be the group itself."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..", ".")]
    for depth in range(len(parts), -1, -1):
        group = base.joinpath(*parts[:depth])
        most = _number(_text(group / limit))
        if most is None or most >= _UNBOUNDED:
            continue
        used = _number(_text(group / usage)) or 0
        yield max(0, most - max(0, used - _reclaimable(group)))


def _reclaimable(group: Path) -> int:
    """Pages of files that nobody used lately: they make way before anything is refused."""
    facts = dict(
        line.split(maxsplit=1)
        for line in _text(group / "memory.stat").splitlines()
        if len(line.split()) == 2
    )
    return next((n for key in _CACHES if (n := _number(facts.get(key, ""))) is not None), 0)


def _limits(root: Path) -> Iterator[Room]:
    """What RLIMIT_AS and RLIMIT_DATA leave of what the process has already."""
    if sys.platform == "win32":
        return
    sizes: dict[str, int] = {}
    for line in _text(root / "proc/self/status").splitlines():
        key, _, value = line.partition(":")
        if key in ("VmSize", "VmData") and value.split():
            sizes[key] = (_number(value.split()[0]) or 0) * _KIB
    for which, key in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(which)[0]
        if most != resource.RLIM_INFINITY and key in sizes:
            yield Room(max(0, most - sizes[key] - _RESERVED), PROCESS)


def _free_on_windows() -> int | None:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("free", ctypes.c_ulonglong),
            ("total_page_file", ctypes.c_ulonglong),
            ("free_page_file", ctypes.c_ulonglong),
            ("total_virtual", ctypes.c_ulonglong),
            ("free_virtual", ctypes.c_ulonglong),
            ("free_extended", ctypes.c_ulonglong),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    with contextlib.suppress(AttributeError, OSError):
        if ctypes.WinDLL("kernel32").GlobalMemoryStatusEx(  # type: ignore[attr-defined, unused-ignore]
            ctypes.byref(status)
        ):
            # What can be committed may be less than what lies free.
            return int(min(status.free, status.free_page_file))
    return None


def _free_on_mac() -> int | None:
    """Pages that are free, or that the system gives up for whoever asks."""
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        told = subprocess.run(
            ["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=2, check=True
        ).stdout
        pages = 0
        for line in told.splitlines():
            key, _, value = line.partition(":")
            if key in ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable"):
                pages += int(value.strip().rstrip("."))
        if pages:
            return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except (OSError, ValueError):
        return ""


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
