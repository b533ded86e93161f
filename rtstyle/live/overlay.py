"""Words on the picture: speed, delay and drops, drawn for the viewer only."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from rtstyle.texts import printable
from rtstyle.types import Pixels

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overlay(pixels: Pixels, lines: Sequence[str]) -> Pixels:
    """A copy of uint8 ``(H, W, 3)`` RGB with white lines of text on a darkened ground, top left."""
    picture = pixels.copy()
    if not lines:
        return picture
    lines = [printable(line) for line in lines]
    height, width = picture.shape[:2]
    scale = max(0.35, min(1.2, height / 900))
    sizes = [cv2.getTextSize(line, _FONT, scale, 1)[0] for line in lines]
    widest = max(size[0] for size in sizes)
    if widest + 12 > width:
        scale *= max(0.2, (width - 12) / widest)
        sizes = [cv2.getTextSize(line, _FONT, scale, 1)[0] for line in lines]
        widest = max(size[0] for size in sizes)
    step = round(max(size[1] for size in sizes) * 1.7) + 2
    ground = picture[: step * len(lines) + 8, : widest + 12]
    ground[...] = ground // 3
    for number, line in enumerate(lines, 1):
        place = (6, step * number)
        cv2.putText(picture, line, place, _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return picture
