"""The folder that a sequence is written into: what may be there, and pictures that get their names
when all of them are whole."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rtstyle.errors import DiskFull, InputError, OutputError, OutputExists, OutputNotWritable
from rtstyle.files import (
    Protected,
    beside,
    create,
    is_disk_full,
    lock_file,
    named_beside,
    open_regular,
    rename_new,
    same_file,
    short_name,
    sync_folder,
)
from rtstyle.media.numbered import STAMPS_NAME, NumberedName, is_picture, some_names
from rtstyle.media.stamps import header_line, is_stamps, read_stamps

_LOCK = ".lock"


def check_folder(
    pattern: NumberedName,
    *,
    source: Path | None,
    overwrite: bool,
    protected: Protected | None = None,
) -> None:
    """Refuse a folder in which these pictures cannot be, before anything is decoded or loaded.

    ``source`` is the folder of the pictures that are read, None where a film is; ``protected`` all
    files that are read. The folder itself is made later; the one above it must be there. With
    ``overwrite`` an earlier sequence of the same name is replaced, and nothing else. Raises
    OutputNotWritable and OutputExists.
    """
    folder = pattern.folder
    if not os.path.lexists(folder):
        _check_writable(folder.absolute().parent)
        return
    _check_writable(folder)
    if source is not None and same_file(source, folder):
        raise OutputExists(
            f"{str(folder)!r} is the folder of the input itself; write to another folder"
        )
    pictures, stamps = _what_is_in(folder)
    if not pictures and not stamps:
        return
    for name in [*pictures, *([STAMPS_NAME] if stamps else [])]:
        if protected is not None and folder / name in protected:
            raise OutputExists(
                f"{str(folder / name)!r} is one of the files that this run reads; "
                "write to another folder"
            )
    _check_own(pattern, pictures, stamps)
    for name in [*pictures, *([STAMPS_NAME] if stamps else [])]:
        if not (folder / name).is_symlink() and not (folder / name).is_file():
            raise OutputExists(
                f"{str(folder / name)!r} is no file, though it is called like one of the pictures; "
                "write to another folder"
            )
    if not overwrite:
        raise OutputExists(
            f"{str(pattern)!r}: {some_names(pictures or [STAMPS_NAME])} "
            f"{'exist' if len(pictures) > 1 else 'exists'} already; choose another folder or use "
            "--overwrite"
        )


def _check_own(pattern: NumberedName, pictures: list[str], stamps: bool) -> None:
    """Refuse to replace what this program's runs did not write: photos of the user, above all."""
    known = _times_in(pattern.folder) if stamps else None
    foreign = [
        name
        for name in pictures
        if known is None or (number := pattern.number(name)) is None or not 1 <= number <= known
    ]
    if foreign:
        raise OutputExists(
            f"{str(pattern.folder)!r} holds other pictures ({some_names(foreign)}), which are "
            "never replaced; write to another folder"
        )
    if known is None:
        raise OutputExists(
            f"{str(pattern.folder / STAMPS_NAME)!r} says no times of pictures; "
            "write to another folder"
        )


def _times_in(folder: Path) -> int | None:
    """How many pictures the timestamps file in ``folder`` is for; None where it is no such file."""
    file = folder / STAMPS_NAME
    if not is_stamps(file):
        return None
    try:
        return len(read_stamps(file).times)
    except InputError:
        return None


def _what_is_in(folder: Path) -> tuple[list[str], bool]:
    """The names of pictures, and whether there is a timestamps file."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise OutputNotWritable(
            f"folder {str(folder)!r} cannot be listed ({error.strerror}); choose another one"
        ) from None
    return [name for name in names if is_picture(name)], STAMPS_NAME in names


def _check_writable(folder: Path) -> None:
    try:
        status = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise OutputNotWritable(f"folder {str(folder)!r} does not exist; create it first") from None
    except (OSError, ValueError) as error:
        raise OutputNotWritable(f"folder {str(folder)!r} cannot be used ({error})") from None
    if not stat.S_ISDIR(status.st_mode):
        raise OutputNotWritable(f"{str(folder)!r} is a file, not a folder; choose another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputNotWritable(f"folder {str(folder)!r} is not writable; choose another one")


class PartFolder:
    """The unfinished pictures of a sequence: ``<pattern>.<random>.part`` in the destination's
    folder, made for this run alone and locked until they have their names. Being inside, it lies on
    the same file system."""

    def __init__(
        self, pattern: NumberedName, *, overwrite: bool, protected: Protected | None = None
    ) -> None:
        """Makes both folders. ``protected``: what the run reads, and never replaces or removes.

        Raises OutputError where another run writes the same pictures, OutputNotWritable, DiskFull.
        """
        self._pattern, self._overwrite = pattern, overwrite
        self._protected = protected or Protected()
        self._final = Path(os.path.realpath(pattern.folder))
        self._name = Path(str(pattern)).name
        self._lock: int | None = None
        self._made = not self._final.is_dir()
        self.path = self._final
        """Where the pictures are until then."""
        self.left_by_others: tuple[Path, ...] = ()
        """Those of runs before that were killed."""
        try:
            with self._failures():
                self._final.mkdir(exist_ok=True)
                self.path = self._make()
                self._lock = create(self.path / _LOCK, mode=0o600)
            lock_file(self._lock)
            self.left_by_others = tuple(self._left_by_others())
            self.append(STAMPS_NAME, header_line().encode())
        except BaseException:
            self.remove()
            if self.path != self._final:
                # Nothing is in it yet.
                with contextlib.suppress(OSError):
                    self.path.rmdir()
            self._remove_made()
            raise

    def _make(self) -> Path:
        while True:
            path = beside(self._final / self._name)
            with contextlib.suppress(FileExistsError):
                # Private, so that nobody else can put a link where a picture is to be.
                path.mkdir(0o700)
                return path

    def _left_by_others(self) -> Iterator[Path]:
        for path in named_beside(self._final / self._name):
            if path == self.path:
                continue
            try:
                lock = open_regular(path / _LOCK)
            except OSError:
                # Another's, or one that was given up and is kept.
                continue
            try:
                if not lock_file(lock):
                    raise OutputError(
                        f"{str(self._pattern)!r}: another run is writing it ({path.name} is "
                        "locked); wait for it or choose another name"
                    )
                yield path
            finally:
                os.close(lock)

    def write(self, name: str, data: bytes) -> None:
        """Write one file; a failed one leaves nothing. Raises OSError."""
        path = self.path / name
        try:
            with path.open("xb") as file:
                file.write(data)
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def append(self, name: str, data: bytes) -> None:
        """Add to a file, all or nothing. Raises DiskFull, OutputNotWritable."""
        with self._failures(), (self.path / name).open("ab", buffering=0) as file:
            size, written = os.fstat(file.fileno()).st_size, 0
            try:
                while written < len(data):
                    written += file.write(data[written:])
            except OSError:
                file.truncate(size)
                raise

    def place(self, names: Callable[[], Iterator[str]]) -> None:
        """Give the pictures ``names`` and the timestamps their names in the folder.

        Raises OutputExists where pictures appeared there meanwhile, OutputNotWritable and DiskFull;
        all is then kept where it is.
        """
        try:
            with self._failures():
                _sync(self.path / name for name in itertools.chain(names(), [STAMPS_NAME]))
            check_folder(
                self._pattern,
                source=None,
                overwrite=self._overwrite,
                protected=self._protected,
            )
        except OutputError as error:
            self.keep()
            raise type(error)(f"{error} (the result is kept in {self.path.name})") from None
        try:
            pictures, _ = _what_is_in(self._final)
            for name in pictures:
                if self._pattern.number(name) is not None:
                    (self._final / name).unlink()
            # First, so that a folder which lacks pictures, the run being killed now, is known for
            # one: it has more times than pictures.
            os.replace(self.path / STAMPS_NAME, self._final / STAMPS_NAME)
            for name in names():
                rename_new(self.path / name, self._final / name)
        except OSError as error:
            self.keep()
            raise OutputError(
                f"{str(self._pattern.folder)!r}: not all pictures could be given their names "
                f"({error.strerror}); the rest is kept in {self.path.name}"
            ) from None
        sync_folder(self._final)
        self._made = False
        self.remove()

    def place_partial(self) -> Path:
        """Rename it ``<folder>.partial``, or with a number where that is taken, beside the
        destination's folder; inside where nothing can be made there. Returns the new folder."""
        self.keep()
        shown = self._pattern.folder
        for place in (self._final.parent, self._final):
            for number in itertools.count(1):
                mark = ".partial" if number == 1 else f".partial-{number}"
                target = place / short_name(self._final.name, mark)
                try:
                    rename_new(self.path, target)
                except FileExistsError:
                    continue
                except OSError:
                    break
                self._remove_made()
                beside_it = place == self._final.parent and not shown.is_symlink()
                return (shown.parent if beside_it and shown.name else place) / target.name
        return self.path

    def keep(self) -> None:
        """Leave the pictures where they are, and let others have them."""
        if self._lock is not None:
            (self.path / _LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                # As public as the folder that it lies in.
                self.path.chmod(self._final.stat().st_mode & 0o777)
        self._unlock()

    def remove(self) -> None:
        """Delete the unfinished pictures; calling it twice, or after ``place``, is allowed."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(self.path)):
                own = entry.name in (_LOCK, STAMPS_NAME)
                if own or self._pattern.number(entry.name) is not None:
                    os.unlink(entry.path)
            self.path.rmdir()
        self._unlock()
        self._remove_made()

    def _remove_made(self) -> None:
        if self._made:
            with contextlib.suppress(OSError):
                self._final.rmdir()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.failed(error) from None

    def failed(self, error: OSError) -> OutputError:
        """What an error of the system means for the user."""
        if is_disk_full(error):
            return DiskFull(
                f"{str(self._pattern)!r}: no room left on the disk; free some space and run again"
            )
        return OutputNotWritable(
            f"{str(self.path)!r} cannot be written ({error.strerror}); choose another folder"
        )


def _sync(paths: Iterator[Path]) -> None:
    """Have the files on the disk before they get their names."""
    if sys.platform != "win32":
        # One for all: each fsync of its own costs milliseconds, and a film has 100,000 pictures.
        os.sync()
    else:
        for path in paths:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
