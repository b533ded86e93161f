"""Small clips of several containers, and seeded ways to damage them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clips import Titles, make_clip, make_film

_HEAD = 600
"""Bytes at the front of a file in which containers without an index keep their header."""


def seeds(folder: Path) -> list[Path]:
    """The clips that are damaged, each with sound, of 30 pictures."""
    subtitles = Titles("subrip", [(0, 400, "one"), (500, 300, "two")], language="eng")
    plain = make_clip(
        folder / "plain.mkv", frames=30, audio=True, options={"bf": "3", "g": "12", "refs": "2"}
    )
    return [
        make_clip(folder / "a.mp4", frames=30, audio=True, options={"bf": "3", "g": "12"}),
        make_film(
            folder / "b.mkv",
            plain,
            titles=[subtitles],
            chapters=[(0.0, 0.5, "first"), (0.5, 1.2, "second")],
            tags={"title": "a film"},
        ),
        make_clip(folder / "c.avi", frames=30, codec="mpeg4", audio=True, audio_codec="pcm_s16le"),
        make_clip(folder / "d.ts", frames=30, audio=True, options={"bf": "2", "g": "10"}),
    ]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One damaged file; ``seed`` and ``number`` make it again."""

    seed: int
    number: int
    source: str
    """The name of the clip that was damaged."""
    kind: str
    data: bytes

    @property
    def name(self) -> str:
        """A file name that says how it was made."""
        return f"{self.seed}-{self.number:05d}-{self.kind}{Path(self.source).suffix}"


def mutant(seed: int, number: int, clips: list[Path]) -> Mutant:
    """Number ``number`` of the series ``seed``; every clip meets every kind in turn."""
    generator = random.Random(f"{seed}/{number}")
    clip = clips[number % len(clips)]
    kind = list(KINDS)[number // len(clips) % len(KINDS)]
    data = bytearray(clip.read_bytes())
    return Mutant(seed, number, clip.name, kind, bytes(KINDS[kind](data, generator)))


def _replace(data: bytearray, places: range, count: int, generator: random.Random) -> bytearray:
    for _ in range(count):
        data[generator.choice(places)] = generator.randrange(256)
    return data


def _one_per_cent(data: bytearray, generator: random.Random) -> bytearray:
    return _replace(data, range(len(data)), max(1, len(data) // 100), generator)


def _thirty(data: bytearray, generator: random.Random) -> bytearray:
    return _replace(data, range(len(data)), 30, generator)


def _truncated(data: bytearray, generator: random.Random) -> bytearray:
    return data[: generator.randrange(1, len(data))]


def _swapped(data: bytearray, generator: random.Random) -> bytearray:
    size = generator.randrange(1, len(data) // 4)
    first, second = sorted(generator.sample(range(0, len(data) - size + 1, size), 2))
    data[first : first + size], data[second : second + size] = (
        data[second : second + size],
        data[first : first + size],
    )
    return data


def _cut_out(data: bytearray, generator: random.Random) -> bytearray:
    size = generator.randrange(1, len(data) // 4)
    begin = generator.randrange(len(data) - size)
    del data[begin : begin + size]
    return data


def _repeated(data: bytearray, generator: random.Random) -> bytearray:
    size = generator.randrange(1, len(data) // 4)
    begin = generator.randrange(len(data) - size)
    data[begin:begin] = data[begin : begin + size]
    return data


def _header(data: bytearray, generator: random.Random) -> bytearray:
    index = data.find(b"moov")
    places = range(index, len(data)) if index >= 0 else range(min(_HEAD, len(data)))
    return _replace(data, places, generator.randrange(1, 9), generator)


def _numbers(data: bytearray, generator: random.Random) -> bytearray:
    """Lengths, counts and times of the header become the largest or the smallest there are."""
    index = data.find(b"moov")
    places = range(index, len(data) - 4) if index >= 0 else range(min(_HEAD, len(data) - 4))
    for _ in range(generator.randrange(1, 4)):
        begin = generator.choice(places)
        size = generator.choice((2, 4))
        data[begin : begin + size] = generator.choice(
            (b"\xff" * size, bytes(size), b"\x7f" + b"\xff" * (size - 1), b"\x80" + bytes(size - 1))
        )
    return data


KINDS: dict[str, Callable[[bytearray, random.Random], bytearray]] = {
    "one-per-cent": _one_per_cent,
    "thirty-bytes": _thirty,
    "truncated": _truncated,
    "swapped": _swapped,
    "cut-out": _cut_out,
    "repeated": _repeated,
    "header": _header,
    "numbers": _numbers,
}
