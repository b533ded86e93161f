"""Still pictures, read and written whole; moving ones and pages are their like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtstyle.errors import DiskFull, OutputExists, OutputNotWritable
from rtstyle.files import is_disk_full, write_whole
from rtstyle.media.deep import to_bytes
from rtstyle.media.facts import Facts
from rtstyle.media.header import is_whole
from rtstyle.media.output import check_destination, is_film_name
from rtstyle.media.picture_codec import Motion, can_write, encode
from rtstyle.media.picture_file import Leaf, PictureFile
from rtstyle.media.streams import check_readable
from rtstyle.media.under import AnyAlpha, on_white
from rtstyle.types import DEFAULT_LIMITS, AnyPixels, Limits, Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture file's content: the first of several."""

    pixels: AnyPixels
    """uint8 or uint16 ``(H, W, 3)`` RGB, upright."""
    alpha: AnyAlpha | None
    """``(H, W)`` of the type of ``pixels``; None where all is opaque."""
    bits: int
    """A sample in the file: 8, 16 or 32 (floating point)."""
    whole: bool
    """Whether the file goes on to the end of its picture; decoders fill what is cut off."""
    count: int = 1
    """Pictures in the file."""

    @property
    def transparent(self) -> bool:
        """Whether anything of it is."""
        return self.alpha is not None


def open_picture(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> PictureFile:
    """Open a picture file, moving or not; use it as a context.

    Raises NotAVideo where it is missing or no picture, CorruptInput where it is damaged,
    LimitExceeded before anything of its size is allocated.
    """
    return PictureFile(check_readable(path, "picture"), limits)


def read_image(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Pixels:
    """A picture file as uint8 ``(H, W, 3)`` RGB, turned upright as its Exif data says.

    Grey pictures get three equal channels, 16-bit ones are rounded to 8, transparent ones are laid
    on white; of several in a file it is the first. Raises what ``open_picture`` raises,
    and BackendOutOfMemory where there is no memory for it.
    """
    picture = read_picture(path, limits=limits)
    if picture.alpha is None:
        return to_bytes(picture.pixels)
    return to_bytes(on_white(picture.pixels, picture.alpha))


def read_picture(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """As ``read_image``, with what it does not tell, and all that it leaves out."""
    with open_picture(path, limits=limits) as file:
        leaf = file.first()
        return Picture(leaf.pixels, leaf.alpha, file.bits, is_whole(file.data), file.count)


def write_image(path: str | Path, pixels: Pixels, *, overwrite: bool = False) -> None:
    """Write uint8 ``(H, W, 3)`` RGB in the format of the extension; whole or not at all.

    Raises OutputExists, OutputNotWritable (folder, or an extension nobody can write), DiskFull.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
    write_leaves(Path(path), [Leaf(pixels)], overwrite=overwrite)


def write_leaves(
    path: Path,
    leaves: Sequence[Leaf],
    *,
    facts: Facts | None = None,
    motion: Motion | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a picture, or several into one file (see ``encode``), with what is said of it; a
    sentence for each thing that the file could not take. Raises what ``write_image`` raises."""
    check_image_output(path, overwrite=overwrite)
    data, notes = encode(path, leaves, facts or Facts(), motion)
    _place(path, data, overwrite)
    return notes


def check_image_output(path: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """Refuse a picture's destination that cannot work, before anything is loaded."""
    if not can_write(path):
        said = f"extension {path.suffix!r} is unknown" if path.suffix else "has no extension"
        if is_film_name(path):
            raise OutputNotWritable(
                f"{path.name}: a film, not a picture; use rtstyle video (stylize_video), or .png"
            )
        raise OutputNotWritable(f"{path.name}: {said}; use .png, .jpg or .webp")
    check_destination(path, source=source, overwrite=overwrite)


def _place(path: Path, data: bytes, overwrite: bool) -> None:
    try:
        write_whole(path, data, overwrite=overwrite)
    except FileExistsError:
        raise OutputExists(f"{str(path)!r} appeared meanwhile; choose another name") from None
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"{path.name}: no room left on the disk; free some space") from None
        raise OutputNotWritable(
            f"{path.name} cannot be written ({error.strerror}); choose another folder"
        ) from None
