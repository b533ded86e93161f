"""``<name>.parts`` next to an output: what is on the disk of a conversion that is not finished.

The folder is known for this program's by what is in it, never by its name: ``journal.json`` names
the program and a random token, and every other file of ours carries that token in its name. What
carries none is somebody else's, and stays. On systems with owners and modes the folder is private
to its user, so that nobody else can put a link in place of a file that is about to be written.

The journal's file is the lock of the output: whoever holds it may work in the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rtstyle.errors import DiskFull, OutputError, OutputExists, OutputNotWritable
from rtstyle.files import (
    TOKEN,
    Protected,
    create,
    has_name,
    is_disk_full,
    lock_file,
    new_token,
    open_regular,
    read_regular,
    rename_new,
    short_name,
    sync_folder,
)

PROGRAM, FORMAT = "rtstyle", 2
_JOURNAL = "journal.json"
_ENDING = ".parts"
_BEGUN = re.compile(rf"journal\.([0-9a-f]{{{TOKEN}}})\.new")
_TOKEN = re.compile(rf"[0-9a-f]{{{TOKEN}}}")
_MOST_BYTES = 2**26
"""Of one record; a segment of 240 frames has some ten thousand."""
_LONGEST = 255

Record = Mapping[str, Any]


class WorkFolder:
    """The folder of one output's unfinished work."""

    def __init__(self, output: Path, protected: Protected | None = None) -> None:
        """``protected``: what the run reads, which must not lie in the folder."""
        final = Path(os.path.realpath(output))
        self.path = final.with_name(_folder_name(final.name))
        self._protected = protected or Protected()
        self._name = output.name
        self._token: str | None = None
        self._private = False
        self._lock: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is this run's."""
        return self._lock is not None

    def find(self) -> bool:
        """Look whether there is work of an earlier run; nothing is changed.

        Raises OutputNotWritable where something else has the folder's name, and OutputExists where
        what the run reads lies in it.
        """
        self._token = None
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self.failed(error) from None
        if not stat.S_ISDIR(status.st_mode):
            raise self._foreign("it is no folder")
        if (own := self._protected.within(self.path)) is not None:
            raise OutputExists(
                f"{str(own)!r} is the input itself, and lies where the unfinished work of "
                f"{self._name} belongs; move it, or choose another name for the output"
            )
        try:
            record = json.loads(read_regular(self.path / _JOURNAL, _MOST_BYTES))
            self._token = _token_of(record)
            self._private = private = record["private"] is True
        except FileNotFoundError:
            if _is_private(status) and self._is_barely_begun():
                return False
            raise self._foreign("it has no journal") from None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            raise self._foreign("its journal cannot be read") from None
        if private:
            self._check_private(status)
        return True

    def _is_barely_begun(self) -> bool:
        """Whether a run was killed before the folder had its journal: it then holds nothing but
        what that would have become, which its name tells."""
        for name in os.listdir(self.path):
            begun = _BEGUN.fullmatch(name)
            try:
                data = read_regular(self.path / name, 4096) if begun else None
            except OSError:
                return False
            if begun is None or data is None:
                return False
            if not any(_journal(begun[1], private=p).startswith(data) for p in (True, False)):
                return False
        return True

    def _check_private(self, status: os.stat_result) -> None:
        if not hasattr(os, "geteuid"):
            return
        if status.st_uid != os.geteuid():
            raise self._foreign("it is another user's")
        if status.st_mode & 0o022:
            raise self._foreign("others may write in it")

    def _foreign(self, why: str) -> OutputNotWritable:
        return OutputNotWritable(
            f"{str(self.path)!r} is in the way of the work on {self._name}, and not known for this "
            f"program's ({why}); it is left as it is: move it away, or choose another name"
        )

    def open(self) -> None:
        """Make the folder where it is missing, and take it for this run alone.

        Raises what ``find`` raises, OutputError where another run has it, OutputNotWritable,
        DiskFull.
        """
        made = new_token()
        try:
            while not self.is_open:
                try:
                    if not self.find():
                        self._make(made)
                    self._take()
                except FileNotFoundError:
                    # The run that had it has ended this moment.
                    continue
                except OSError as error:
                    raise self.failed(error) from None
        except BaseException:
            # An interrupt, too, leaves nothing of a run that has not begun.
            with contextlib.suppress(OSError, OutputError):
                self._undo(made)
            raise

    def _undo(self, made: str) -> None:
        """Remove what ``open`` has made, unless another run has taken it since."""
        if self._token != made:
            (self.path / f"journal.{made}.new").unlink(missing_ok=True)
            self.remove_empty()
            return
        if (self.path / _JOURNAL).exists():
            descriptor = open_regular(self.path / _JOURNAL)
            if not lock_file(descriptor):
                os.close(descriptor)
                return
            self._lock = descriptor
        self.remove()

    def _make(self, token: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
        # File systems without modes show others than were asked for.
        private = _is_private(os.lstat(self.path))
        for name in os.listdir(self.path):
            if _BEGUN.fullmatch(name):
                (self.path / name).unlink()
        new = self.path / f"journal.{token}.new"
        descriptor = create(new, mode=0o600)
        try:
            os.write(descriptor, _journal(token, private=private))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._token, self._private = token, private
        try:
            rename_new(new, self.path / _JOURNAL)
        except FileExistsError:
            # Another run was quicker, and will be found to hold it.
            self._token = None
            new.unlink()
        sync_folder(self.path)
        sync_folder(self.path.parent)

    def _take(self) -> None:
        file = self.path / _JOURNAL
        descriptor = open_regular(file)
        try:
            if not lock_file(descriptor):
                raise OutputError(
                    f"{self._name}: another run is writing it ({self.path.name} is locked); "
                    "wait for it or choose another name"
                )
            # The holder may have removed it between opening and locking.
            if not has_name(descriptor, file) or not self.find():
                raise FileNotFoundError
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def file(self, stem: str, ending: str) -> Path:
        """The path of a file of ours; raises ValueError where the folder was not found."""
        if self._token is None:
            raise ValueError(f"{self.path} was not found to be ours")
        return self.path / f"{stem}.{self._token}{ending}"

    def own(self, stem: str = r".+", ending: str = r".*") -> Iterator[tuple[str, Path]]:
        """Stems and paths of our files whose stem and ending match those patterns."""
        if self._token is None:
            return
        pattern = re.compile(rf"({stem})\.{self._token}({ending})")
        for name in sorted(os.listdir(self.path)):
            if match := pattern.fullmatch(name):
                yield match[1], self.path / name

    def free(self, path: Path) -> Path:
        """Remove what a run before left under a name of ours, so that it can be created.

        Raises OutputNotWritable where that is no file: no run leaves such a thing.
        """
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise OutputNotWritable(
                    f"{str(path)!r} is no file, and no run leaves such a thing; move it away"
                )
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self.failed(error) from None
        return path

    def read(self, stem: str) -> dict[str, Any] | None:
        """A record as it was written; None where there is none, or it is damaged."""
        return None if self._token is None else _record_in(self.file(stem, ".json"))

    @property
    def sealed(self) -> dict[str, Any] | None:
        """The record that took the journal's place."""
        return None if self._token is None else _record_in(self.path / _JOURNAL)

    def seal(self, stem: str) -> None:
        """Put a record in the journal's place, in one step: with it the folder is known for ours to
        the last, and what it says with it. Raises OutputNotWritable."""
        try:
            os.replace(self.file(stem, ".json"), self.path / _JOURNAL)
        except OSError as error:
            raise self.failed(error) from None
        sync_folder(self.path)

    def write(self, stem: str, record: Record) -> None:
        """Write a record, in one step and onto the disk; raises DiskFull, OutputNotWritable."""
        path = self.file(stem, ".json")
        assert self._token is not None
        facts = _identity(self._token, private=self._private)
        facts |= {"sha256": _digest(record), "record": record}
        data = json.dumps(facts, allow_nan=False)
        new = self.free(path.with_name(path.name + ".new"))
        try:
            descriptor = create(new, mode=0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
            sync_folder(self.path)
        except OSError as error:
            raise self.failed(error) from error

    def clear(self, *, but: tuple[str, ...] = ()) -> None:
        """Remove our files, those of these stems excepted; the last ones first, so that a run that
        is killed meanwhile leaves whole what comes before. Raises OutputNotWritable."""
        for stem, path in reversed(list(self.own())):
            if stem not in but and stat.S_ISREG(os.lstat(path).st_mode):
                self.free(path)

    def remove(self) -> None:
        """Remove our files and, where nobody has put anything there, the folder.

        Raises OutputNotWritable.
        """
        if self._token is None:
            return
        self.clear()
        try:
            (self.path / _JOURNAL).unlink(missing_ok=True)
            (self.path / f"journal.{self._token}.new").unlink(missing_ok=True)
        except OSError as error:
            raise self.failed(error) from None
        self._token = None
        with contextlib.suppress(OSError):
            self.path.rmdir()
        self.close()

    def remove_empty(self) -> None:
        """Remove the folder where a run was killed just before it would have done so."""
        with contextlib.suppress(OSError):
            if _is_private(os.lstat(self.path)):
                self.path.rmdir()

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def failed(self, error: OSError) -> OutputError:
        """What an error of the system means for the user."""
        if is_disk_full(error):
            return DiskFull(
                f"{self._name}: no room left in {str(self.path.parent)!r}; free some space"
            )
        return OutputNotWritable(
            f"{str(self.path)!r} cannot be written ({error.strerror}); choose another folder"
        )


def _is_private(status: os.stat_result) -> bool:
    own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return own and status.st_mode & 0o077 == 0


def _folder_name(name: str) -> str:
    whole = name + _ENDING
    if len(os.fsencode(whole)) <= _LONGEST:
        return whole
    # Two long names that begin alike are two outputs.
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:TOKEN]
    return short_name(name, f".{digest}{_ENDING}")


def _identity(token: str, *, private: bool) -> dict[str, Any]:
    return {"program": PROGRAM, "format": FORMAT, "token": token, "private": private}


def _journal(token: str, *, private: bool) -> bytes:
    return json.dumps(_identity(token, private=private)).encode()


def _record_in(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(read_regular(path, _MOST_BYTES))
        record = found["record"]
        whole = found["sha256"] == _digest(record)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if whole and isinstance(record, dict) else None


def _token_of(record: Record) -> str:
    token = record["token"]
    ours = record["program"] == PROGRAM and record["format"] == FORMAT
    if not ours or not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ValueError("no journal of this program")
    return token


def _digest(record: object) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
