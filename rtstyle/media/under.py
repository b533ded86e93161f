"""What lies under transparency: colours that a net may look at without painting a halo."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from rtstyle.types import AnyPixels

AnyAlpha = npt.NDArray[Any]
"""uint8 or uint16 ``(H, W)``: 0 transparent, the largest number opaque."""


def extend_colours(pixels: AnyPixels, alpha: AnyAlpha) -> AnyPixels:
    """``pixels`` with the nearest visible colour wherever ``alpha`` is 0.

    What is stored there is never seen, and often black: a net that looks at it paints a dark rim
    around what is seen. Visible pixels stay as they are; so does a picture without any.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return pixels
    _, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # A label for each visible pixel, and that of the nearest one everywhere else.
    nearest = np.zeros((int(labels.max()) + 1, 3), pixels.dtype)
    nearest[labels[~hidden]] = pixels[~hidden]
    extended = pixels.copy()
    extended[hidden] = nearest[labels[hidden]]
    return extended


def on_white(pixels: AnyPixels, alpha: AnyAlpha) -> AnyPixels:
    """``pixels`` laid on white, for what cannot be transparent; of the same type."""
    white = float(np.iinfo(pixels.dtype).max)
    share = (alpha.astype(np.float32) / float(np.iinfo(alpha.dtype).max))[..., None]
    laid = pixels.astype(np.float32) * share + white * (1 - share)
    return cast(AnyPixels, np.rint(laid).astype(pixels.dtype))
