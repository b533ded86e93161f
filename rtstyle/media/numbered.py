"""Names of numbered pictures, ``shot/%06d.png``, as printf and FFmpeg write them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from rtstyle.errors import InputError, NotAVideo

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Endings, in any case, of the pictures that a sequence can be made of."""

STAMPS_NAME = "timestamps.txt"
"""The file beside the pictures that says when each is shown."""

_PATTERN = re.compile(r"((?:[^%]|%%)*)%(?:0(\d{1,2}))?d((?:[^%]|%%)*)", re.DOTALL)
_NUMBERED = re.compile(r"(.*?)(\d+)(\D+)", re.DOTALL)
_MOST_DIGITS = 18
_NAMED = 3


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    return os.path.splitext(name)[1].lower() in PICTURE_ENDINGS


@dataclass(frozen=True, slots=True)
class NumberedName:
    """The names of the pictures of one sequence."""

    folder: Path
    prefix: str
    """What stands before the number."""
    digits: int
    """Numbers are padded with zeros to this many digits; longer ones are written whole."""
    suffix: str
    """What stands after the number, with the ending."""

    def __str__(self) -> str:
        padding = f"0{self.digits}" if self.digits else ""
        ends = (self.prefix.replace("%", "%%"), self.suffix.replace("%", "%%"))
        return str(self.folder / f"{ends[0]}%{padding}d{ends[1]}")

    @property
    def ending(self) -> str:
        """Of the pictures, in lower case: ``.png``."""
        return os.path.splitext(self.suffix)[1].lower() or self.suffix.lower()

    def name(self, number: int) -> str:
        """The file name of one picture, without the folder."""
        return f"{self.prefix}{number:0{self.digits}d}{self.suffix}"

    def number(self, name: str) -> int | None:
        """The number in a file name that differs from ``name(...)`` in nothing but padding."""
        middle = name[len(self.prefix) : len(name) - len(self.suffix)]
        if (
            len(name) <= len(self.prefix) + len(self.suffix)
            or not (name.startswith(self.prefix) and name.endswith(self.suffix))
            or not (middle.isascii() and middle.isdigit() and len(middle) <= _MOST_DIGITS)
        ):
            return None
        return int(middle)


def numbered_name(path: Path) -> NumberedName | None:
    """``path`` as a pattern: ``%d`` or ``%06d`` once in the name of a picture, ``%%`` for a percent
    sign. None for every other name; per cent signs in folders mean themselves."""
    match = _PATTERN.fullmatch(path.name)
    if match is None or not is_picture(path.name):
        return None
    prefix, digits, suffix = match.groups()
    width = int(digits or 0)
    if width > _MOST_DIGITS:
        return None
    return NumberedName(path.parent, prefix.replace("%%", "%"), width, suffix.replace("%%", "%"))


def list_names(folder: Path) -> list[str]:
    """The names of what is in ``folder``; raises NotAVideo where it cannot be listed."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise NotAVideo(f"there is no folder {str(folder)!r}; check the name") from None
    except (OSError, ValueError) as error:
        raise NotAVideo(f"folder {str(folder)!r} cannot be listed ({error})") from None


def find_numbered(pattern: NumberedName) -> tuple[list[Path], int]:
    """The pictures of a sequence in the order of their numbers, and how many others there are whose
    number is padded otherwise.

    Raises NotAVideo where there is none, and InputError where a number is missing between the
    first and the last.
    """
    numbers = {name: pattern.number(name) for name in list_names(pattern.folder)}
    alike = [name for name, number in numbers.items() if number is not None]
    names = {
        number: name
        for name, number in numbers.items()
        if number is not None and pattern.name(number) == name
    }
    if not names:
        raise NotAVideo(_none_found(pattern, alike))
    first, last = min(names), max(names)
    missing = last - first + 1 - len(names)
    if missing:
        gap = next(number for number in range(first, last) if number not in names)
        count = "1 picture is" if missing == 1 else f"{missing} pictures are"
        raise InputError(
            f"{str(pattern)!r}: {count} missing between {names[first]} and {names[last]}, "
            f"the first is {pattern.name(gap)}; put them back, or number the rest without a gap"
        )
    return [pattern.folder / names[number] for number in sorted(names)], len(alike) - len(names)


def _none_found(pattern: NumberedName, alike: list[str]) -> str:
    said = f"{str(pattern)!r}: no picture has such a name"
    other = only_sequence(pattern.folder)
    if alike or other is not None:
        there = sorted(alike)[0] if alike else None
        meant = other if there is None else guess_pattern(pattern.folder, there)
        return f"{said}; those in the folder are {str(meant)!r}"
    return f"{said}; check folder and name"


def guess_pattern(folder: Path, name: str) -> NumberedName | None:
    """The pattern that a picture's name is made by, its last number being the one that counts."""
    match = _NUMBERED.fullmatch(name)
    if match is None or not is_picture(name) or len(match[2]) > _MOST_DIGITS:
        return None
    # Without a leading zero nothing says that the width is meant.
    padded = match[2].startswith("0") and len(match[2]) > 1
    return NumberedName(folder, match[1], len(match[2]) if padded else 0, match[3])


def only_sequence(folder: Path) -> NumberedName | None:
    """The pattern of the pictures in ``folder`` where they are numbered and all of one kind."""
    pictures = sorted(name for name in list_names(folder) if is_picture(name))
    guess = guess_pattern(folder, pictures[0]) if pictures else None
    if guess is None or any(guess.number(name) is None for name in pictures):
        return None
    return guess


def some_names(names: list[str]) -> str:
    """A few names for a message, and how many more there are."""
    shown = [repr(name) for name in sorted(names)[:_NAMED]]
    if len(names) > _NAMED:
        shown.append(f"{len(names) - _NAMED} more")
    return ", ".join(shown)
