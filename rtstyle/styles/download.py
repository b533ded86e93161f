"""Styles of the catalogue, fetched into the user's cache: resumed, verified, put in place whole."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from rtstyle.errors import DiskFull, DownloadFailed, HashMismatch, ModelError, OutputNotWritable
from rtstyle.styles.catalogue import CatalogueEntry
from rtstyle.styles.folders import user_cache_folder, user_styles_folder
from rtstyle.styles.transport import BrokenError, Patience, RefusedError, open_body

_BLOCK = 2**16
_LONGEST_WAIT = 900.0
"""Seconds for which another process that fetches the same file is waited for."""

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

    A transfer that was broken off, by whatever, goes on where it ended. A file with another hash is
    deleted and never given out. Two processes may ask for the same file: one fetches, both get it.
    Raises HashMismatch, DownloadFailed, and for the folder DiskFull or OutputNotWritable.
    """
    root = download_folder() if folder is None else folder
    # The hash in the name keeps files of two versions of the catalogue apart.
    file = root / f"{entry.digest.value[:12]}-{entry.file}"
    notes: list[str] = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _alone(root / f".{file.name}.lock", entry):
            if file.is_file() and entry.digest.matches(file):
                return Fetched(file, cached=True)
            if file.exists():
                file.unlink()
                notes.append(f"{file.name} in the cache was damaged, and is fetched anew")
            part = root / f".{file.name}.part"
            _fetch_into(part, entry, patience or Patience(), progress, notes)
            part.replace(file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no room left in {root} for {entry.file}; free some, retry") from error
        raise OutputNotWritable(
            f"{root} cannot hold {entry.file} ({reason}); set XDG_CACHE_HOME to another folder"
        ) from error
    return Fetched(file, cached=False, notes=tuple(notes))


def _fetch_into(
    part: Path,
    entry: CatalogueEntry,
    patience: Patience,
    progress: Progress | None,
    notes: list[str],
) -> None:
    """Leave the whole file, its hash checked, at ``part``; raises where no address gives it."""
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
            if entry.digest.matches(part):
                return
            part.unlink()
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
    part: Path,
    entry: CatalogueEntry,
    patience: Patience,
    progress: Progress | None,
) -> bool:
    """Bring ``part`` to the entry's length; True where its beginning was there before."""
    start = part.stat().st_size if part.is_file() else 0
    if start == entry.bytes:
        return True
    if start > entry.bytes:
        part.unlink()
        start = 0
    with open_body(
        address, start=start, length=entry.bytes, redirects=entry.redirects, patience=patience
    ) as body:
        there = body.start
        with part.open("ab" if there else "wb") as stream:
            while block := body.read(_BLOCK):
                there += len(block)
                if there > entry.bytes:
                    stream.truncate(0)
                    raise RefusedError(f"it sends more than {entry.bytes} bytes")
                stream.write(block)
                if progress is not None:
                    progress(there, entry.bytes)
            stream.flush()
            os.fsync(stream.fileno())
    if there < entry.bytes:
        raise BrokenError(f"it ended after {there} of {entry.bytes} bytes")
    return body.start > 0


def _failure(
    entry: CatalogueEntry, problems: dict[str, str], part: Path, mismatch: bool
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
    there = part.stat().st_size if part.is_file() else 0
    kept = f"; the same command goes on after {there} of {entry.bytes} bytes" if there else ""
    return DownloadFailed(
        f"{entry.name} could not be fetched ({said}){kept or '; check the network and retry'}"
    )


@contextmanager
def _alone(file: Path, entry: CatalogueEntry) -> Iterator[None]:
    """Hold the lock ``file``, an empty file that stays; it ends with this process at the latest."""
    with file.open("ab") as stream:
        until = time.monotonic() + _LONGEST_WAIT
        while not _locked(stream):
            if time.monotonic() > until:
                raise DownloadFailed(
                    f"another rtstyle has been fetching {entry.name} for {_LONGEST_WAIT / 60:g} "
                    "minutes; end it and retry"
                )
            time.sleep(0.05)
        yield


def _locked(stream: IO[bytes]) -> bool:
    """True where the lock is this process's now, or this file system has none."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A network drive without locks: where two write at once, the hash tells.
        return True
    return True
