"""One picture in, one stylized picture out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rtstyle.backends import Stylizer
from rtstyle.media import check_image_output, read_image, write_image
from rtstyle.memory import memory_told
from rtstyle.pipeline.brush import Style, check_choice, open_brush
from rtstyle.types import DEFAULT_LIMITS, Limits, Pixels


@memory_told("while a picture was stylized")
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
        # A copy, since at strength 0 the picture itself is handed back.
        pixels = _checked(source).copy()
    with open_brush(
        style, strength=strength, backend=backend, precision=precision, stylizer=stylizer
    ) as brush:
        painted: Pixels = brush(pixels[np.newaxis])[0]
    if output is not None:
        write_image(Path(output), painted, overwrite=overwrite)
    return painted


def can_write(path: Path) -> bool:
    """Whether the ending of ``path`` names a kind of picture that can be written."""
    return bool(path.suffix) and cv2.haveImageWriter(f"x{path.suffix.lower()}")


def _checked(pixels: Pixels) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"a picture must be (H, W, 3), got {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise TypeError(f"a picture must be uint8, got {pixels.dtype}")
    return pixels
