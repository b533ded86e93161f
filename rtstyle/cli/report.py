"""The report of a run as a JSON file."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from fractions import Fraction
from pathlib import Path

from rtstyle.errors import OutputExists, OutputNotWritable, UsageError
from rtstyle.files import name_excess
from rtstyle.media import too_long
from rtstyle.types import RunReport, Size


def check_report(path: Path, *, others: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse a report file that could not be written, or that would replace one of ``others``."""
    if any(_same(path, other) for other in others):
        raise UsageError(f"{path}: the report would replace the input or the output; rename it")
    if not os.path.isdir(path.parent):
        raise OutputNotWritable(f"{path}: there is no folder {path.parent}; make it first")
    if os.path.isdir(path):
        raise OutputNotWritable(f"{path} is a folder; name a file in it")
    if (over := name_excess(path)) > 0:
        raise OutputNotWritable(f"{path}: {too_long(over)}")
    if os.path.exists(path) and not overwrite:
        raise OutputExists(f"{path} exists already; choose another name or add --overwrite")


def write_report(report: RunReport, path: Path) -> None:
    """Write ``report`` whole or not at all."""
    write_json(as_json(report), path)


def write_json(content: object, path: Path) -> None:
    """Write ``content``, in types JSON knows, whole or not at all; raises OutputNotWritable."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            # mkstemp makes a private file; a report is as public as any other new file.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
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
    if os.path.exists(one) and os.path.exists(other):
        return one.samefile(other)
    return one.resolve() == other.resolve()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
