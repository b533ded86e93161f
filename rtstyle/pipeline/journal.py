"""What is done of a conversion, on the disk: the folder of its segments, and how to go on from it.

``<name>.parts`` beside the output holds ``journal.json`` (what the run was asked for) and, for each
segment that is done, its pictures (``000003.mkv``) and their facts (``000003.json``). Facts are
written last, in one step and onto the disk, so a segment either is done or is not.

While the film is put together, segments whose pictures are found in it are removed, so that a film
does not lie on the disk twice; their facts then say where in the unfinished film they are. It is
``joined`` in the folder once a run that was killed meanwhile is gone on with.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtstyle.errors import DiskFull, OutputError, OutputExists, OutputNotWritable
from rtstyle.media import Mark, SegmentFacts, SegmentFile, is_disk_full, is_whole

FORMAT = 1
_JOURNAL = "journal.json"
_JOINED = "joined"
_OWN = re.compile(r"joined|journal\.json|\d{6}\.(mkv|json)|(journal|\d{6})\.json\.new")

Key = Mapping[str, str | int | float | None]
"""What a run was asked for: names for people, and values that are equal for equal runs."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A self-contained piece of a conversion: what of the source it is, and what came of it.

    Whoever has the source, the key of the journal and this can make the file anew.
    """

    index: int
    file: SegmentFile
    """Where its pictures are."""
    after: Mark | None
    """The place in the source where reading begins; None at the start."""
    warm_up: int
    """How many of the frames read belong to the segment before, and are painted only for a net
    that looks back."""
    facts: SegmentFacts
    """How many frames it has, when they are shown, and what must be found in the file."""
    next: Mark
    """The place where reading for the segment behind it begins."""


class Journal:
    """The folder of one output's segments. The output must be locked by whoever uses it."""

    def __init__(self, output: Path) -> None:
        final = Path(os.path.realpath(output))
        self.folder = final.with_name(final.name + ".parts")
        self.notes: list[str] = []
        self._name = output.name
        self._done: list[Segment] = []
        self._begun = False

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
        """Raise OutputExists where there are segments of an earlier run."""
        if frames := self.kept:
            raise OutputExists(
                f"{self._name}: {frames} frames of an earlier run are kept in "
                f"{self.folder.name}; add --resume to go on from them, or --overwrite to start over"
            )

    def begin(
        self, key: Key, *, resume: bool, redo: Callable[[Segment, Segment | None], Segment]
    ) -> None:
        """Take up what an earlier run left, or begin with an empty folder.

        With ``resume``, its segments are read back, and ``redo`` makes one anew that is no longer
        whole; it is given that one and the one before. Raises OutputError naming what differs from
        ``key``, OutputNotWritable, DiskFull, and what ``redo`` raises.
        """
        if self.folder.is_symlink():
            raise OutputNotWritable(f"{str(self.folder)!r} is a link; remove it")
        found = self._read_segments() if resume else []
        if found and self._agrees(key):
            self._take_up(found, redo)
        else:
            self.remove()
            try:
                self.folder.mkdir(exist_ok=True)
                self._write(_JOURNAL, {"format": FORMAT, "asked": dict(key)})
            except OSError as error:
                raise self._failed(error) from error
        self._begun = True

    @property
    def joined(self) -> Path:
        """Where the unfinished film of a run is to be, that holds the only copy of segments."""
        return self.folder / _JOINED

    @property
    def has_moved(self) -> bool:
        """Whether an earlier run has put segments into a film, and removed them."""
        return any(segment.file.offsets is not None for segment in self._read_segments())

    def path(self, index: int) -> Path:
        """The file of a segment's pictures."""
        return self.folder / f"{index:06}.mkv"

    def move(self, index: int, offsets: Sequence[int]) -> None:
        """Note that a segment's pictures are on the disk in the film, and remove its own file.

        Raises DiskFull, OutputNotWritable.
        """
        segment = self._done[index]
        moved = replace(segment, file=SegmentFile(self.joined, offsets))
        self._write_facts(moved)
        segment.file.path.unlink()
        self._done[index] = moved

    def add(self, segment: Segment) -> None:
        """Note the next segment as done; raises DiskFull, OutputNotWritable."""
        if segment.index != len(self._done):
            raise ValueError(f"segment {segment.index} does not follow {len(self._done) - 1}")
        self._write_facts(segment)
        self._done.append(segment)

    def leave(self, *, keep: bool = False) -> None:
        """End without a result: keep what was done, or remove the folder if that is nothing.

        ``keep``: also a segment that is not whole. What an earlier run did and this one could not
        take up stays.
        """
        if self._begun and not self._done and not keep:
            self.remove()

    def remove(self) -> None:
        """Remove the folder and all that is this program's in it."""
        self._done = []
        if not self.folder.is_dir() or self.folder.is_symlink():
            return
        for path in self.folder.iterdir():
            if _OWN.fullmatch(path.name):
                path.unlink(missing_ok=True)
        # Somebody may have put something there.
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _write_facts(self, segment: Segment) -> None:
        record = {
            "index": segment.index,
            "after": None if segment.after is None else segment.after.to_json(),
            "warm_up": segment.warm_up,
            "facts": segment.facts.to_json(),
            "offsets": None if segment.file.offsets is None else list(segment.file.offsets),
            "next": segment.next.to_json(),
        }
        try:
            self._write(f"{segment.index:06}.json", record)
        except OSError as error:
            raise self._failed(error) from error

    def _take_up(
        self, found: Iterable[Segment], redo: Callable[[Segment, Segment | None], Segment]
    ) -> None:
        for segment in found:
            if not is_whole(segment.file, segment.facts):
                self.notes.append(
                    f"segment {segment.index} of an earlier run was damaged and was made anew"
                )
                segment = redo(segment, self._done[-1] if self._done else None)
                self._write_facts(segment)
            self._done.append(segment)
        for path in self.folder.iterdir():
            unfinished = re.fullmatch(r"(\d{6})\..*", path.name)
            if unfinished and int(unfinished[1]) >= len(self._done):
                path.unlink(missing_ok=True)

    def _agrees(self, key: Key) -> bool:
        """Whether the journal can be gone on with; raises OutputError naming what differs."""
        try:
            record = json.loads((self.folder / _JOURNAL).read_text("utf-8"))
            asked = dict(record["asked"])
            if record["format"] != FORMAT:
                raise ValueError(f"format {record['format']}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.notes.append(
                f"the journal of an earlier run cannot be read ({error}); "
                "the conversion starts over"
            )
            return False
        wanted = json.loads(json.dumps(dict(key)))
        for name in sorted({*asked, *wanted}):
            if asked.get(name) != wanted.get(name):
                raise OutputError(
                    f"{self._name}: cannot resume, since the {name} is another one now "
                    f"({_told(asked.get(name))} then, {_told(wanted.get(name))} now); "
                    "run with what it was, or start over with --overwrite"
                )
        return True

    def _read_segments(self) -> list[Segment]:
        """Those with readable facts, up to the first without."""
        found: list[Segment] = []
        while True:
            index = len(found)
            try:
                record = json.loads((self.folder / f"{index:06}.json").read_text("utf-8"))
                segment = _segment(record, SegmentFile(self.path(index)), self.joined)
                if segment.index != index:
                    return found
                if found and segment.after != found[-1].next:
                    return found
            except (OSError, ValueError, KeyError, TypeError):
                return found
            found.append(segment)

    def _write(self, name: str, record: Mapping[str, object]) -> None:
        """In one step, and onto the disk."""
        new = self.folder / f"{name}.new"
        with new.open("w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / name)
        _sync_folder(self.folder)

    def _failed(self, error: OSError) -> OutputError:
        if is_disk_full(error):
            return DiskFull(
                f"{self._name}: no room left in {str(self.folder.parent)!r}; free some space"
            )
        return OutputNotWritable(
            f"{str(self.folder)!r} cannot be written ({error.strerror}); choose another folder"
        )


def _segment(record: Mapping[str, Any], file: SegmentFile, joined: Path) -> Segment:
    facts = record["facts"]
    after, offsets = record["after"], record["offsets"]
    return Segment(
        index=int(record["index"]),
        file=file if offsets is None else SegmentFile(joined, offsets),
        after=None if after is None else Mark.from_json(after),
        warm_up=int(record["warm_up"]),
        facts=SegmentFacts(
            pts=facts["pts"],
            lengths=facts["lengths"],
            sizes=facts["sizes"],
            keys=facts["keys"],
            crc32=int(facts["crc32"]),
        ),
        next=Mark.from_json(record["next"]),
    )


def _told(value: object) -> str:
    return "none" if value is None else str(value)


def _sync_folder(folder: Path) -> None:
    """Make a rename in it last; Windows has no such call, and needs none."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
