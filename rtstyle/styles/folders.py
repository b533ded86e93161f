"""Where a user's own things are kept: what can be fetched or made again, and what cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache_folder() -> Path:
    """``rtstyle`` in the user's cache folder of this system; not made here.

    XDG_CACHE_HOME counts everywhere where it is an absolute path.
    """
    return (_named("XDG_CACHE_HOME") or _of_the_system("Caches", ".cache")) / "rtstyle"


def user_data_folder() -> Path:
    """``rtstyle`` in the place the system keeps an application's data in; not made here.

    XDG_DATA_HOME counts everywhere where it is an absolute path; but macOS and Windows have a place
    of their own, and where that holds a folder of ours already, it stays the one.
    """
    named = _named("XDG_DATA_HOME")
    if named is None:
        return _of_the_system("Application Support", ".local/share") / "rtstyle"
    if sys.platform in ("win32", "darwin"):
        usual = _of_the_system("Application Support", "") / "rtstyle"
        if (usual / "styles").is_dir():
            return usual
    return named / "rtstyle"


def _named(variable: str) -> Path | None:
    """The folder that a variable names; None for a relative one, as the XDG specification has it,
    since that would be another one for each folder that a command is run in."""
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else None


def _of_the_system(apple: str, other: str) -> Path:
    """``apple`` is its name in macOS's Library, ``other`` in a home folder elsewhere."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / apple
    return Path.home() / other
