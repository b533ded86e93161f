"""The colours of distillation targets: a teacher's lines and texture in a photo's own tone.

A teacher's tone is not worth learning: published CartoonGAN weights darken skies, redden faces and
leave stripes and grain on what is flat. So a target is the photo, smoothed between its edges, with
the teacher's fine detail on top, and then graded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from rtstyle.errors import UsageError
from rtstyle.types import Pixels

Floats = NDArray[np.float32]
Triple = tuple[float, float, float]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_RADIUS = 8
"""Pixels; what is coarser than such a window, between edges, is tone."""
_EDGE = 0.01
"""Variance, of levels in [0, 1], from which on a window holds an edge: a contrast of 0.1."""
_GRAIN_RADIUS = 2
_GRAIN = 0.0015
"""The same two for the grain that a teacher's transposed convolutions leave: 0.04 is none."""
LINES = 1.25
"""Of the teacher's detail, which the loss would otherwise find cheaper to leave out."""
_FLAT_SIGMA = 5.0
_FLAT, _TEXTURED = 2.0, 7.0
"""Local deviations of luma, 0..255: below the first none of the teacher's detail is taken."""


@dataclass(frozen=True, slots=True)
class Grade:
    """A colour grade for levels in [0, 1]; by default it changes nothing.

    Raises UsageError for values that are not finite, or a negative saturation or contrast.
    """

    saturation: float = 1.0
    """Factor of the distance from grey."""
    contrast: float = 0.0
    """Slope added in the middle greys; black and white stay."""
    shadows: Triple = (0.0, 0.0, 0.0)
    """RGB added to black, less to what is lighter."""
    lights: Triple = (0.0, 0.0, 0.0)
    """RGB added to white, less to what is darker."""

    def __post_init__(self) -> None:
        values = (self.saturation, self.contrast, *self.shadows, *self.lights)
        if not all(map(math.isfinite, values)) or self.saturation < 0 or self.contrast < 0:
            raise UsageError(
                f"a grade needs finite numbers, saturation and contrast >= 0, found {self}"
            )
        if len(self.shadows) != 3 or len(self.lights) != 3:
            raise UsageError(f"a grade's shadows and lights are three numbers each, found {self}")

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self != Grade()

    def __call__(self, picture: Pixels) -> Pixels:
        """uint8 ``(..., 3)`` RGB -> graded, the same shape."""
        return _levels(self.of(_floats(picture))) if self.changes else picture

    def of(self, picture: Floats) -> Floats:
        """The same for float32 levels in [0, 1], not clipped."""
        luma = (picture @ _LUMA)[..., None]
        graded = luma + (picture - luma) * np.float32(self.saturation)
        middle = 4 * luma * (1 - luma)
        graded = graded + np.float32(self.contrast) * (graded - 0.5) * middle
        graded += (1 - luma) ** 2 * np.asarray(self.shadows, np.float32)
        graded += luma**2 * np.asarray(self.lights, np.float32)
        return np.asarray(graded, np.float32)


def with_tone(
    rendered: Pixels, photo: Pixels, grade: Grade | None = None, *, lines: float = LINES
) -> Pixels:
    """The teacher's lines and texture in the photo's tone: two uint8 ``(H, W, 3)`` -> the same.

    ``lines`` is a factor of the teacher's fine detail.

    Both are split into base and detail by a guided filter (He, Sun and Tang, "Guided Image
    Filtering", ECCV 2010, section 3) with the photo as guide, so that no halo stands along edges.
    Where the photo is flat nothing is drawn: a teacher has drips and hatching for clear skies.
    """
    wanted, drawn = _floats(photo), _floats(rendered)
    drawn = _guided(drawn, drawn, _GRAIN_RADIUS, _GRAIN)
    detail = drawn - _guided(wanted, drawn, _RADIUS, _EDGE)
    toned = _guided(wanted, wanted, _RADIUS, _EDGE) + detail * np.float32(lines) * _texture(wanted)
    return _levels(toned if grade is None else grade.of(toned))


def _guided(guide: Floats, picture: Floats, radius: int, variance: float) -> Floats:
    """``picture`` as a locally linear function of ``guide``, channel by channel."""
    side = (2 * radius + 1, 2 * radius + 1)
    mean = partial(cv2.boxFilter, ddepth=-1, ksize=side, borderType=cv2.BORDER_REFLECT_101)
    of_guide, of_picture = mean(guide), mean(picture)
    covariance = mean(guide * picture) - of_guide * of_picture
    slope = covariance / (mean(guide * guide) - of_guide**2 + variance)
    offset = of_picture - slope * of_guide
    return np.asarray(mean(slope) * guide + mean(offset), np.float32)


def _texture(photo: Floats) -> Floats:
    """``(H, W, 1)``: 0 where the photo is flat, 1 where it has texture or an edge."""
    luma = photo @ _LUMA
    blurred = partial(
        cv2.GaussianBlur, ksize=(0, 0), sigmaX=_FLAT_SIGMA, borderType=cv2.BORDER_REFLECT_101
    )
    variance = np.maximum(blurred(luma * luma) - blurred(luma) ** 2, 0)
    share = (np.sqrt(variance) * 255 - _FLAT) / (_TEXTURED - _FLAT)
    return np.asarray(np.clip(share, 0, 1), np.float32)[..., None]


def _floats(picture: Pixels) -> Floats:
    return picture.astype(np.float32) / np.float32(255)


def _levels(picture: Floats) -> Pixels:
    return np.asarray(np.clip(np.rint(picture * 255), 0, 255), dtype=np.uint8)
