"""What a training run writes, and what it means when that fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rtstyle.errors import DiskFull, OutputExists, OutputNotWritable
from rtstyle.files import is_disk_full
from rtstyle.own_names import OwnNames


class RunFolder:
    """What a run writes into its folder, by name."""

    def __init__(self, path: Path, *, ours: Iterable[str] = ()) -> None:
        """``ours``: names that were shown to be an earlier run's of the same folder."""
        self.path = path
        self._names = OwnNames(path, ours=ours)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole; raises OutputExists where a stranger's has the name, DiskFull,
        OutputNotWritable."""
        with failures(self.path / name):
            self._names.write(name, data)

    def append(self, name: str, data: bytes) -> None:
        """Add to a file that ``write`` wrote; raises as it does."""
        with failures(self.path / name):
            self._names.append(name, data)


@contextlib.contextmanager
def failures(path: Path) -> Iterator[None]:
    """Say what an OSError means for who named the folder that ``path`` is in."""
    try:
        yield
    except FileExistsError:
        raise OutputExists(
            f"{path} is not this run's, and was left as it is; move it away or give another -o"
        ) from None
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"{path}: no room left on the disk; free some and run again") from error
        raise OutputNotWritable(
            f"{path} cannot be written ({error.strerror}); give another -o"
        ) from error


def check_apart(place: Path, pictures: Iterable[Path | None]) -> None:
    """Raise OutputExists where ``place`` lies in one of the folders that ``pictures`` are read
    from."""
    where = Path(os.path.realpath(place))
    for folder in pictures:
        if folder is not None and where.is_relative_to(os.path.realpath(folder)):
            raise OutputExists(
                f"{place} lies in {folder}, whose pictures are read: what is written there would "
                "count as one of them; give a folder elsewhere"
            )
