"""What a run writes is none of what it reads, and is written once: judged by file, not by name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from rtstyle.addresses import without_secrets
from rtstyle.errors import InputError, NotAVideo, OutputExists, OutputNotWritable
from rtstyle.files import same_file, same_place
from rtstyle.media import STAMPS_NAME, find_numbered, is_sequence, numbered_name
from rtstyle.styles import style_files

PACK_FILES = ("style.json", "model.onnx")
"""What an export writes."""


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def read_of(source: Path) -> tuple[Path, ...]:
    """The files that an input is made of: itself, or numbered pictures with their times."""
    if not is_sequence(source):
        return (source,)
    pattern = numbered_name(source)
    pictures: Iterable[Path] = ()
    if pattern is not None:
        try:
            pictures, _ = find_numbered(pattern)
        except InputError:  # told when it is read
            pictures = ()
    return (source, source.parent / STAMPS_NAME, *pictures)


def is_address(name: str | Path) -> bool:
    """Whether a file's name is an address, also one of whose two slashes a path has made one."""
    text = str(name)
    return bool(_ADDRESS.match(text)) and not os.path.isdir(text.partition("/")[0])


def refuse_played(*inputs: Path) -> None:
    """Raise NotAVideo for an address where a file is read; a result would be called after it."""
    for name in inputs:
        if is_address(name):
            raise NotAVideo(
                f"{without_secrets(str(name))}: this reads files; addresses are played by "
                "'rtstyle live --camera'"
            )


def refuse_addresses(*outputs: str | Path | None) -> None:
    """Raise OutputNotWritable for an address where a file is written; its last part, by which
    files are called in messages, may be the key of a stream."""
    for output in outputs:
        if output is not None and is_address(output):
            raise OutputNotWritable(
                f"{without_secrets(str(output))}: this writes files; 'rtstyle live' sends to "
                "addresses"
            )


def writes(output: Path, path: Path) -> bool:
    """Whether ``output``, a file or numbered pictures, may write the file ``path``."""
    pattern = numbered_name(output)
    if pattern is None:
        return same_place(output, path)
    if not same_place(pattern.folder, path.parent):
        return False
    name = path.name.casefold()
    return name == STAMPS_NAME or (
        name.startswith(pattern.prefix.casefold()) and name.endswith(pattern.suffix.casefold())
    )


def refuse_style(outputs: Iterable[Path], styles: Sequence[str]) -> None:
    """Raise OutputExists where an output would replace a file of a style that is used."""
    files = [file for style in styles for file in style_files(style) if os.path.isfile(file)]
    for output in outputs:
        for file in files:
            numbered = numbered_name(output) is not None and writes(output, file)
            if numbered or same_file(output, file):
                raise OutputExists(
                    f"{str(output)!r} is a file of the style that is used; it is never "
                    "overwritten: choose another name"
                )


def check_folder(folder: Path) -> None:
    """Raise OutputNotWritable for what is no folder, and cannot be made one."""
    refuse_addresses(folder)
    for place in (folder, *folder.parents):
        try:
            mode = os.stat(place).st_mode
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputNotWritable(f"{folder}: cannot be a folder here: {reason}") from None
        if not stat.S_ISDIR(mode):
            raise OutputNotWritable(f"{folder}: {place} is no folder; choose another one")
        if not os.access(place, os.W_OK | os.X_OK):
            raise OutputNotWritable(f"{folder}: the folder {place} refuses files; choose another")
        return


def refuse_reads(folder: Path, names: Iterable[str], reads: Iterable[Path | None]) -> None:
    """Raise OutputExists where one of the files ``names`` of ``folder`` is read, too."""
    read = [path for path in reads if path is not None]
    for name in names:
        for path in read:
            if same_file(folder / name, path):
                raise OutputExists(
                    f"{path} would be replaced by this run, which reads it; write to another folder"
                )
