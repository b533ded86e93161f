"""Styles of the catalogue, fetched into the user's cache: resumed, verified, put in place whole."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rtstyle.errors import DiskFull, DownloadFailed, HashMismatch, ModelError, OutputNotWritable
from rtstyle.files import (
    create,
    create_beside,
    has_name,
    is_disk_full,
    is_private,
    open_own,
    open_regular,
)
from rtstyle.styles.catalogue import CatalogueEntry
from rtstyle.styles.folders import user_cache_folder, user_styles_folder
from rtstyle.styles.transport import BrokenError, Patience, RefusedError, open_body

_BLOCK = 2**16
_LONGEST_WAIT = 900.0
"""Seconds for which another process that fetches the same file is waited for."""

_PRIVATE = 0o600
"""What is fetched is this user's: others who could write it could have this user run it."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and those there will be."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file of the catalogue on this machine, whose hash was just checked."""

    file: Path
    cached: bool
    """True where it was there already."""
    notes: tuple[str, ...] = ()
    """What had to be repaired or done again, fit for a user."""


def download_folder() -> Path:
    """Where fetched files are kept: ``rtstyle/downloads`` in the user's cache folder, or, where
    none is known, a hidden folder among the user's styles.

    Raises OutputNotWritable where that is not known either.
    """
    try:
        return user_cache_folder() / "downloads"
    except OutputNotWritable:
        return user_styles_folder() / ".downloads"


def fetch(
    entry: CatalogueEntry,
    folder: Path | None = None,
    *,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """``entry``'s file, from ``folder`` if it is there and has its hash, else from its addresses.

    A transfer that was broken off, by whatever, goes on where it ended, where ``folder`` is this
    user's alone. A file with another hash is deleted and never given out. Two processes may ask
    for the same file: one fetches, both get it. Nothing is written through a link, and nothing
    that others put under the names used here is changed or removed.
    Raises HashMismatch, DownloadFailed, and for the folder DiskFull or OutputNotWritable.
    """
    root = download_folder() if folder is None else folder
    # The hash in the name keeps files of two versions of the catalogue apart.
    file = root / f"{entry.digest.value[:12]}-{entry.file}"
    notes: list[str] = []
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            root.mkdir(mode=0o700)
        with _alone(root / f".{file.name}.lock", entry) as alone:
            if _is_fetched(file, entry):
                return Fetched(file, cached=True)
            if os.path.lexists(file):
                notes.append(f"{file.name} in the cache was damaged, and is fetched anew")
            with _Part.open(file, resumed=alone and is_private(root)) as part:
                _fetch_into(part, entry, patience or Patience(), progress, notes)
                part.place()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if is_disk_full(error):
            raise DiskFull(f"no room left in {root} for {entry.file}; free some, retry") from error
        raise OutputNotWritable(
            f"{root} cannot hold {entry.file} ({reason}); set XDG_CACHE_HOME to another folder"
        ) from error
    return Fetched(file, cached=False, notes=tuple(notes))


def _is_fetched(file: Path, entry: CatalogueEntry) -> bool:
    """Whether the file is there and whole; raises OSError where the name is taken by what may not
    be replaced."""
    try:
        status = os.lstat(file)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EEXIST, f"{file.name} there is no file; move it away")
    if entry.digest.matches(file):
        return True
    descriptor = open_own(file)
    if descriptor is None:
        raise OSError(errno.EEXIST, f"{file.name} there is not rtstyle's; move it away")
    os.close(descriptor)
    return False


@dataclass(slots=True)
class _Part:
    """What was fetched so far, known by its descriptor, whatever becomes of its name."""

    final: Path
    path: Path
    descriptor: int
    kept: bool
    """Whether the next run finds it, and goes on with it."""
    _gone: bool = field(default=False, init=False)

    @classmethod
    @contextmanager
    def open(cls, final: Path, *, resumed: bool) -> Iterator[_Part]:
        """The part of an earlier run where ``resumed`` allows it and it is surely one, else a new
        one, under a random name where the usual one is taken; closed at the end."""
        path = final.with_name(f".{final.name}.part")
        found = cls._usual(path) if resumed else None
        kept = found is not None
        if found is None:
            path, found = create_beside(final, mode=_PRIVATE)
        part = cls(final, path, found, kept)
        try:
            yield part
        finally:
            # One that nobody will find again, or without a byte, is not worth keeping.
            if not part._gone:
                stays = kept and part.size > 0
                ours = has_name(found, path)
                os.close(found)
                if ours and not stays:
                    os.unlink(path)

    @staticmethod
    def _usual(path: Path) -> int | None:
        if (found := open_own(path)) is not None:
            return found
        with contextlib.suppress(FileExistsError):
            return create(path, mode=_PRIVATE)
        return None

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return os.fstat(self.descriptor).st_size

    def empty(self) -> None:
        """Drop what is there."""
        os.ftruncate(self.descriptor, 0)

    def add(self, data: bytes, place: int) -> None:
        """Write ``data`` at ``place``."""
        os.lseek(self.descriptor, place, os.SEEK_SET)
        while data:
            data = data[os.write(self.descriptor, data) :]

    def matches(self, entry: CatalogueEntry) -> bool:
        """Whether it is the whole file, as it lies on the disk."""
        os.fsync(self.descriptor)
        return has_name(self.descriptor, self.path) and entry.digest.matches(self.path)

    def place(self) -> None:
        """Give it its name; raises OSError where it is not what has the part's name any more."""
        known = os.fstat(self.descriptor)
        # Windows renames no open file.
        os.close(self.descriptor)
        self._gone = True
        os.replace(self.path, self.final)
        if not os.path.samestat(known, os.lstat(self.final)):
            raise OSError(errno.EEXIST, f"another program changed {self.path.name} meanwhile")


def _fetch_into(
    part: _Part,
    entry: CatalogueEntry,
    patience: Patience,
    progress: Progress | None,
    notes: list[str],
) -> None:
    """Leave the whole file, its hash checked, in ``part``; raises where no address gives it."""
    problems: dict[str, str] = {}
    mismatch = False
    for address in entry.addresses:
        host = urlsplit(address).hostname or "?"
        left = patience.tries
        while left:
            try:
                went_on = _transfer(address, part, entry, patience, progress)
            except RefusedError as error:
                problems[host] = str(error)
                break
            except BrokenError as error:
                problems[host] = str(error)
                left -= 1
                if left:
                    time.sleep(patience.pause_seconds)
                continue
            if part.matches(entry):
                return
            part.empty()
            if went_on:
                # What was left of an earlier run may have been torn by a power cut; not theirs.
                notes.append(f"what was there of {entry.file} was damaged; it is fetched anew")
                continue
            mismatch = True
            problems[host] = "it sends another file"
            break
    raise _failure(entry, problems, part, mismatch)


def _transfer(
    address: str,
    part: _Part,
    entry: CatalogueEntry,
    patience: Patience,
    progress: Progress | None,
) -> bool:
    """Bring ``part`` to the entry's length; True where its beginning was there before."""
    start = part.size
    if start == entry.bytes:
        return True
    if start > entry.bytes:
        part.empty()
        start = 0
    with open_body(
        address, start=start, length=entry.bytes, redirects=entry.redirects, patience=patience
    ) as body:
        there = body.start
        if not there:
            part.empty()
        while block := body.read(_BLOCK):
            if there + len(block) > entry.bytes:
                part.empty()
                raise RefusedError(f"it sends more than {entry.bytes} bytes")
            part.add(block, there)
            there += len(block)
            if progress is not None:
                progress(there, entry.bytes)
    if there < entry.bytes:
        raise BrokenError(f"it ended after {there} of {entry.bytes} bytes")
    return body.start > 0


def _failure(
    entry: CatalogueEntry, problems: dict[str, str], part: _Part, mismatch: bool
) -> ModelError:
    hosts: dict[str, list[str]] = {}
    for host, problem in problems.items():
        hosts.setdefault(problem, []).append(host)
    said = "; ".join(f"{' and '.join(names)}: {problem}" for problem, names in hosts.items())
    if mismatch:
        return HashMismatch(
            f"{entry.file} was fetched and deleted, for it is not the file that the catalogue "
            f"names by its hash ({said}); retry later or on another network"
        )
    there = part.size if part.kept else 0
    kept = f"; the same command goes on after {there} of {entry.bytes} bytes" if there else ""
    return DownloadFailed(
        f"{entry.name} could not be fetched ({said}){kept or '; check the network and retry'}"
    )


@contextmanager
def _alone(file: Path, entry: CatalogueEntry) -> Iterator[bool]:
    """Hold the lock ``file``, an empty file that stays; it ends with this process at the latest.

    False where something else has its name, or where the file system knows no locks: then nobody
    is kept from fetching at the same time, and each takes a part of its own.
    """
    descriptor = _open_lock(file)
    if descriptor is None:
        yield False
        return
    try:
        until = time.monotonic() + _LONGEST_WAIT
        while (locked := _locked(descriptor)) is False:
            if time.monotonic() > until:
                raise DownloadFailed(
                    f"another rtstyle has been fetching {entry.name} for {_LONGEST_WAIT / 60:g} "
                    "minutes; end it and retry"
                )
            time.sleep(0.05)
        yield locked is True
    finally:
        os.close(descriptor)


def _open_lock(file: Path) -> int | None:
    """Made where it is missing; a lock changes nothing in a file, but no link is followed and no
    pipe waited for."""
    with contextlib.suppress(FileExistsError):
        return create(file, mode=_PRIVATE)
    try:
        return open_regular(file)
    except OSError:
        return None


def _locked(descriptor: int) -> bool | None:
    """True where the lock is this process's now, None where this file system has none."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A network drive without locks: where two write at once, the hash tells.
        return None
    return True
