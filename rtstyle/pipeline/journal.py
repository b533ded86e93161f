"""What is done of a conversion, on the disk, and how to resume it.

The work folder holds a record ``asked`` (what the run was asked for) and, for each segment that is
done, its pictures (``000003.<token>.mkv``) and a record of their facts (``000003``). Facts are
written last, in one step and onto the disk, so a segment either is done or is not.

While the film is put together (``film``), segments whose pictures are found in it are removed, so
that a film does not lie on the disk twice; their facts then say where in the unfinished film they
are. It is renamed ``joined`` once a run that was killed meanwhile is resumed. The record ``placed``
is written just before the film gets its name, and says what is left to do where a run is killed
between that and the removal of the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rtstyle.errors import OutputError, OutputExists
from rtstyle.files import Protected
from rtstyle.media import EncodeOptions, SegmentFile, is_whole
from rtstyle.pipeline.records import Placed, Segment
from rtstyle.pipeline.work_folder import WorkFolder

_ASKED, _PLACED, _FILM, _JOINED = "asked", "placed", "film", "joined"
_SEGMENT = r"\d{6}"

BESIDE = ("audio", "subtitles")
"""Settings that may change between a run and its resumption, since segments hold only pictures."""

Key = Mapping[str, str | int | float | None]
"""What a run was asked for: names for people, and values that are equal for equal runs."""


class Journal:
    """What is in the work folder of one output."""

    def __init__(self, folder: WorkFolder, name: str) -> None:
        """``name``: the output's, for messages."""
        self.folder = folder
        self.notes: list[str] = []
        self._name = name
        self._done: list[Segment] = []

    @property
    def done(self) -> tuple[Segment, ...]:
        """The segments that are done, in the film's order, from the first on."""
        return tuple(self._done)

    @property
    def frames(self) -> int:
        """How many frames they hold."""
        return sum(segment.facts.frames for segment in self._done)

    @property
    def kept(self) -> int:
        """How many frames of an earlier run are on the disk."""
        return sum(segment.facts.frames for segment in self._read_segments())

    def check(self) -> None:
        """Raise OutputExists where there are segments of an earlier run; the folder was found."""
        if frames := self.kept:
            raise OutputExists(
                f"{self._name}: {frames} frames of an earlier run are kept in "
                f"{self.folder.path.name}; add --resume to go on from them, or --overwrite to "
                "start over"
            )

    def begin(
        self, key: Key, *, resume: bool, redo: Callable[[Segment, Segment | None], Segment]
    ) -> None:
        """Take up what an earlier run left, or begin with an empty folder, which is this run's.

        With ``resume``, its segments are read back, and ``redo`` makes one again that is no longer
        whole; it is given that one and the one before. Raises OutputError naming what differs from
        ``key``, OutputNotWritable, DiskFull, and what ``redo`` raises.
        """
        found = self._read_segments() if resume else []
        if found:
            self.require(key)
            self._take_up(found, redo)
        else:
            self.folder.clear(but=(_FILM,))
            self.folder.write(_ASKED, dict(key))

    def require(self, key: Key, placed: Placed | None = None) -> None:
        """Raise OutputError where the earlier run, or that of the film ``placed``, was asked for
        something else, naming what."""
        asked = self.folder.read(_ASKED) if placed is None else placed.asked
        if asked is None:
            raise OutputError(
                f"{self._name}: cannot resume, since the journal of the earlier run is damaged; "
                "start over with --overwrite"
            )
        wanted = json.loads(json.dumps(dict(key)))
        for name in sorted({*asked, *wanted}):
            if asked.get(name) != wanted.get(name):
                raise OutputError(
                    f"{self._name}: cannot resume, since the {name} is another one now "
                    f"({_shown(asked.get(name))} then, {_shown(wanted.get(name))} now); "
                    "run with what it was, or start over with --overwrite"
                )

    @property
    def joined(self) -> Path:
        """Where the unfinished film of a run is to be, that holds the only copy of segments."""
        return self.folder.file(_JOINED, "")

    def film(self, ending: str) -> Path:
        """Where the film is put together."""
        return self.folder.file(_FILM, ending)

    @property
    def has_moved(self) -> bool:
        """Whether an earlier run has put segments into a film, and removed them."""
        return any(segment.file.offsets is not None for segment in self._read_segments())

    def path(self, index: int) -> Path:
        """The file of a segment's pictures."""
        return self.folder.file(f"{index:06}", ".mkv")

    def free_path(self, index: int) -> Path:
        """The same, with nothing there; raises OutputNotWritable."""
        return self.folder.free(self.path(index))

    def move(self, index: int, offsets: Sequence[int]) -> None:
        """Note that a segment's pictures are on the disk in the film, and remove its own file.

        Raises DiskFull, OutputNotWritable.
        """
        segment = self._done[index]
        moved = replace(segment, file=SegmentFile(self.joined, offsets))
        self._write_facts(moved)
        self.folder.free(segment.file.path)
        self._done[index] = moved

    def add(self, segment: Segment) -> None:
        """Note the next segment as done; raises DiskFull, OutputNotWritable."""
        if segment.index != len(self._done):
            raise ValueError(f"segment {segment.index} does not follow {len(self._done) - 1}")
        self._write_facts(segment)
        self._done.append(segment)

    @property
    def placed(self) -> Placed | None:
        """The film of an earlier run that was about to get its name, or has it."""
        record = self.folder.read(_PLACED) or self.folder.sealed
        try:
            return None if record is None else Placed.from_json(record)
        except (ValueError, KeyError, TypeError, ArithmeticError):
            return None

    def place(self, placed: Placed) -> None:
        """Note that the film gets its name next; raises DiskFull, OutputNotWritable."""
        self.folder.write(_PLACED, placed.to_json())

    def remove(self) -> None:
        """The film has its name: remove the folder and all that is this program's in it, what says
        so last. Raises OutputNotWritable."""
        self._done = []
        self.folder.clear(but=(_PLACED,))
        if self.folder.read(_PLACED) is not None:
            self.folder.seal(_PLACED)
        self.folder.remove()

    def leave(self, *, keep: bool = False) -> None:
        """End without a result: keep what was done, or remove the folder if that is nothing.

        ``keep``: also a segment that is not whole. What an earlier run did and this one could not
        take up stays.
        """
        if self.folder.is_open and not keep and not self._done and not self.kept:
            self.folder.remove()

    def _write_facts(self, segment: Segment) -> None:
        self.folder.write(f"{segment.index:06}", segment.to_json())

    def _take_up(
        self, found: Iterable[Segment], redo: Callable[[Segment, Segment | None], Segment]
    ) -> None:
        for segment in found:
            if not is_whole(segment.file, segment.facts):
                self.notes.append(
                    f"segment {segment.index} of an earlier run was damaged and was made again"
                )
                segment = redo(segment, self._done[-1] if self._done else None)
                self._write_facts(segment)
            self._done.append(segment)
        for stem, path in list(self.folder.own(_SEGMENT)):
            if int(stem) >= len(self._done):
                self.folder.free(path)

    def _read_segments(self) -> list[Segment]:
        """Those with readable facts, up to the first without."""
        found: list[Segment] = []
        while (record := self.folder.read(f"{len(found):06}")) is not None:
            try:
                segment = Segment.from_json(record, self.path(len(found)), self.joined)
            except (ValueError, KeyError, TypeError, ArithmeticError):
                return found
            if segment.index != len(found) or (found and segment.after != found[-1].next):
                return found
            found.append(segment)
        return found


def kept_frames(output: Path) -> int:
    """How many frames of ``output`` an earlier run has left to be resumed."""
    folder = WorkFolder(output)
    try:
        return Journal(folder, output.name).kept if folder.find() else 0
    except OutputError:
        return 0


def placed_film(journal: Journal, output: Path, options: EncodeOptions) -> Placed | None:
    """What an earlier run noted of a film that has its name now, was made with these options, and
    only left its folder behind; the folder was found."""
    placed = journal.placed
    if placed is None or not placed.is_at(output):
        return None
    return placed if placed.settings == settings_beside(options) else None


def was_placed(source: Path, output: Path, options: EncodeOptions) -> bool:
    """Whether an earlier run was killed after its film had its name, and before it had tidied up.

    A folder of such a run that has nothing left in it is removed. Raises what WorkFolder.find
    raises.
    """
    folder = WorkFolder(output, Protected([source]))
    if not folder.find():
        if os.path.lexists(output):
            folder.remove_empty()
        return False
    return placed_film(Journal(folder, output.name), output, options) is not None


def settings_beside(options: EncodeOptions) -> dict[str, str]:
    """What of the film is no matter of its pictures."""
    return {name: str(getattr(options, name)) for name in BESIDE}


def _shown(value: object) -> str:
    return "none" if value is None else str(value)[:200]
