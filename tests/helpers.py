"""What several tests ask of a folder."""

from __future__ import annotations

import re
from pathlib import Path

_RANDOM = r"[0-9a-f]{16}"


def names(folder: Path) -> list[str]:
    """What is in a folder, random parts of names shown as ``*``."""
    return sorted(
        re.sub(rf"\.{_RANDOM}(?=\.|$)", ".*", path.name)
        if re.search(_RANDOM, path.name)
        else path.name
        for path in folder.iterdir()
    )


def unfinished(output: Path) -> Path:
    """The one unfinished file, or folder, of an output that has no work folder."""
    found = all_unfinished(output)
    assert len(found) == 1, found
    return found[0]


def all_unfinished(output: Path) -> list[Path]:
    """Those of all runs."""
    begins = re.escape(output.name)
    there = output.parent.iterdir() if output.parent.is_dir() else []
    return sorted(path for path in there if re.fullmatch(rf"{begins}\.{_RANDOM}\.part", path.name))


def work_file(folder: Path, stem: str, ending: str = "") -> Path:
    """A file of a work folder, whose names all carry the folder's token."""
    found = [
        path
        for path in folder.iterdir()
        if re.fullmatch(rf"{re.escape(stem)}\.{_RANDOM}{re.escape(ending)}", path.name)
    ]
    assert len(found) == 1, (stem, found)
    return found[0]
