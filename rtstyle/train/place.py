"""The folder of a training run: shown to be free or a run's own before anything is written in it.

A run writes the same few names again and again, and a run that is gone on with replaces what the
one before wrote. So it is settled first that nothing there is a stranger's or read by the run
itself; what appears under one of the names later is left as it is, too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from rtstyle.errors import OutputExists
from rtstyle.files import Protected
from rtstyle.styles import check_replaceable
from rtstyle.train.checkpoint import RESUME, WEIGHTS, is_checkpoint, is_resume
from rtstyle.train.record import CURVE, LOSSES, SHEETS, is_record
from rtstyle.train.run_folder import RunFolder, check_apart, failures

PACK = "pack"
"""The folder of the finished style."""
TEACHER = "teacher"
"""The folder of a teacher's pictures."""


def claim(
    output: Path,
    *,
    pictures: Iterable[Path | None],
    files: Iterable[Path | None],
    cache: Path | None = None,
) -> RunFolder:
    """Make ``output`` where it is missing, and show that a run may write into it.

    ``pictures`` are the folders that the run reads, ``files`` all else that it reads (a folder
    stands for the checkpoint in it), ``cache`` the folder of a teacher's pictures. Raises
    OutputExists where it would write among the pictures or over what it reads, or where names are
    taken that no run gave, and OutputNotWritable.
    """
    for place in filter(None, (output, cache)):
        check_apart(place, pictures)
    ours = _taken(output)
    reads = Protected(f / WEIGHTS if f.is_dir() else f for f in files if f is not None)
    for name in ours:
        if output / name in reads:
            raise OutputExists(
                f"{output / name} is read by this run, which would write over it; give another -o"
            )
    if ours and not is_run(output):
        raise OutputExists(
            f"{output} holds {', '.join(ours[:4])}, which no training wrote; give another -o"
        )
    for name in ours:
        place = output / name
        fits = place.is_dir() if name in (PACK, TEACHER) else place.is_file()
        if place.is_symlink() or not fits:
            raise OutputExists(f"{place} is nothing that a training wrote; give another -o")
    if PACK in ours:
        check_replaceable(output / PACK, overwrite=True)
    with failures(output):
        output.mkdir(parents=True, exist_ok=True)
    return RunFolder(output, ours=ours)


def _taken(output: Path) -> list[str]:
    """The names in the folder that a run would write."""
    named = [RESUME, WEIGHTS, LOSSES, CURVE, PACK, TEACHER]
    found = [name for name in named if os.path.lexists(output / name)]
    with failures(output), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found += sorted(name for name in os.listdir(output) if SHEETS.fullmatch(name))
    return found


def is_run(folder: Path) -> bool:
    """Whether a training wrote what is in the folder: its losses or its checkpoint say so."""
    if is_record(folder / LOSSES):
        return True
    weights = folder / WEIGHTS
    return (weights.is_file() and is_checkpoint(weights)) or is_resume(folder / RESUME)
