"""Many films at once: which file each becomes, settled and checked before the first begins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtstyle.errors import OutputExists, OutputNotWritable, UsageError
from rtstyle.files import FileId, Protected, file_id, same_file, short_name, spelling
from rtstyle.media import (
    EncodeOptions,
    check_container,
    check_output,
    ending_for,
    find_videos,
    other_files,
)

CONTAINERS = ("mp4", "mkv", "mov", "webm")
"""What a batch's results can be asked to be."""

_NAMED = 3
_KINDS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Job:
    """One film and the file it becomes."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch will do."""

    folder: Path
    """Where the results go; it may not be there yet."""
    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    """Those whose result is there already."""
    notes: tuple[str, ...] = ()
    """A sentence for each folder in which files were left aside, being no films by their names."""

    def make_folder(self) -> None:
        """Make the folder where it is missing; raises OutputNotWritable."""
        try:
            self.folder.mkdir(exist_ok=True)
        except FileNotFoundError:
            raise OutputNotWritable(
                f"{str(self.folder)!r}: there is no folder {str(self.folder.parent)!r}; "
                "make it first"
            ) from None
        except OSError as error:
            raise _cannot_make(self.folder, error) from None


def plan_batch(
    sources: Sequence[Path],
    folder: Path,
    options: EncodeOptions,
    *,
    container: str | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    reads: Sequence[Path] = (),
) -> BatchPlan:
    """Settle which file each of ``sources``, films or folders of films, becomes in ``folder``.

    A folder's tree is mirrored. A result keeps its film's name, and its kind of file where that
    can be written, unless ``container`` names another (mp4, mkv, mov or webm). ``reads`` are files
    that the run reads besides, as those of the style. Nothing is made.

    Raises UsageError where two would get one name, OutputExists where results are there already
    (unless ``overwrite`` or ``skip_existing``) or would replace an input, OutputNotWritable,
    EncoderUnavailable, and NotAVideo for a folder without films.
    """
    if overwrite and skip_existing:
        raise UsageError("results that are there are either replaced or skipped; choose one")
    if os.path.isfile(folder):
        raise OutputNotWritable(f"{str(folder)!r} is a file; several films need a folder")
    jobs = _distinct(
        Job(film, folder / _named(place, f".{container}" if container else ending))
        for film, place in _films(sources, folder)
        for ending in (ending_for(film, options),)
    )
    _refuse_inputs(jobs, reads)
    for target in {job.target.suffix.lower(): job.target for job in jobs}.values():
        check_container(target, options)
    there = [job for job in jobs if os.path.lexists(job.target)]
    for job in there:
        check_output(job.target, source=None, overwrite=True, options=options)
    if there and not (overwrite or skip_existing):
        raise OutputExists(_already(there))
    skipped = tuple(there) if skip_existing else ()
    left_out = set(skipped)
    notes = tuple(
        note
        for source in sources
        if os.path.isdir(source) and (note := _left_aside(source, folder)) is not None
    )
    return BatchPlan(folder, tuple(job for job in jobs if job not in left_out), skipped, notes)


def make_place(job: Job) -> None:
    """Make the folder that a job's result goes into; raises OutputNotWritable."""
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_make(job.target.parent, error) from None


def _films(sources: Iterable[Path], folder: Path) -> Iterator[tuple[Path, Path]]:
    """Every film with its place below the output folder, still with its own ending."""
    for source in sources:
        if not os.path.isdir(source):
            yield source, Path(source.name)
            continue
        if os.path.isdir(folder) and source.samefile(folder):
            raise UsageError(
                f"{str(folder)!r} is the folder of the films itself; write to another one"
            )
        # Results in a folder within are no films to convert once more.
        for film in find_videos(source, without=folder):
            yield film, film.relative_to(source)


def _left_aside(source: Path, folder: Path) -> str | None:
    found = other_files(source, without=folder)
    if not found:
        return None
    count = sum(found.values())
    most = sorted(found, key=lambda ending: (-found[ending], ending))
    kinds = [f"{found[ending]} {ending or 'without an ending'}" for ending in most[:_KINDS_NAMED]]
    if len(most) > _KINDS_NAMED:
        kinds.append(f"{sum(found[ending] for ending in most[_KINDS_NAMED:])} others")
    return (
        f"{'1 file' if count == 1 else f'{count} files'} in {str(source)!r} left aside, since "
        f"{'its name does' if count == 1 else 'their names do'} not end as those of films do "
        f"({', '.join(kinds)}); name one itself to convert it"
    )


def _named(place: Path, ending: str) -> Path:
    """``place`` with another ending, which may be longer than its own and the name with it."""
    return place.with_name(short_name(place.stem, ending))


def _distinct(jobs: Iterable[Job]) -> list[Job]:
    """The jobs without what was named twice; raises UsageError where two get one name."""
    kept: list[Job] = []
    taken: dict[str | FileId, Job] = {}
    for job in jobs:
        # Two names of one file that is there already are one, too.
        keys = [spelling(job.target), file_id(job.target)]
        other = next((taken[key] for key in keys if key in taken), None)
        if other is None:
            kept.append(job)
            taken.update((key, job) for key in keys if key is not None)
        elif not (other.source == job.source or same_file(other.source, job.source)):
            raise UsageError(
                f"{str(other.source)!r} and {str(job.source)!r} would both become "
                f"{str(job.target)!r}; rename one, or convert them into two folders"
            )
    return kept


def _refuse_inputs(jobs: Sequence[Job], reads: Iterable[Path]) -> None:
    inputs = Protected((*(job.source for job in jobs), *reads))
    for job in jobs:
        if job.target in inputs:
            raise OutputExists(
                f"{str(job.target)!r} is an input itself, which is never overwritten; "
                "write to another folder"
            )


def _already(jobs: Sequence[Job]) -> str:
    names = [repr(str(job.target)) for job in jobs[:_NAMED]]
    if len(jobs) > _NAMED:
        names.append(f"{len(jobs) - _NAMED} more")
    verb = "exists" if len(jobs) == 1 else "exist"
    return (
        f"{', '.join(names)} {verb} already; add --skip-existing to convert only the rest, "
        "or --overwrite to replace what is there"
    )


def _cannot_make(folder: Path, error: OSError) -> OutputNotWritable:
    return OutputNotWritable(
        f"{str(folder)!r}: cannot make this folder ({error.strerror}); choose another one"
    )
