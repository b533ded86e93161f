"""What lies in a folder, so closely that nothing in it can be changed unnoticed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

Snapshot = Mapping[str, tuple[object, ...]]
"""What each name is, by its path from the folder."""

_MOST_READ = 2**27


def snapshot(folder: Path) -> Snapshot:
    """All that lies in ``folder``, sub-folders too; no link is followed and no pipe waited for."""
    return {str(path.relative_to(folder)): _what(path) for path in sorted(_walk(folder))}


def differences(
    before: Snapshot, after: Snapshot, *, may_change: Iterable[str] = (), may_be_new: str = ""
) -> list[str]:
    """A line for each name that is another thing, gone, or new.

    ``may_change``: names that may differ in any way; ``may_be_new``: one that may have appeared.
    """
    free = set(may_change)
    lines = [
        f"{name}: {_difference(what, after.get(name))}"
        for name, what in before.items()
        if name not in free and after.get(name) != what
    ]
    new = [name for name in after if name not in before and name not in free | {may_be_new}]
    return lines + [f"{name}: new" for name in new]


def _walk(folder: Path) -> list[Path]:
    found = []
    for name in os.listdir(folder):
        path = folder / name
        found.append(path)
        if stat.S_ISDIR(path.lstat().st_mode):
            found.extend(_walk(path))
    return found


def _what(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    mode = stat.filemode(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return (mode, os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        # The times of a folder change with what is put beside what lies in it.
        return (mode, status.st_uid)
    digest = "not read" if status.st_size > _MOST_READ else _digest(path)
    return (mode, status.st_uid, status.st_ino, status.st_mtime_ns, status.st_size, digest)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _difference(before: tuple[object, ...], after: tuple[object, ...] | None) -> str:
    if after is None:
        return "gone"
    names = ("mode", "owner", "inode", "time", "size", "content")
    if len(before) == len(after) == len(names):
        changed = [name for name, a, b in zip(names, before, after, strict=True) if a != b]
        return f"another {', '.join(changed)} ({before[4]} bytes then, {after[4]} now)"
    return f"{before} then, {after} now"
