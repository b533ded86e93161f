"""Where uploads and results lie: one private folder, gone when the server ends.

A client's name for a file is shown and never used on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rtstyle.errors import DiskFull, InputError, LimitExceeded, OutputNotWritable
from rtstyle.files import create, is_disk_full, open_regular
from rtstyle.media import PICTURE_ENDINGS, VIDEO_ENDINGS
from rtstyle.web.places import Transfer

if sys.platform != "win32":
    import fcntl

PREFIX = "rtstyle-web-"
_LOCK = "lock"
_NAME_LENGTH = 120
_SPARE_BYTES = 64 * 2**20
_MOST_UPLOADS = 64


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a client."""

    id: str
    name: str
    """As the client calls it, fit for showing."""
    path: Path
    bytes: int
    is_picture: bool


class Spool:
    """The folder. Use it as a context; leaving it deletes everything."""

    def __init__(self, *, max_bytes: int) -> None:
        """``max_bytes`` of one upload."""
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.max_bytes = max_bytes
        self.uploads: dict[str, Upload] = {}
        self._lock = _locked(self.folder)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def receive(
        self, name: str, chunks: AsyncIterator[bytes], transfer: Transfer, *, promised: int | None
    ) -> Upload:
        """Store what ``chunks`` bring, ``promised`` bytes where the client says so.

        Raises LimitExceeded, DiskFull, OutputNotWritable, TooSlowError or InputError, and then
        keeps nothing.
        """
        self._check_count()
        shown = shown_name(name)
        ending = Path(shown).suffix.lower()
        known = ending if ending in VIDEO_ENDINGS or ending in PICTURE_ENDINGS else ""
        identifier = secrets.token_hex(16)
        path = self.folder / f"{identifier}{known}"
        try:
            self._check(promised or 0)
            size = await self._fill(path, chunks, transfer)
            if promised is not None and size != promised:
                raise InputError(f"only {size} of {promised} bytes came; send the file again")
            if size == 0:
                raise InputError("the file is empty; choose another")
            # Those that were on their way meanwhile count only now: who drips takes no place.
            self._check_count()
        except BaseException as error:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            if is_disk_full(error):
                raise DiskFull("no room left on the server's disk; remove some files") from None
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                reason = error.strerror or type(error).__name__
                raise OutputNotWritable(
                    f"the server's folder cannot be written ({reason}); start rtstyle web anew"
                ) from None
            raise
        upload = Upload(identifier, shown, path, size, known in PICTURE_ENDINGS)
        self.uploads[identifier] = upload
        return upload

    def remove(self, upload: Upload) -> None:
        """Forget and delete ``upload``."""
        self.uploads.pop(upload.id, None)
        with contextlib.suppress(OSError):
            upload.path.unlink(missing_ok=True)

    async def _fill(self, path: Path, chunks: AsyncIterator[bytes], transfer: Transfer) -> int:
        size = 0
        with os.fdopen(create(path, mode=0o600), "wb") as file:
            while True:
                async with transfer.waiting():
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return size
                transfer.moved(len(chunk))
                size += len(chunk)
                self._check(size)
                # A disk may stall; others go on being served.
                await asyncio.to_thread(file.write, chunk)

    def _check_count(self) -> None:
        if len(self.uploads) >= _MOST_UPLOADS:
            raise LimitExceeded(f"{_MOST_UPLOADS} files are here already; remove some first")

    def _check(self, size: int) -> None:
        if size > self.max_bytes:
            raise LimitExceeded(
                f"the file is larger than the {self.max_bytes / 2**20:.0f} MiB allowed"
            )
        if shutil.disk_usage(self.folder).free < _SPARE_BYTES:
            raise DiskFull("no room left on the server's disk; remove some files")


def shown_name(name: str) -> str:
    """``name`` without folders and control characters, and not endless."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip(" .")
    if len(kept) > _NAME_LENGTH:
        stem, dot, ending = kept.rpartition(".")
        kept = (
            f"{stem[: _NAME_LENGTH - 8]}{dot}{ending}"[:_NAME_LENGTH]
            if dot
            else kept[:_NAME_LENGTH]
        )
    return kept or "file"


def sweep() -> None:
    """Delete folders of servers that were killed."""
    if sys.platform == "win32":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            if found.st_uid != os.getuid() or folder.is_symlink():
                continue
            if not (folder / _LOCK).exists():
                # Just being made, unless it is old.
                if time.time() - found.st_mtime > 3600:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            with os.fdopen(open_regular(folder / _LOCK), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> IO[bytes] | None:
    """An open file whose lock tells that ``folder`` is in use; it goes with the process."""
    if sys.platform == "win32":
        return None
    file = os.fdopen(create(folder / _LOCK, mode=0o600), "wb")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file
