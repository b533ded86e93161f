"""The report of a run as a JSON file."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from rtstyle.addresses import without_secrets_in
from rtstyle.cli.apart import writes
from rtstyle.cli.terminal import json_text
from rtstyle.errors import DiskFull, OutputExists, OutputNotWritable, UsageError
from rtstyle.files import is_disk_full, same_place, write_whole
from rtstyle.media import name_excess, too_long
from rtstyle.types import RunReport, Size


def check_report(
    path: Path,
    *,
    others: Iterable[Path],
    outputs: Sequence[Path] = (),
    overwrite: bool,
    made: Path | None = None,
) -> None:
    """Refuse a report file that could not be written, or that would replace another file.

    ``others`` are the files of the run, ``outputs`` those of them that are written, which may be
    numbered pictures; ``made`` is a folder that is made where it is missing. Raises UsageError,
    OutputNotWritable and OutputExists.
    """
    if any(same_place(path, other) for other in others) or any(
        writes(output, path) for output in outputs
    ):
        raise UsageError(f"{path}: the report would replace the input or the output; rename it")
    if (over := name_excess(path)) > 0:
        raise OutputNotWritable(f"{path}: {too_long(over)}")
    try:
        mode: int | None = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputNotWritable(f"{path}: the report cannot be written there: {reason}") from None
    if path.parent != made or os.path.exists(path.parent):
        if not os.path.isdir(path.parent):
            raise OutputNotWritable(f"{path}: there is no folder {path.parent}; make it first")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputNotWritable(f"{path}: the folder {path.parent} refuses files")
    if mode is None and not os.path.islink(path):
        return
    if mode is not None and stat.S_ISDIR(mode):
        raise OutputNotWritable(f"{path} is a folder; name a file in it")
    if mode is not None and not stat.S_ISREG(mode):
        raise OutputNotWritable(f"{path} is a device or a pipe; name a file for the report")
    if not overwrite:
        raise OutputExists(f"{path} exists already; choose another name or add --overwrite")


def write_report(report: RunReport, path: Path, *, overwrite: bool) -> None:
    """Write ``report`` whole or not at all; raises as ``write_json`` does."""
    write_json(as_json(report), path, overwrite=overwrite)


def write_json(content: object, path: Path, *, overwrite: bool) -> None:
    """Write ``content``, in types JSON knows, whole or not at all.

    Raises OutputExists where the name was taken meanwhile, OutputNotWritable, DiskFull.
    """
    try:
        write_whole(path, (json_text(content) + "\n").encode(), overwrite=overwrite)
    except FileExistsError:
        raise OutputExists(
            f"{path}: the report was not written, since the name was taken meanwhile; "
            "choose another"
        ) from None
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"{path}: no room left for the report; free some space") from error
        raise OutputNotWritable(f"{path}: cannot write the report: {error.strerror}") from error


def as_json(report: RunReport) -> dict[str, object]:
    """``report`` in types JSON knows: sizes as [width, height], fractions and paths as text."""
    return {f.name: _plain(getattr(report, f.name)) for f in dataclasses.fields(report)}


def _plain(value: object) -> object:
    if isinstance(value, Size):
        return [value.width, value.height]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Fraction | Path):
        value = str(value)
    # A report is passed on; what it says of an address must not open it.
    return without_secrets_in(value) if isinstance(value, str) else value
