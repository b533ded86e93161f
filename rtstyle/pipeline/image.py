"""One picture in, one stylized picture out."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from rtstyle.backends import Stylizer
from rtstyle.errors import OutputExists, OutputNotWritable
from rtstyle.media import read_image, write_image
from rtstyle.pipeline.brush import Style, check_choice, open_brush
from rtstyle.types import DEFAULT_LIMITS, Limits, Pixels


def stylize_image(
    source: str | Path | Pixels,
    style: Style | None,
    *,
    output: str | Path | None = None,
    strength: float = 1.0,
    backend: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    stylizer: Stylizer | None = None,
) -> Pixels:
    """Stylize one picture and return it as uint8 ``(H, W, 3)`` RGB; write it where ``output`` says.

    ``source`` is a file or uint8 ``(H, W, 3)`` RGB. ``style`` is a bundled style's name, a pack
    folder, an ONNX file or a StyleSpec; ``stylizer`` one that is loaded already (then ``style``
    may be None, ``backend`` and ``precision`` are not looked at, and it stays open).
    ``strength`` 0..1 mixes the stylized picture with the source; 0 is the source.

    Raises UsageError, InputError, OutputError, ModelError and BackendError; ValueError or
    TypeError where an array is not a picture. What can be refused is refused before the style is
    loaded, and a refused or failed call leaves no file.
    """
    check_choice(strength=strength, backend=backend, precision=precision)
    file = Path(source) if isinstance(source, str | Path) else None
    if output is not None:
        check_image_output(Path(output), source=file, overwrite=overwrite)
    if isinstance(source, str | Path):
        pixels = read_image(source, limits=limits)
    else:
        pixels = _checked(source)
    with open_brush(
        style, strength=strength, backend=backend, precision=precision, stylizer=stylizer
    ) as brush:
        painted = brush(pixels)
    if output is not None:
        write_image(Path(output), painted, overwrite=overwrite)
    return painted


def check_image_output(output: Path, *, source: Path | None, overwrite: bool) -> None:
    """Refuse what can be refused before anything is read or loaded: OutputError."""
    folder = output.parent
    if not folder.is_dir():
        raise OutputNotWritable(f"{output}: there is no folder {folder}; make it first")
    if output.is_dir():
        raise OutputNotWritable(f"{output} is a folder; name a file in it")
    if not can_write(output):
        raise OutputNotWritable(
            f"{output}: cannot write pictures as {output.suffix or 'a file without extension'!r}; "
            "use .png, .jpg or .webp"
        )
    if not os.access(folder, os.W_OK):
        raise OutputNotWritable(f"{output}: the folder {folder} refuses new files")
    if source is not None and output.exists() and source.exists() and output.samefile(source):
        raise OutputExists(f"{output} is the source itself; choose another name")
    if output.exists() and not overwrite:
        raise OutputExists(f"{output} exists already; choose another name or allow overwriting")


def can_write(path: Path) -> bool:
    """Whether the ending of ``path`` names a kind of picture that can be written."""
    return bool(path.suffix) and cv2.haveImageWriter(f"x{path.suffix.lower()}")


def _checked(pixels: Pixels) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"a picture must be (H, W, 3), got {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise TypeError(f"a picture must be uint8, got {pixels.dtype}")
    return pixels
