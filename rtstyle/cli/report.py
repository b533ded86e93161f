"""The report of a run as a JSON file."""

from __future__ import annotations

import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path

from rtstyle.errors import DiskFull, OutputExists, OutputNotWritable, UsageError
from rtstyle.files import is_disk_full, write_whole
from rtstyle.types import RunReport, Size


def check_report(path: Path, *, others: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse a report file that could not be written, or that would replace one of ``others``."""
    if any(_same(path, other) for other in others):
        raise UsageError(f"{path}: the report would replace the input or the output; rename it")
    if not path.parent.is_dir():
        raise OutputNotWritable(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise OutputNotWritable(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise OutputNotWritable(f"{path} is a device or a pipe; name a file")
    if os.path.lexists(path) and not overwrite:
        raise OutputExists(f"{path} exists already; choose another name or add --overwrite")


def write_report(report: RunReport, path: Path, *, overwrite: bool) -> None:
    """Write ``report`` whole or not at all; raises as ``write_json`` does."""
    write_json(as_json(report), path, overwrite=overwrite)


def write_json(content: object, path: Path, *, overwrite: bool) -> None:
    """Write ``content``, in types JSON knows, whole or not at all.

    Raises OutputExists where the name was taken meanwhile, OutputNotWritable, DiskFull.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        write_whole(path, text.encode(), overwrite=overwrite)
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
        return str(value)
    return value


def _same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()
