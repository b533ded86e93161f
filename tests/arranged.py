"""Files put where a run could be in their way, and the command run among them."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from rtstyle.cli.main import main

TOKEN = "0123456789abcdef"
"""As random as the names of unfinished files, for strangers that are called alike."""
QUICK = ("--strength", "0", "--preset", "ultrafast")
FLAGS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "overwrite": ("--overwrite",),
    "resume": ("--resume",),
    "both": ("--resume", "--overwrite"),
}


def run(*arguments: object) -> Result:
    """``rtstyle video`` in this process."""
    return CliRunner().invoke(main, ["video", *map(str, arguments)])


def copy(place: Path, name: str, of: str = "src.mp4") -> Path:
    """A copy of a film in ``place``; folders are made where they are missing."""
    return Path(shutil.copy(place / of, _made(place / name)))


def link(place: Path, name: str, of: str = "src.mp4") -> Path:
    """Another name, a hard link, of a film in ``place``."""
    os.link(place / of, _made(place / name))
    return place / name


def soft(place: Path, name: str, to: str) -> Path:
    """A symlink; ``to`` is seen from its folder."""
    _made(place / name).symlink_to(to)
    return place / name


def stranger(place: Path, name: str, text: str = "precious") -> Path:
    """A file that is no business of ours."""
    _made(place / name).write_text(text)
    return place / name


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class TooLong(BaseException):
    """Ends what hangs; no handler of a program expects it."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise TooLong where what is inside takes longer; for the main thread."""

    def ring(*_: object) -> None:
        raise TooLong(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
