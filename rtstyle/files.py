"""Files that are whole before they have their name, and never anybody else's.

Four promises, each kept in one place:

- a temporary file is created under a name that nobody has (``O_EXCL``, 64 random bits, never
  through a link), so whatever stood in the folder before stays as it was;
- a name is taken only where it is free (``rename_new``), on file systems without hard links too;
- what a run reads is known by device and inode (``Protected``), whatever names lead to it;
- a file that is looked at again is opened without following a link and without waiting for a pipe.

Everything here raises OSError; callers say what it means for the user.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

if sys.platform != "win32":
    import fcntl

FileId = tuple[int, int]
"""Device and inode: what a file is, whatever its names."""

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_NO_SUCH_CALL = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY)
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV, *_NO_SUCH_CALL)
_LONGEST_NAME = 255
"""Bytes of one name on nearly every file system."""
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
_RENAME_EXCL = 4
TOKEN = 16
"""Hexadecimal digits of a random name."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of a write says that there is no room."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def new_token() -> str:
    """Random digits for a name that nobody has."""
    return secrets.token_hex(TOKEN // 2)


def short_name(name: str, suffix: str) -> str:
    """``name`` and ``suffix``, the name cut so that together they are a legal file name."""
    room = _LONGEST_NAME - len(os.fsencode(suffix))
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return name + suffix


def name_excess(path: Path) -> int:
    """By how many bytes the last part of ``path`` is longer than its folder takes; 0 or below
    where it fits."""
    longest = _LONGEST_NAME
    with contextlib.suppress(OSError, ValueError, AttributeError):
        longest = os.pathconf(path.parent, "PC_NAME_MAX")
    return len(os.fsencode(path.name)) - longest


def create(path: Path, *, mode: int = 0o666) -> int:
    """Create ``path`` for reading and writing and return its descriptor.

    Raises FileExistsError where anything has the name, a dangling link included.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, mode)


def create_beside(final: Path, suffix: str = ".part", *, mode: int = 0o666) -> tuple[Path, int]:
    """Create ``<name>.<random><suffix>`` in the folder of ``final``; its path and descriptor."""
    while True:
        path = beside(final, suffix)
        with contextlib.suppress(FileExistsError):
            return path, create(path, mode=mode)


def beside(final: Path, suffix: str = ".part") -> Path:
    """A random name in the folder of ``final`` that begins as its does."""
    return final.with_name(short_name(final.name, f".{new_token()}{suffix}"))


def open_regular(path: Path) -> int:
    """Open a regular file for reading, and nothing else: no link is followed, no pipe waited for.

    Raises OSError, of which ELOOP is a link and EINVAL what is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return descriptor


def read_regular(path: Path, most: int) -> bytes:
    """A regular file's content; raises OSError as ``open_regular``, EFBIG for more than ``most``
    bytes."""
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))
    return data


def writable_url(path: Path, descriptor: int) -> Path:
    """A name by which a library opens the very file of ``descriptor``, even where another user
    puts a link in its place meanwhile; where the system has none, ``path``."""
    if sys.platform == "linux":
        own = Path(f"/proc/self/fd/{descriptor}")
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(own), os.fstat(descriptor)):
                return own
    return path


def lock_file(descriptor: int) -> bool:
    """Take the file for this process alone; True also where the system has no such locks."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True


def rename_new(source: Path, target: Path) -> None:
    """Rename, but never onto what is there. Raises FileExistsError where the name is taken."""
    for way in (_rename_exclusive, _link_and_unlink, _reserve_and_replace):
        if way(source, target):
            return


def _rename_exclusive(source: Path, target: Path) -> bool:
    """In one step, where system and file system can; False where not."""
    if sys.platform == "win32":
        os.rename(source, target)
        return True
    call = _exclusive_rename()
    if call is None:
        return False
    if call(os.fsencode(source), os.fsencode(target)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_SUCH_CALL:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


@functools.cache
def _exclusive_rename() -> Callable[[bytes, bytes], int] | None:
    """The system's call (Linux ``renameat2``, macOS ``renamex_np``), which Python does not have."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            apple = library.renamex_np
            apple.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint)
            return lambda old, new: int(apple(old, new, _RENAME_EXCL))
        linux = library.renameat2
    except (OSError, AttributeError, TypeError):
        return None
    linux.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )
    return lambda old, new: int(linux(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE))


def _link_and_unlink(source: Path, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    os.unlink(source)
    return True


def _reserve_and_replace(source: Path, target: Path) -> bool:
    """Where there are no hard links either: an empty file of our own holds the name first."""
    if stat.S_ISDIR(os.lstat(source).st_mode):
        # Only an empty folder can be replaced by one.
        os.mkdir(target)
        os.rename(source, target)
        return True
    os.close(create(target))
    try:
        os.replace(source, target)
    except OSError:
        os.unlink(target)
        raise
    return True


def write_whole(path: Path, data: bytes, *, overwrite: bool, mode: int = 0o666) -> None:
    """Write a file in one step and onto the disk: it is there whole, or not at all.

    ``path`` may be a link to a file, which is then written where the link points. Raises
    FileExistsError where the name is taken and ``overwrite`` is false, and OSError.
    """
    final = Path(os.path.realpath(path))
    part, descriptor = create_beside(final, mode=mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(part, final)
        else:
            rename_new(part, final)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename in it last; Windows has no such call, and needs none."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_id(path: Path) -> FileId | None:
    """What the file at the end of all links is; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one file."""
    found = file_id(one)
    return found is not None and found == file_id(other)


class Protected:
    """Files that a run reads, and therefore never writes, renames or removes."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._ids: set[FileId] = set()
        self.add(*paths)

    def add(self, *paths: Path) -> None:
        """Protect these too, where they exist."""
        self._ids.update(found for path in paths if (found := file_id(path)) is not None)

    def __contains__(self, path: Path) -> bool:
        """Whether ``path`` itself or the file that it leads to is one of them."""
        if not self._ids:
            return False
        with contextlib.suppress(OSError, ValueError):
            status = os.lstat(path)
            if (status.st_dev, status.st_ino) in self._ids:
                return True
        return file_id(path) in self._ids

    def within(self, folder: Path) -> Path | None:
        """A name right in ``folder`` that is one of them, None where there is none."""
        try:
            names = os.listdir(folder)
        except OSError:
            return None
        return next((folder / name for name in sorted(names) if folder / name in self), None)
