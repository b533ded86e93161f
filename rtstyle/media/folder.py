"""Films in folders: which files are taken for one, and what kind of file each becomes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rtstyle.errors import NotAVideo
from rtstyle.media.codecs import CODECS, EncodeOptions

VIDEO_ENDINGS = (
    ".3g2",
    ".3gp",
    ".asf",
    ".avi",
    ".dv",
    ".f4v",
    ".flv",
    ".m2ts",
    ".m2v",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".mxf",
    ".ogm",
    ".ogv",
    ".ts",
    ".vob",
    ".webm",
    ".wmv",
)
"""Endings, in any case, of the files that a folder's films are looked for among. A file that is
named itself may end as it likes."""

_FALLBACK = ".mkv"


def find_videos(folder: Path, *, without: Path | None = None) -> list[Path]:
    """Every file below ``folder`` with one of VIDEO_ENDINGS, in the order of their names.

    Hidden files and folders, links to folders, and the folder ``without`` are left out. Raises
    NotAVideo where a folder cannot be listed, or holds no film.
    """
    found = [path for path in _files(folder, without) if _is_video(path)]
    if not found:
        raise NotAVideo(
            f"{str(folder)!r} holds no file that ends as films do "
            f"({', '.join(VIDEO_ENDINGS)}); name the files themselves"
        )
    return found


def other_files(folder: Path, *, without: Path | None = None) -> dict[str, int]:
    """How many files below ``folder`` find_videos leaves aside for their endings, by ending in
    lower case; hidden ones are not counted. Raises NotAVideo."""
    return dict(
        Counter(path.suffix.lower() for path in _files(folder, without) if not _is_video(path))
    )


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_ENDINGS


def _files(folder: Path, without: Path | None) -> Iterator[Path]:
    left_out = None if without is None else os.path.realpath(without)
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) != left_out
        )
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise NotAVideo(
        f"folder {str(error.filename)!r} cannot be listed ({error.strerror}); "
        "check its access rights"
    )


def ending_for(source: Path, options: EncodeOptions) -> str:
    """The ending of a result that is named after ``source``: its own where that container can be
    written with these ``options``, else .mkv, which holds everything."""
    ending = source.suffix.lower()
    fits = ending in CODECS[options.codec].containers
    if not fits or (ending == ".webm" and options.audio == "aac"):
        return _FALLBACK
    return source.suffix
