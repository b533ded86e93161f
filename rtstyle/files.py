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
import re
import secrets
import stat
import sys
import unicodedata
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
SAFELY = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
"""For a file that no child inherits and that is reached by no link."""
AT_ONCE = getattr(os, "O_NONBLOCK", 0)
"""For one that may turn out to be a pipe."""
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


def create(path: Path, *, mode: int = 0o666) -> int:
    """Create ``path`` for reading and writing and return its descriptor.

    Raises FileExistsError where anything has the name, a dangling link included.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFELY, mode)


def create_beside(final: Path, suffix: str = ".part", *, mode: int = 0o666) -> tuple[Path, int]:
    """Create ``<name>.<random><suffix>`` in the folder of ``final``; its path and descriptor."""
    while True:
        path = beside(final, suffix)
        with contextlib.suppress(FileExistsError):
            return path, create(path, mode=mode)


def beside(final: Path, suffix: str = ".part") -> Path:
    """A random name in the folder of ``final`` that begins as its does."""
    return final.with_name(short_name(final.name, f".{new_token()}{suffix}"))


def named_beside(final: Path, suffix: str = ".part") -> list[Path]:
    """What is in the folder of ``final`` under names that ``beside`` gives; none where it cannot
    be listed."""
    begins = beside(final, suffix).name[: -TOKEN - len(suffix)]
    pattern = re.compile(rf"{re.escape(begins)}[0-9a-f]{{{TOKEN}}}{re.escape(suffix)}", re.DOTALL)
    try:
        names = os.listdir(final.parent)
    except OSError:
        return []
    return [final.parent / name for name in sorted(names) if pattern.fullmatch(name)]


def open_regular(path: Path) -> int:
    """Open a regular file for reading, and nothing else: no link is followed, no pipe waited for.

    Raises OSError, of which ELOOP is a link and EINVAL what is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | SAFELY | AT_ONCE)
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
    # Refused is not yet forbidden: some systems refuse this call alone, and where the folder is
    # closed the other ways say so.
    if number in _NO_LINKS:
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


def write_whole(
    path: Path, data: bytes, *, overwrite: bool, mode: int = 0o666, follow: bool = True
) -> None:
    """Write a file in one step and onto the disk: it is there whole, or not at all.

    With ``overwrite``, ``path`` may be a link to a file, which is then written where the link
    points, unless ``follow`` is false. Only a regular file is ever replaced. Raises
    FileExistsError where the name is taken, be it by a link, and ``overwrite`` is false, and
    OSError, of which EINVAL is a name that is taken by no regular file.
    """
    final = Path(os.path.realpath(path)) if overwrite and follow else path
    if overwrite:
        _check_replaceable(final)
    part, descriptor = create_beside(final, mode=mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            _check_replaceable(final)
            os.replace(part, final)
        else:
            rename_new(part, final)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _check_replaceable(path: Path) -> None:
    """A device, a pipe or a link is nothing that a file may take the place of."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))


def sync_folder(folder: Path) -> None:
    """Make a rename in it last; Windows has no such call, and needs none."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_private(folder: Path) -> bool:
    """Whether a folder, itself no link, is this user's and no other may put anything into it.

    Where systems know no owners, every folder counts as private.
    """
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and _is_ours(status)


def _is_ours(status: os.stat_result) -> bool:
    if sys.platform == "win32":
        return True
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o022


def open_own(path: Path) -> int | None:
    """Open for reading and writing what an earlier run of this user left under a name; None where
    the name is free or taken by anything else: a link, a file with a second name (a hard link), a
    pipe, a folder, a file that is another user's or that others may write.

    It is an earlier run's only where the folder ``is_private``: ask that first.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | SAFELY | AT_ONCE)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and _is_ours(status):
        return descriptor
    os.close(descriptor)
    return None


def has_name(descriptor: int, path: Path) -> bool:
    """Whether the file of ``descriptor`` is what has the name now, and not by a link."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


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


def spelling(path: Path) -> str:
    """One text for all the ways to write a name: links, ``..``, letter case and the forms of
    Unicode. Two files of a file system that tells cases apart can have one text, too."""
    found = os.path.realpath(path)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", found).casefold())


def same_place(one: Path, other: Path) -> bool:
    """Whether what is written under two names may be one file, on whatever file system."""
    return same_file(one, other) or spelling(one) == spelling(other)


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
