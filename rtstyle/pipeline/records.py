"""What a journal's records say, and the checks of what a file may say instead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rtstyle.media import Mark, SegmentFacts, SegmentFile
from rtstyle.types import SourceHealth

_LARGEST = 2**63 - 1
_LARGEST_PICTURE = 2**31 - 1


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

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        offsets = self.file.offsets
        return {
            "index": self.index,
            "after": None if self.after is None else self.after.to_json(),
            "warm_up": self.warm_up,
            "facts": self.facts.to_json(),
            "offsets": None if offsets is None else list(offsets),
            "next": self.next.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], own: Path, joined: Path) -> Segment:
        """``own``: the file of its own that it has, unless its pictures are in ``joined``.

        Raises ValueError, KeyError and TypeError for what to_json did not make.
        """
        facts, after = dict(record["facts"]), record["after"]
        offsets = None if record["offsets"] is None else _numbers(record["offsets"], 0)
        held = SegmentFacts(
            pts=_numbers(facts["pts"], -_LARGEST),
            lengths=_numbers(facts["lengths"], 1),
            sizes=_numbers(facts["sizes"], 1, _LARGEST_PICTURE),
            keys=_numbers(facts["keys"], 0),
            crc32=_number(facts["crc32"], 0, 2**32 - 1),
        )
        if offsets is not None and len(offsets) != held.frames:
            raise ValueError("as many places as pictures")
        return cls(
            index=_number(record["index"], 0),
            file=SegmentFile(own) if offsets is None else SegmentFile(joined, offsets),
            after=None if after is None else Mark.from_json(after),
            warm_up=_number(record["warm_up"], 0, _LARGEST_PICTURE),
            facts=held,
            next=Mark.from_json(record["next"]),
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """A film that is about to get its name, or has it, and what its report has to say."""

    device: int
    inode: int
    bytes: int
    frames: int
    asked: Mapping[str, Any]
    """What the run was asked for."""
    shown_until: Fraction
    """Seconds of the source's clock at which the last frame ends."""
    settings: Mapping[str, str]
    """Those that are no part of the key: what goes beside the pictures."""
    losses: tuple[str, ...]
    notes: tuple[str, ...]
    health: SourceHealth

    def is_at(self, path: Path) -> bool:
        """Whether the very file of then is at ``path`` now."""
        try:
            status = os.stat(path)
        except OSError:
            return False
        found = (status.st_dev, status.st_ino, status.st_size)
        return found == (self.device, self.inode, self.bytes)

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "device": self.device,
            "inode": self.inode,
            "bytes": self.bytes,
            "frames": self.frames,
            "asked": dict(self.asked),
            "shown_until": str(self.shown_until),
            "settings": dict(self.settings),
            "losses": list(self.losses),
            "notes": list(self.notes),
            "decode_failures": self.health.decode_failures,
            "repaired_timestamps": self.health.repaired_timestamps,
            "health_notes": list(self.health.notes),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Placed:
        """Raises ValueError, KeyError and TypeError for what to_json did not make."""
        return cls(
            device=_number(record["device"], 0),
            inode=_number(record["inode"], 0, 2**64),
            bytes=_number(record["bytes"], 0),
            frames=_number(record["frames"], 1),
            asked=dict(record["asked"]),
            shown_until=Fraction(str(record["shown_until"])),
            settings={str(k): str(v) for k, v in dict(record["settings"]).items()},
            losses=_sentences(record["losses"]),
            notes=_sentences(record["notes"]),
            health=SourceHealth(
                decode_failures=_number(record["decode_failures"], 0),
                repaired_timestamps=_number(record["repaired_timestamps"], 0),
                notes=_sentences(record["health_notes"]),
            ),
        )


def _number(value: object, least: int, most: int = _LARGEST) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"a number from {least} to {most}, got {str(value)[:40]}")
    return value


def _numbers(values: object, least: int, most: int = _LARGEST) -> list[int]:
    if not isinstance(values, list):
        raise TypeError("a list of numbers")
    return [_number(value, least, most) for value in values]


def _sentences(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a list of sentences")
    return tuple(values)
