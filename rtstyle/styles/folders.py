"""Where a user's files are kept: styles, and what can be fetched or made again.

The one place that asks for the home folder. There may be none (a service, a container with a user
that no list knows): whoever asks here then gets an error that says what to set, and what could
be done without, as a cache can, is done without.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rtstyle.errors import OutputNotWritable

STYLES_VARIABLE = "RTSTYLE_STYLES"
"""Names the folder of a user's own styles."""


def user_cache_folder() -> Path:
    """``rtstyle`` in the user's cache folder of this system; not made here.

    XDG_CACHE_HOME counts everywhere where it is an absolute path. Raises OutputNotWritable where
    no such folder is known.
    """
    base = _named("XDG_CACHE_HOME") or _below(
        windows=("AppData", "Local"), mac=("Library", "Caches"), other=(".cache",)
    )
    if base is None:
        raise _no_home("XDG_CACHE_HOME to a folder for what is fetched")
    return base / "rtstyle"


def user_styles_folder() -> Path:
    """Where a user's own styles lie: RTSTYLE_STYLES, else ``rtstyle/styles`` in the place where
    the system keeps an application's data; not made here.

    XDG_DATA_HOME counts on Linux where it is an absolute path. Raises OutputNotWritable where no
    such folder is known.
    """
    if chosen := os.environ.get(STYLES_VARIABLE):
        return Path(os.path.abspath(chosen))
    named = _named("XDG_DATA_HOME") if sys.platform not in ("win32", "darwin") else None
    base = named or _below(
        windows=("AppData", "Local"),
        mac=("Library", "Application Support"),
        other=(".local", "share"),
    )
    if base is None:
        raise _no_home(f"{STYLES_VARIABLE} to a folder for styles of your own")
    return base / "rtstyle" / "styles"


def _no_home(remedy: str) -> OutputNotWritable:
    return OutputNotWritable(
        f"no home folder is known here (HOME is not set, or no absolute path); set {remedy}"
    )


def _below(
    *, windows: tuple[str, ...], mac: tuple[str, ...], other: tuple[str, ...]
) -> Path | None:
    """A place in the home folder, whose name differs between systems."""
    if sys.platform == "win32":
        local = _named("LOCALAPPDATA")
        if local is not None:
            return local
        parts = windows
    else:
        parts = mac if sys.platform == "darwin" else other
    home = _home()
    return None if home is None else home.joinpath(*parts)


def _home() -> Path | None:
    # An empty HOME would be the root of the file system.
    if sys.platform != "win32" and "HOME" in os.environ:
        return _named("HOME")
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        return None
    return home if home.is_absolute() else None


def _named(variable: str) -> Path | None:
    """The folder that a variable names; only an absolute one means the same everywhere."""
    named = os.environ.get(variable, "")
    return Path(named) if named and Path(named).is_absolute() else None
