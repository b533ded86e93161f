"""How a picture is to be turned and mirrored to be seen as players show it.

A display matrix says where each corner goes: ``x = a*p + c*q``, ``y = b*p + d*q``, with ``p`` and
``q`` the place in the stored picture. Its angle alone does not tell a mirrored picture from a
turned one, so the signs are read.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import cast

import cv2

from rtstyle.types import AnyPixels, Size

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_LEFT_TO_RIGHT = 1
_MATRIX_BYTES = 36
_SLANT = 1.0
"""Degrees off a quarter turn that nobody sees."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """A turn, and then a mirror."""

    turn: int = 0
    """Degrees clockwise: 0, 90, 180 or 270."""
    mirrored: bool = False
    """Whether left and right are exchanged after the turn."""
    slant: float = 0.0
    """Degrees clockwise, beyond the quarter turn, by which the picture is to be turned as well,
    and is not."""

    def __call__(self, pixels: AnyPixels) -> AnyPixels:
        """``(H, W)`` or ``(H, W, 3)`` as it is to be seen."""
        turn = _TURNS.get(self.turn)
        if turn is not None:
            pixels = cast(AnyPixels, cv2.rotate(pixels, turn))
        if self.mirrored:
            pixels = cast(AnyPixels, cv2.flip(pixels, _LEFT_TO_RIGHT))
        return pixels

    @property
    def lies(self) -> bool:
        """Whether width and height change places."""
        return self.turn in (90, 270)

    def shown(self, size: Size) -> Size:
        """The size of a stored picture as it is seen."""
        return size.transposed if self.lies else size


UPRIGHT = Orientation()


def orientation_of(matrix: bytes) -> Orientation | None:
    """What a display matrix (nine int32 as FFmpeg keeps them) asks for; None for one that shows
    nothing."""
    if len(matrix) < _MATRIX_BYTES:
        return None
    a, b, _, c, d, *_ = struct.unpack_from("=9i", matrix)
    if a * d - b * c == 0:
        return None
    mirrored = a * d - b * c < 0
    if mirrored:
        # What is mirrored in the end, left to right, was only turned before.
        a, c = -a, -c
    angle = math.degrees(math.atan2(b, a)) % 360
    turn = round(angle / 90) * 90
    slant = angle - turn
    # A mirror reverses the sense of a turn that is seen through it.
    slant = -slant if mirrored else slant
    return Orientation(turn % 360, mirrored, slant if abs(slant) > _SLANT else 0.0)
