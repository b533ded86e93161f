"""Names in a folder that is not private, which a run may write again and again."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from rtstyle.files import AT_ONCE, SAFELY, FileId, write_whole


class OwnNames:
    """The names in a folder that a run may write again and again: those it wrote itself, and those
    that were shown beforehand to be an earlier run's of its own.

    Whatever else has a name keeps it, also where it appears in the middle of the run.
    """

    def __init__(self, folder: Path, *, ours: Iterable[str] = ()) -> None:
        """``ours``: names that are an earlier run's, where they are there and regular files."""
        self.folder = folder
        self._ids: dict[str, FileId] = {}
        for name in ours:
            with contextlib.suppress(OSError):
                status = os.lstat(folder / name)
                if stat.S_ISREG(status.st_mode):
                    self._ids[name] = (status.st_dev, status.st_ino)

    def write(self, name: str, data: bytes) -> None:
        """Write the file whole; raises FileExistsError where the name is a stranger's, OSError."""
        path = self.folder / name
        write_whole(path, data, overwrite=self._has(name), follow=False)
        status = os.lstat(path)
        self._ids[name] = (status.st_dev, status.st_ino)

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file that ``write`` wrote; raises as it does."""
        flags = os.O_WRONLY | os.O_APPEND | SAFELY | AT_ONCE
        descriptor = os.open(self.folder / name, flags)
        with os.fdopen(descriptor, "ab") as file:
            status = os.fstat(file.fileno())
            if (status.st_dev, status.st_ino) != self._ids.get(name):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            file.write(data)

    def _has(self, name: str) -> bool:
        with contextlib.suppress(OSError):
            status = os.lstat(self.folder / name)
            return (status.st_dev, status.st_ino) == self._ids.get(name)
        return False
