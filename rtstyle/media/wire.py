"""Pictures as they travel in a video call: what browsers send and want, as RGB and back."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np

from rtstyle.types import Pixels

WireFrame = av.VideoFrame
"""A picture of a video call."""

_ITU601, _LIMITED, _FULL = 5, 1, 2


def pixels_of(frame: av.VideoFrame, *, most: int) -> Pixels:
    """``frame`` as uint8 ``(H, W, 3)`` RGB, scaled down to at most ``most`` pixels.

    Browsers send BT.601 of limited range in VP8, which cannot say so.
    """
    picture = frame.reformat(
        format="rgb24", src_colorspace=_ITU601, src_color_range=_LIMITED, dst_color_range=_FULL
    )
    pixels = cast(Pixels, picture.to_ndarray())
    height, width, _ = pixels.shape
    if width * height > most:
        share = (most / (width * height)) ** 0.5
        size = (max(2, int(width * share) & ~1), max(2, int(height * share) & ~1))
        pixels = cast(Pixels, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return pixels


def frame_of(pixels: Pixels, *, pts: int, time_base: Fraction) -> av.VideoFrame:
    """uint8 ``(H, W, 3)`` RGB as a frame of BT.601, limited range, for a sender of video."""
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = picture.reformat(
        format="yuv420p", dst_colorspace=_ITU601, src_color_range=_FULL, dst_color_range=_LIMITED
    )
    frame.pts, frame.time_base = pts, time_base
    return frame
