"""Still pictures, read and written whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from rtstyle.errors import (
    CorruptInput,
    DiskFull,
    LimitExceeded,
    NotAVideo,
    OutputExists,
    OutputNotWritable,
)
from rtstyle.files import is_disk_full, write_whole
from rtstyle.media.header import is_whole, may_be_transparent, picture_size
from rtstyle.media.output import check_destination
from rtstyle.media.streams import check_readable
from rtstyle.memory import available_memory, out_of_memory, says_out_of_memory
from rtstyle.types import DEFAULT_LIMITS, Limits, Pixels, Size

_WHITE = 255
_LEAST_BYTES = 6
"""A pixel: decoded in the order of OpenCV, and then in that of everybody else."""
_QUALITY = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 95],
}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture file's content, and what was lost in making it 8-bit RGB."""

    pixels: Pixels
    """uint8 ``(H, W, 3)`` RGB, upright."""
    bits: int
    """A sample in the file: 8, 16 or 32 (floating point)."""
    transparent: bool
    """Whether it has an alpha channel; it was then laid on white."""
    whole: bool
    """Whether the file goes on to the end of its picture; decoders fill what is cut off."""


def read_image(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Pixels:
    """A picture file as uint8 ``(H, W, 3)`` RGB, turned upright as its EXIF data says.

    Grey pictures get three equal channels, 16-bit ones are rounded to 8, transparent ones are laid
    on white. Raises NotAVideo where the file is missing or no picture, CorruptInput where it cannot
    be decoded, LimitExceeded before anything of its size is allocated, BackendOutOfMemory where
    there is no memory for it.
    """
    return read_picture(path, limits=limits).pixels


def read_picture(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """As ``read_image``, with what it does not tell."""
    path = check_readable(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotAVideo(f"{str(path)!r} cannot be read ({error.strerror}); check it") from None
    size = picture_size(data)
    if size is not None:
        _check_size(path, size, limits)
        _check_memory(size)
    decoded = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if decoded is None:
        if size is not None:
            # OpenCV swallows its own want of memory and gives nothing.
            _check_memory(size)
            raise CorruptInput(f"{str(path)!r} is damaged; copy or download it again")
        raise NotAVideo(f"{str(path)!r} is not a picture that can be read; save it as PNG or JPEG")
    _check_size(path, Size(decoded.shape[1], decoded.shape[0]), limits)
    bits, transparent = 8 * decoded.dtype.itemsize, False
    if may_be_transparent(data):
        layered = _decode(data, cv2.IMREAD_UNCHANGED)
        if layered is not None and layered.ndim == 3 and layered.shape[2] == 4:
            decoded, transparent = _lay_on_white(layered), True
    pixels = cast(Pixels, cv2.cvtColor(_to_8_bits(decoded), cv2.COLOR_BGR2RGB))
    return Picture(pixels, bits, transparent, is_whole(data))


def _decode(data: bytes, flags: int) -> npt.NDArray[np.generic] | None:
    try:
        # Typed as never None, which it is for what OpenCV cannot read.
        picture: npt.NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if says_out_of_memory(error):
            raise out_of_memory("while a picture was read") from error
        return None
    return picture


def _check_size(path: Path, size: Size, limits: Limits) -> None:
    if size.width * size.height > limits.max_pixels:
        raise LimitExceeded(
            f"{str(path)!r}: {size} is more than the {limits.max_pixels} pixels allowed; "
            "scale it down first"
        )


def _check_memory(size: Size) -> None:
    """Refuse a picture that there is no memory for, as it is decoded and as it is given on."""
    room = available_memory()
    if room is not None and room.bytes < _LEAST_BYTES * size.width * size.height:
        raise out_of_memory(f"before a picture of {size} was read")


def _to_8_bits(picture: npt.NDArray[np.generic]) -> Pixels:
    if picture.dtype == np.uint8:
        return cast(Pixels, picture)
    if picture.dtype == np.uint16:
        return np.rint(picture.astype(np.float32) / 257).astype(np.uint8)
    return np.clip(np.rint(picture.astype(np.float32) * 255), 0, 255).astype(np.uint8)


def _lay_on_white(picture: npt.NDArray[np.generic]) -> Pixels:
    alpha = _to_8_bits(picture[..., 3:]).astype(np.float32) / 255
    colour = _to_8_bits(picture[..., :3]).astype(np.float32)
    return np.rint(colour * alpha + _WHITE * (1 - alpha)).astype(np.uint8)


def write_image(path: str | Path, pixels: Pixels, *, overwrite: bool = False) -> None:
    """Write uint8 ``(H, W, 3)`` RGB in the format of the extension; whole or not at all.

    Raises OutputExists, OutputNotWritable (folder, or an extension OpenCV cannot write), DiskFull.
    """
    path = Path(path)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
    check_image_output(path, overwrite=overwrite)
    suffix = path.suffix.lower()
    try:
        done, data = cv2.imencode(
            suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _QUALITY.get(suffix, [])
        )
    except cv2.error as error:
        if says_out_of_memory(error):
            raise out_of_memory(f"while {path.name} was encoded") from error
        done = False
    if not done:
        raise OutputNotWritable(
            f"{path.name}: {pixels.shape[1]}x{pixels.shape[0]} does not fit into {suffix}; "
            "use a .png name"
        )
    _place(path, data.tobytes(), overwrite)


def check_image_output(path: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """Refuse a picture's destination that cannot work, before anything is loaded."""
    suffix = path.suffix.lower()
    if not suffix or not cv2.haveImageWriter(f"x{suffix}"):
        said = f"extension {path.suffix!r} is unknown" if path.suffix else "has no extension"
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
