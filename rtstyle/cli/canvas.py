"""Drawing with sub-pixel places, in units of the picture's height, on an RGB array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from rtstyle.texts import printable
from rtstyle.types import Pixels

Point = tuple[float, float]
Rgb = tuple[int, int, int]

_SHIFT = 5
_ONE = 1 << _SHIFT


def noise_tile(
    height: int,
    width: int,
    cell: float,
    octaves: int,
    rng: np.random.Generator,
    *,
    stretch: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Fractal noise in 0..1, float32 ``(height, width)``, that repeats seamlessly both ways.

    ``cell`` is the height in pixels of the coarsest blobs, ``stretch`` their width over it.
    """
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for octave in range(octaves):
        rows = max(2, round(height / cell * 2**octave))
        columns = max(2, round(width / (cell * stretch) * 2**octave))
        grid = rng.random((min(rows, height), min(columns, width)), np.float32)
        padded = np.pad(grid, 2, mode="wrap")
        step_y, step_x = height / grid.shape[0], width / grid.shape[1]
        size = (round(padded.shape[1] * step_x), round(padded.shape[0] * step_y))
        grown = cv2.resize(padded, size, interpolation=cv2.INTER_CUBIC)
        top, left = round(2 * step_y), round(2 * step_x)
        total += weight * grown[top : top + height, left : left + width]
        weight *= 0.5
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


class Canvas:
    """Draws on ``pixels`` in place; coordinates and lengths count 1/360 of the height."""

    def __init__(self, pixels: Pixels, origin: Point = (0.0, 0.0), scale: float = 1.0) -> None:
        self.pixels = pixels
        self._unit = pixels.shape[0] / 360.0 * scale
        self._origin = (origin[0] * pixels.shape[0] / 360.0, origin[1] * pixels.shape[0] / 360.0)
        self._scale = scale

    def at(self, x: float, y: float, scale: float = 1.0) -> Canvas:
        """The same picture seen from ``(x, y)``, everything ``scale`` times as large."""
        unit = self.pixels.shape[0] / 360.0
        origin = (
            (self._origin[0] + x * self._unit) / unit,
            (self._origin[1] + y * self._unit) / unit,
        )
        return Canvas(self.pixels, origin, self._scale * scale)

    def polygon(self, points: Iterable[Point], colour: Rgb) -> None:
        """A filled polygon."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], colour, cv2.LINE_AA, _SHIFT)

    def line(self, points: Iterable[Point], colour: Rgb, width: float) -> None:
        """An open line with round joints, ``width`` units wide."""
        thickness = max(1, round(width * self._unit))
        fixed = [self._fixed(points)]
        cv2.polylines(self.pixels, fixed, False, colour, thickness, cv2.LINE_AA, _SHIFT)

    def ellipse(
        self,
        centre: Point,
        radii: Point,
        colour: Rgb,
        *,
        turn: float = 0.0,
        arc: Point = (0.0, 360.0),
        width: float | None = None,
    ) -> None:
        """A filled ellipse, or with ``width`` its outline; angles in degrees, clockwise."""
        thickness = -1 if width is None else max(1, round(width * self._unit))
        point = self._fixed([centre])[0]
        axes = (round(radii[0] * self._unit * _ONE), round(radii[1] * self._unit * _ONE))
        place = (int(point[0]), int(point[1]))
        cv2.ellipse(self.pixels, place, axes, turn, *arc, colour, thickness, cv2.LINE_AA, _SHIFT)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Rgb) -> None:
        """A filled upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def text(self, centre: Point, words: str, size: float, colour: Rgb, weight: int = 2) -> None:
        """``words`` centred on a point, capitals about ``size`` units high."""
        words = printable(words)
        font, scale = cv2.FONT_HERSHEY_SIMPLEX, size * self._unit / 22.0
        (width, height), _ = cv2.getTextSize(words, font, scale, weight)
        x, y = self._fixed([centre])[0] / _ONE
        place = (round(float(x) - width / 2), round(float(y) + height / 2))
        cv2.putText(self.pixels, words, place, font, scale, colour, weight, cv2.LINE_AA)

    def _fixed(self, points: Iterable[Point]) -> npt.NDArray[np.int32]:
        scaled = np.asarray(list(points), np.float64) * self._unit + self._origin
        return np.asarray(np.rint(scaled * _ONE), np.int32)


def curve(points: Sequence[Point], steps: int = 10) -> list[Point]:
    """A smooth line through ``points`` (Catmull-Rom)."""
    ends = [points[0], *points, points[-1]]
    way: list[Point] = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for step in range(steps):
            t = step / steps
            x, y = (
                0.5
                * (
                    2 * b[k]
                    + (c[k] - a[k]) * t
                    + (2 * a[k] - 5 * b[k] + 4 * c[k] - d[k]) * t**2
                    + (3 * b[k] - a[k] - 3 * c[k] + d[k]) * t**3
                )
                for k in (0, 1)
            )
            way.append((x, y))
    return [*way, points[-1]]
