"""Which files a checkpoint is made of; nothing of them is read here, and no torch is needed."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TENSORFLOW_PARTS = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")
_TABLE_END = (0xDB4775248B80FB57).to_bytes(8, "little")
"""What TensorFlow's older checkpoints of one file end with."""


def tensorflow_prefix(file: Path) -> Path | None:
    """What TensorFlow calls the checkpoint that ``file`` is, or is a part of; None for others.

    ``file`` may be the folder of a checkpoint, its prefix, one of its files, or a file of the older
    kind.
    """
    if os.path.isdir(file):
        # "checkpoint" in it names the newest by a line of text, which may point anywhere.
        found = sorted(file.glob("*.index"), key=lambda path: path.stat().st_mtime)
        if found:
            return found[-1].with_suffix("")
        return next((path for path in sorted(file.glob("*.ckpt")) if _is_table(path)), None)
    if part := _TENSORFLOW_PARTS.fullmatch(file.name):
        return file.with_name(part[1])
    if os.path.isfile(file):
        return file if _is_table(file) else None
    return file if os.path.isfile(f"{file}.index") else None


def _is_table(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            stream.seek(-len(_TABLE_END), os.SEEK_END)
            return stream.read() == _TABLE_END
    except OSError:
        return False


def files_of(prefix: Path) -> list[Path]:
    """The files of numbers of the checkpoint that TensorFlow calls ``prefix``."""
    if os.path.isfile(prefix):
        return [prefix]
    escaped = re.sub(r"([\[\]*?])", r"[\1]", prefix.name)
    return [Path(f"{prefix}.index"), *sorted(prefix.parent.glob(f"{escaped}.data-*"))]


def bytes_of(prefix: Path) -> int:
    """Bytes of those files together; 0 where one cannot be looked at."""
    try:
        return sum(file.stat().st_size for file in files_of(prefix))
    except OSError:
        return 0
