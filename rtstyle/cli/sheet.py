"""Pictures that compare: before and after side by side, and every style in a labelled grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from rtstyle.cli.canvas import Rgb
from rtstyle.texts import printable
from rtstyle.types import Pixels

_PAPER: Rgb = (250, 249, 246)
_INK: Rgb = (34, 36, 42)
_PALE: Rgb = (112, 116, 124)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_UNIT = 22.0
"""Height in pixels of this font's capitals at scale 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One picture of a sheet and what stands under it."""

    title: str
    detail: str
    pixels: Pixels
    """uint8 ``(H, W, 3)`` RGB."""


def before_after(before: Pixels, after: Pixels) -> Pixels:
    """``before`` and ``after``, of the same size, side by side with a thin line between.

    Returns uint8 ``(H, 2 W + 4, 3)`` RGB. Raises ValueError where the sizes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"pictures of one size are needed, got {before.shape}, {after.shape}")
    divider = np.full((before.shape[0], 4, 3), 255, np.uint8)
    joined = np.concatenate([before, divider, after], axis=1)
    size = max(9.0, before.shape[0] / 24)
    _tag(joined, "before", 0, size)
    _tag(joined, "after", before.shape[1] + 4, size)
    return joined


def draw_sheet(cells: Sequence[Cell], *, columns: int | None = None, width: int = 480) -> Pixels:
    """A grid of ``cells`` on paper, each picture ``width`` pixels wide with its label below.

    ``columns`` None takes what makes the sheet nearest to a wide screen. Returns uint8
    ``(H, W, 3)`` RGB. Raises ValueError where there are no cells or fewer than one column.
    """
    if not cells:
        raise ValueError("a sheet needs at least one cell")
    if columns is not None and columns < 1:
        raise ValueError(f"a sheet needs at least one column, got {columns}")
    pictures = [_at_width(cell.pixels, width) for cell in cells]
    margin, title, detail = max(8, width // 20), width / 24, width / 34
    label = round(margin * 0.5 + title + margin * 0.4 + detail + margin * 0.7)
    tall = max(picture.shape[0] for picture in pictures) + label
    across = columns or _pleasant_columns(len(cells), width + margin, tall + margin)
    across = min(across, len(cells))
    down = -(-len(cells) // across)
    shape = (down * (tall + margin) + margin, across * (width + margin) + margin, 3)
    sheet = np.full(shape, _PAPER, np.uint8)
    for place, (cell, picture) in enumerate(zip(cells, pictures, strict=True)):
        top = margin + place // across * (tall + margin)
        left = margin + place % across * (width + margin)
        sheet[top : top + picture.shape[0], left : left + width] = picture
        line = top + picture.shape[0] + margin * 0.5 + title
        _write(sheet, cell.title, left, line, title, _INK, width, 2)
        _write(sheet, cell.detail, left, line + margin * 0.4 + detail, detail, _PALE, width, 1)
    return sheet


def _pleasant_columns(count: int, wide: int, tall: int) -> int:
    def badness(columns: int) -> float:
        rows = -(-count // columns)
        empty = rows * columns - count
        return 0.6 * empty + abs(math.log(columns * wide / (rows * tall) / 1.6))

    return min(range(1, min(count, 6) + 1), key=badness)


def _at_width(pixels: Pixels, width: int) -> Pixels:
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    if pixels.shape[:2] == (height, width):
        return pixels
    way = cv2.INTER_AREA if width < pixels.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=way), np.uint8)


def _write(
    sheet: Pixels,
    words: str,
    left: float,
    baseline: float,
    size: float,
    colour: Rgb,
    room: int,
    weight: int,
) -> None:
    """One line of text, capitals ``size`` pixels high, less where it would not fit ``room``."""
    words, scale = _fitted(printable(words), size / _FONT_UNIT, room, weight)
    place = (round(left), round(baseline))
    cv2.putText(sheet, words, place, _FONT, scale, colour, weight, cv2.LINE_AA)


def _fitted(words: str, scale: float, room: int, weight: int) -> tuple[str, float]:
    """``words`` and a scale at which they fit ``room``: a little smaller, then cut short."""

    def width(text: str) -> int:
        return cv2.getTextSize(text, _FONT, scale, weight)[0][0]

    least = 0.7 * scale
    while width(words) > room and scale > least:
        scale *= 0.95
    cut = words
    while width(cut) > room and words:
        words = words[:-1].rstrip()
        cut = f"{words}..."
    return cut, scale


def _tag(picture: Pixels, words: str, left: int, size: float) -> None:
    """A small label in the lower left corner of the picture that begins at ``left``."""
    scale, pad = size * 0.62 / _FONT_UNIT, round(size * 0.55)
    (width, height), _ = cv2.getTextSize(words, _FONT, scale, 1)
    bottom = picture.shape[0] - pad
    top, right = bottom - height - 2 * pad, left + pad + width + 2 * pad
    corner = picture[max(top, 0) : bottom, left + pad : right]
    corner[:] = (corner * 0.25 + np.array(_INK) * 0.75).astype(np.uint8)
    place = (left + 2 * pad, bottom - pad)
    cv2.putText(picture, words, place, _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
