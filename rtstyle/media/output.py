"""The destination: what can be refused early, and a file that is whole before it has its name."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from rtstyle.errors import (
    DiskFull,
    EncoderUnavailable,
    OutputError,
    OutputExists,
    OutputNotWritable,
)
from rtstyle.media.codecs import (
    CODECS,
    MUXERS,
    EncodeOptions,
    depths_here,
    encoders,
    opens_here,
    with_ten_bits,
)
from rtstyle.media.hardware import require_hardware
from rtstyle.media.streams import copyable_sounds, open_container
from rtstyle.media.trial import holds

if sys.platform != "win32":
    import fcntl

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_LEAST_ROOM = 2**16


def check_output(
    output: Path,
    *,
    source: Path | None,
    overwrite: bool,
    options: EncodeOptions | None = None,
) -> None:
    """Refuse a destination that cannot work, before anything is decoded or loaded.

    Raises OutputNotWritable (extension, folder), OutputExists (there already, or the source
    itself), EncoderUnavailable (codec), OutputError (sound that the container cannot hold).
    """
    options = options or EncodeOptions()
    muxer_of(output)
    check_destination(output, source=source, overwrite=overwrite)
    check_container(output, options)
    if source is not None and options.audio == "copy":
        _check_sound(output, source)


def check_container(output: Path, options: EncodeOptions) -> None:
    """Refuse an ending whose container is unknown or does not take the codecs asked for; no file
    is looked at. Raises OutputNotWritable, EncoderUnavailable, OutputError."""
    muxer_of(output)
    _check_codec(output, options)
    if options.audio == "aac" and output.suffix.lower() == ".webm":
        raise OutputError(
            f"{output.name}: webm cannot hold aac sound; use --audio copy, or an .mkv name"
        )


def muxer_of(output: Path) -> str:
    """FFmpeg's name of the container that the extension asks for."""
    muxer = MUXERS.get(output.suffix.lower())
    if muxer is None:
        said = f"extension {output.suffix!r} is unknown" if output.suffix else "has no extension"
        raise OutputNotWritable(f"{output.name}: {said}; use one of {', '.join(MUXERS)}")
    return muxer


def check_destination(output: Path, *, source: Path | None, overwrite: bool) -> None:
    """Refuse a name that is taken, is the source, or lies where no file can be made."""
    folder = output.parent
    try:
        status = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise OutputNotWritable(f"folder {str(folder)!r} does not exist; create it first") from None
    except (OSError, ValueError) as error:
        raise OutputNotWritable(f"folder {str(folder)!r} cannot be used ({error})") from None
    if not stat.S_ISDIR(status.st_mode):
        raise OutputNotWritable(f"{str(folder)!r} is a file, not a folder; choose another name")
    if source is not None and _same_file(output, source):
        raise OutputExists(
            f"{str(output)!r} is the input itself; it is never overwritten: choose another name"
        )
    if os.path.lexists(output):
        if output.is_dir():
            raise OutputNotWritable(f"{str(output)!r} is a folder; add a file name")
        if output.exists() and not output.is_file():
            raise OutputNotWritable(f"{str(output)!r} is not a regular file; choose another name")
        if not overwrite:
            raise OutputExists(
                f"{str(output)!r} exists already; choose another name or use --overwrite"
            )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputNotWritable(f"folder {str(folder)!r} is not writable; choose another one")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _check_codec(output: Path, options: EncodeOptions) -> None:
    codec = CODECS[options.codec]
    if output.suffix.lower() not in codec.containers:
        fitting = [c.name for c in CODECS.values() if output.suffix.lower() in c.containers]
        raise EncoderUnavailable(
            f"{output.name}: {output.suffix.lower()[1:]} does not take {codec.name}; use "
            f"--codec {' or '.join(fitting)}, or a name with {' or '.join(codec.containers)}"
        )
    if options.encoder == "hardware":
        require_hardware(options)
    elif not opens_here(codec.name):
        there = [name for name, library in encoders().items() if library is not None]
        raise EncoderUnavailable(
            f"{codec.name} cannot be encoded here: {codec.library} is not in this build of av; "
            f"use --codec {' or '.join(there)}"
        )
    if options.bit_depth != "auto" and options.bit_depth not in depths_here(codec.name):
        raise EncoderUnavailable(
            f"{codec.library} cannot store {options.bit_depth} bits a sample in this build of av; "
            f"leave --bit-depth out, or take another codec for 10 bits: {with_ten_bits()}"
        )


def _check_sound(output: Path, source: Path) -> None:
    with open_container(source) as container:
        for stream in copyable_sounds(container):
            if holds(muxer_of(output), stream):
                continue
            remedies = ["--audio none" if output.suffix.lower() == ".webm" else "--audio aac"]
            if holds("matroska", stream):
                remedies.append("an .mkv name")
            raise OutputError(
                f"{output.name}: {output.suffix.lower()[1:]} cannot hold the source's "
                f"{stream.codec_context.name} sound; use {' or '.join(remedies)}"
            )


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of a write says that there is no room."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def partial_names(output: Path) -> Iterator[Path]:
    """What an interrupted run may leave: ``<stem>.partial<ext>``, ``<stem>.partial-2<ext>``..."""
    yield output.with_name(f"{output.stem}.partial{output.suffix}")
    for number in itertools.count(2):
        yield output.with_name(f"{output.stem}.partial-{number}{output.suffix}")


def lock_file(descriptor: int) -> bool:
    """Take the file for this process alone; True also where the system has no such locks."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


class PartFile:
    """``<name>.part`` beside the destination, locked against a second run until it has its name."""

    def __init__(self, output: Path, *, overwrite: bool, rescue: Path | None = None) -> None:
        """What an earlier run left in it is dropped, or moved to ``rescue``.

        Raises OutputError where another run holds it, OutputNotWritable, DiskFull.
        """
        # A destination that is a link to a file is written where the link points.
        self._final = Path(os.path.realpath(output))
        self._overwrite = overwrite
        self.path = self._final.with_name(self._final.name + ".part")
        self.precious = False
        """Whether it holds what is nowhere else."""
        self._lock: int | None = self._open_locked()
        if rescue is not None:
            self.rescue(rescue)
        self._check_room()

    def _open_locked(self) -> int:
        while True:
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
                lock = os.open(self.path, flags, 0o666)
            except OSError as error:
                if is_disk_full(error):
                    raise DiskFull(f"{self.path.name}: the disk is full; free some space") from None
                raise OutputNotWritable(
                    f"{str(self.path)!r} cannot be written ({error.strerror}); "
                    "choose another folder"
                ) from None
            if not lock_file(lock):
                os.close(lock)
                raise OutputError(
                    f"{self._final.name}: another run is writing it ({self.path.name} is locked); "
                    "wait for it or choose another name"
                )
            # The holder may have renamed or removed the file between opening and locking.
            if self.path.exists() and os.path.samestat(os.fstat(lock), os.stat(self.path)):
                return lock
            os.close(lock)

    def _check_room(self) -> None:
        """Refuse a full disk now; PyAV never closes a file whose header could not be written."""
        assert self._lock is not None
        try:
            os.ftruncate(self._lock, 0)
            written = 0
            while written < _LEAST_ROOM:
                written += os.pwrite(self._lock, bytes(_LEAST_ROOM - written), written)
            os.ftruncate(self._lock, 0)
        except OSError as error:
            self.remove()
            if is_disk_full(error):
                raise DiskFull(
                    f"{self._final.name}: no room left in {str(self._final.parent)!r}; "
                    "free some space and run again"
                ) from None
            raise OutputNotWritable(
                f"{str(self.path)!r} cannot be written ({error.strerror}); choose another folder"
            ) from None

    @property
    def held(self) -> bool:
        """Whether it is still this run's."""
        return self._lock is not None

    def rescue(self, to: Path) -> None:
        """Move what was written elsewhere, and begin anew."""
        assert self._lock is not None
        # Locked still, until there is a new one that is.
        old = self._lock
        os.replace(self.path, to)
        self._lock = self._open_locked()
        self.precious = False
        os.close(old)

    def sync(self) -> None:
        """See on the disk what was written so far."""
        assert self._lock is not None
        os.fsync(self._lock)

    def empty(self) -> None:
        """Drop what is in it."""
        assert self._lock is not None
        os.ftruncate(self._lock, 0)

    def place(self) -> int:
        """Give the finished file its final name; return its size in bytes."""
        size = self._sync()
        if self._overwrite:
            os.replace(self.path, self._final)
        else:
            try:
                self._place_new(self._final)
            except FileExistsError:
                self._unlock()
                raise OutputExists(
                    f"{self._final.name} appeared while it was being written; "
                    f"the result is kept as {self.path.name}"
                ) from None
        self._unlock()
        return size

    def place_partial(self, source: Path | None) -> tuple[Path, int]:
        """Name it ``<stem>.partial<ext>``, or with a number where that is taken.

        With ``overwrite`` that name is replaced, unless it is the ``source``.
        """
        size = self._sync()
        for name in partial_names(self._final):
            if (
                self._overwrite
                and name.is_file()
                and not (source is not None and _same_file(name, source))
            ):
                os.replace(self.path, name)
                break
            with contextlib.suppress(FileExistsError):
                self._place_new(name)
                break
        self._unlock()
        return name, size

    def _sync(self) -> int:
        assert self._lock is not None
        os.fsync(self._lock)
        return os.fstat(self._lock).st_size

    def _place_new(self, name: Path) -> None:
        """Take a name that is free; raises FileExistsError where it is not."""
        try:
            # Unlike a rename, a link never replaces a file that appeared meanwhile.
            os.link(self.path, name)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links.
            if os.path.lexists(name):
                raise FileExistsError(str(name)) from None
            os.replace(self.path, name)
        else:
            os.unlink(self.path)

    def keep(self) -> None:
        """Leave the unfinished file where it is, and let others have it."""
        self._unlock()

    def discard(self) -> None:
        """Delete the unfinished file, unless it is precious; it stays locked."""
        if not self.precious:
            self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the unfinished file, unless it is precious, and let others have it; calling it
        twice, or after ``place``, is allowed."""
        if self._lock is not None:
            self.discard()
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
