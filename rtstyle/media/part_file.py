"""A film that is whole before it has its name."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rtstyle.errors import DiskFull, OutputError, OutputExists, OutputNotWritable
from rtstyle.files import (
    Protected,
    create,
    create_beside,
    has_name,
    is_disk_full,
    lock_file,
    named_beside,
    open_regular,
    rename_new,
    sync_folder,
    writable_url,
)
from rtstyle.media.output import partial_names

_LEAST_ROOM = 2**16


class PartFile:
    """The unfinished file of a destination: created for this run alone, under a name that nobody
    has, and locked until it gets the destination's.

    It is ``<name>.<random>.part`` next to the destination, or a file of a run's own folder.
    """

    def __init__(
        self,
        output: Path,
        *,
        overwrite: bool,
        protected: Protected | None = None,
        path: Path | None = None,
    ) -> None:
        """``protected``: what the run reads, and never replaces. ``path``: where the file is to
        be, in a folder of this run's own and on the destination's file system.

        Raises OutputExists where the destination leads to one of the ``protected``, OutputError
        where another run writes it, OutputNotWritable, DiskFull.
        """
        # A destination that is a link to a file is written where the link points.
        self._final = Path(os.path.realpath(output))
        self._overwrite = overwrite
        self._protected = protected or Protected()
        self.precious = False
        """Whether it holds what is nowhere else."""
        self.left_by_others: tuple[Path, ...] = ()
        """Unfinished files of the same destination that runs before left when they were killed."""
        if self._final in self._protected:
            raise OutputExists(
                f"{str(output)!r} leads to what this run reads, which is never overwritten: "
                "choose another name"
            )
        self.path, self._descriptor = self._create(path)
        try:
            if path is None:
                self.left_by_others = tuple(self._left_by_others())
            self._check_room()
        except BaseException:
            self.remove()
            raise

    def _create(self, path: Path | None) -> tuple[Path, int | None]:
        try:
            name, descriptor = create_beside(self._final) if path is None else (path, create(path))
        except FileExistsError:
            raise OutputNotWritable(
                f"{str(path)!r} is there already; move it away, or choose another name"
            ) from None
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull(f"{self._final.name}: the disk is full; free some space") from None
            raise OutputNotWritable(
                f"{str(path or self._final)!r} cannot be written ({error.strerror}); "
                "choose another folder"
            ) from None
        lock_file(descriptor)
        return name, descriptor

    def _left_by_others(self) -> Iterator[Path]:
        for path in named_beside(self._final):
            if path == self.path:
                continue
            try:
                descriptor = open_regular(path)
            except OSError:
                continue
            try:
                if not lock_file(descriptor):
                    raise OutputError(
                        f"{self._final.name}: another run is writing it ({path.name} is locked); "
                        "wait for it or choose another name"
                    )
                if os.fstat(descriptor).st_size:
                    yield path
            finally:
                os.close(descriptor)

    def _check_room(self) -> None:
        """Refuse a full disk now; PyAV never closes a file whose header could not be written."""
        assert self._descriptor is not None
        try:
            written = 0
            while written < _LEAST_ROOM:
                written += os.pwrite(self._descriptor, bytes(_LEAST_ROOM - written), written)
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull(
                    f"{self._final.name}: no room left in {str(self._final.parent)!r}; "
                    "free some space and run again"
                ) from None
            raise OutputNotWritable(
                f"{str(self.path)!r} cannot be written ({error.strerror}); choose another folder"
            ) from None

    @property
    def url(self) -> Path:
        """The name by which a muxer opens this very file, whatever becomes of its path."""
        assert self._descriptor is not None
        return writable_url(self.path, self._descriptor)

    @property
    def shown(self) -> str:
        """Its name as seen from the destination's folder, for messages."""
        if self.path.parent == self._final.parent:
            return self.path.name
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def held(self) -> bool:
        """Whether it is still this run's."""
        return self._descriptor is not None

    def rescue(self, to: Path) -> None:
        """Move what was written to ``to``, in a folder of this run's own, and begin again."""
        assert self._descriptor is not None
        os.replace(self.path, to)
        os.close(self._descriptor)
        self._descriptor = None
        self.path, self._descriptor = self._create(self.path)
        self.precious = False

    def sync(self) -> None:
        """See on the disk what was written so far."""
        assert self._descriptor is not None
        os.fsync(self._descriptor)

    def empty(self) -> None:
        """Drop what is in it."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)

    def status(self) -> os.stat_result:
        """What the system says of the file."""
        assert self._descriptor is not None
        return os.fstat(self._descriptor)

    def place(self) -> int:
        """Give the finished file its final name; return its size in bytes.

        Raises OutputExists where the name is taken or leads to what the run reads; the file is
        then kept. Raises OSError.
        """
        size = self._sync()
        if self._final in self._protected:
            self.keep()
            raise OutputExists(
                f"{self._final.name} is the input itself, which is never overwritten; "
                f"the result is kept as {self.shown}"
            )
        if sys.platform == "win32":
            # An open file cannot be renamed there.
            self._unlock()
        if self._overwrite:
            os.replace(self.path, self._final)
        else:
            try:
                rename_new(self.path, self._final)
            except FileExistsError:
                self._unlock()
                raise OutputExists(
                    f"{self._final.name} appeared while it was being written; "
                    f"the result is kept as {self.shown}"
                ) from None
        sync_folder(self._final.parent)
        self._unlock()
        return size

    def place_partial(self) -> tuple[Path, int]:
        """Name it ``<stem>.partial<ext>``, or with a number where that is taken: nothing is ever
        replaced by what is not whole."""
        size = self._sync()
        if sys.platform == "win32":
            self._unlock()
        for name in partial_names(self._final):
            with contextlib.suppress(FileExistsError):
                rename_new(self.path, name)
                break
        self._unlock()
        return name, size

    def _sync(self) -> int:
        assert self._descriptor is not None
        os.fsync(self._descriptor)
        return os.fstat(self._descriptor).st_size

    def keep(self) -> None:
        """Leave the unfinished file where it is, and let others have it."""
        self._unlock()

    def discard(self) -> None:
        """Delete the unfinished file, unless it is precious; it stays locked."""
        if self._descriptor is None or self.precious:
            return
        # Only what is still the file that was created.
        if has_name(self._descriptor, self.path):
            with contextlib.suppress(OSError):
                self.path.unlink()

    def remove(self) -> None:
        """Delete the unfinished file, unless it is precious, and let others have it; calling it
        twice, or after ``place``, is allowed."""
        self.discard()
        self._unlock()

    def _unlock(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
