"""The user's own styles: packs in one folder, found by name like the bundled ones.

The folder is ``RTSTYLE_STYLES`` where that is set, else ``rtstyle/styles`` in the place the system
keeps an application's data in. What is replaced or removed in it is a pack and nothing else: a
folder with any other file in it is left as it is.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rtstyle.errors import (
    DiskFull,
    ModelError,
    OutputExists,
    OutputNotWritable,
    UnknownStyle,
    UsageError,
)
from rtstyle.files import is_disk_full, rename_new
from rtstyle.styles.admission import brief
from rtstyle.styles.folders import STYLES_VARIABLE, user_styles_folder
from rtstyle.styles.pack import discard_pack, foreign_entry, load_pack, write_pack
from rtstyle.styles.spec import NAME_PATTERN, PACK_FILE, SizeRule, StyleSpec

_ASIDE = "."
"""Names beginning so are packs half written or half removed; no style's name can."""


@dataclass(frozen=True, slots=True)
class UserStyles:
    """What lies in the user's folder."""

    specs: tuple[StyleSpec, ...]
    """By name."""
    broken: tuple[str, ...]
    """Why a folder there is no style, one line each."""


def user_folder() -> Path:
    """Where imported styles lie; need not exist. Raises OutputNotWritable where none is known."""
    return user_styles_folder()


def _known_folder() -> Path | None:
    with suppress(OutputNotWritable):
        return user_folder()
    return None


def user_styles() -> UserStyles:
    """Every pack in the user's folder; one that is broken hides no other."""
    try:
        root = user_folder()
        names = sorted(name for name in os.listdir(root) if NAME_PATTERN.fullmatch(name))
    except FileNotFoundError:
        return UserStyles((), ())
    except OutputNotWritable as error:
        return UserStyles((), (str(error),))
    except OSError as error:
        return UserStyles((), (str(_unreadable(root, error)),))
    specs: list[StyleSpec] = []
    broken: list[str] = []
    for name in names:
        try:
            if (spec := find_user_style(name)) is not None:
                specs.append(spec)
        except ModelError as error:
            broken.append(f"{error}, or remove it: rtstyle styles remove {name}")
        except Exception as error:
            # What nobody foresaw in one card hides no other style either.
            broken.append(f"{name}: {error!r}; remove it: rtstyle styles remove {name}")
    return UserStyles(tuple(specs), tuple(broken))


def find_user_style(name: str) -> StyleSpec | None:
    """The imported style of that name, None where there is none; ModelError where it is broken."""
    root = _known_folder()
    if root is None or not NAME_PATTERN.fullmatch(name) or not _holds_card(root / name):
        return None
    spec = load_pack(root / name)
    if spec.name != name:
        raise ModelError(f"the imported style {name} calls itself {spec.name}; import it again")
    return spec


def _holds_card(folder: Path) -> bool:
    try:
        os.stat(folder / PACK_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # reading it says why
        return True
    return True


def check_new_name(name: str, *, taken: tuple[str, ...], overwrite: bool) -> None:
    """Raise UsageError for no name or a bundled style's, OutputExists for one in use, or in use for
    what is no style even with ``overwrite``."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{brief(name)!r} is no name of a style: use a-z, 0-9, - and _, at most 64 of them"
        )
    if name in taken:
        raise UsageError(f"{name} is a bundled style; choose another name with --as")
    if os.path.lexists(user_folder() / name):
        if not overwrite:
            raise OutputExists(
                f"there is an imported style {name} already; choose another name with --as, "
                "or give --overwrite"
            )
        _check_discardable(user_folder() / name)


def install(
    name: str,
    *,
    model: bytes,
    title: str,
    family: str,
    size_rule: SizeRule,
    licence: str,
    source: str,
    measured: dict[str, float],
    overwrite: bool = False,
) -> StyleSpec:
    """Put a pack into the user's folder under ``name``, whole or not at all.

    Raises what ``write_pack`` raises, OutputExists where the name is in use unless ``overwrite``.
    """
    root = user_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f"{_ASIDE}import-", dir=root))
    except OSError as error:
        raise _unwritable(root, error) from error
    try:
        write_pack(
            aside / name,
            model=model,
            name=name,
            title=title,
            family=family,
            size_rule=size_rule,
            licence=licence,
            source=source,
            measured=measured,
        )
        _swap(root / name, aside, overwrite=overwrite)
    finally:
        _discard(aside)
    return load_pack(root / name)


def _swap(place: Path, aside: Path, *, overwrite: bool) -> None:
    """Give the new pack in ``aside`` its place; one that is there goes into ``aside``."""
    old = aside / "old"
    try:
        if overwrite and os.path.lexists(place):
            _check_discardable(place)
            place.rename(old)
        rename_new(aside / place.name, place)
    except OSError as error:
        if old.exists() and not os.path.lexists(place):
            old.rename(place)
        if isinstance(error, FileExistsError):
            raise OutputExists(
                f"there is an imported style {place.name} already; choose another name with --as"
            ) from error
        raise _unwritable(place.parent, error) from error


def remove(name: str) -> Path:
    """Delete the imported style ``name``, broken or not; returns where it lay.

    Raises UnknownStyle where there is none, OutputExists where the folder holds anything but a
    style, which is then left as it is, OutputNotWritable where it cannot be deleted.
    """
    root = user_folder()
    folder = root / name
    if not NAME_PATTERN.fullmatch(name) or not folder.is_dir() or folder.is_symlink():
        raise UnknownStyle(f"no imported style named {brief(name)}; see rtstyle styles list")
    _check_discardable(folder)
    try:
        # Renamed first, so that the name is gone at once, whatever interrupts the deleting.
        aside = Path(tempfile.mkdtemp(prefix=f"{_ASIDE}remove-", dir=root))
        folder.rename(aside / name)
    except OSError as error:
        raise _unwritable(folder, error) from error
    _discard(aside)
    return folder


def _unreadable(folder: Path, error: OSError) -> OutputNotWritable:
    reason = error.strerror or type(error).__name__
    return OutputNotWritable(
        f"the styles folder {folder} cannot be read ({reason}); check its rights, or choose "
        f"another with the variable {STYLES_VARIABLE}"
    )


def _check_discardable(folder: Path) -> None:
    """Raise OutputExists where more than a pack would be lost with the folder."""
    try:
        stranger = "" if folder.is_symlink() or not folder.is_dir() else foreign_entry(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if stranger is None:
        return
    found = f"holds {brief(stranger)}, which is no part of a style" if stranger else "is no folder"
    raise OutputExists(f"{folder} {found}, so nothing was removed; move that away first")


def _discard(aside: Path) -> None:
    """Delete the packs in a folder of this module's own, and that where nothing is left in it."""
    with contextlib.suppress(OSError):
        for folder in list(aside.iterdir()):
            discard_pack(folder)
        aside.rmdir()


def _unwritable(folder: Path, error: OSError) -> DiskFull | OutputNotWritable:
    if is_disk_full(error):
        return DiskFull(f"no room left in {folder}; free some and retry")
    reason = error.strerror or type(error).__name__
    return OutputNotWritable(
        f"the styles folder {folder} cannot be written ({reason}); check its rights, or choose "
        f"another with the variable {STYLES_VARIABLE}"
    )
