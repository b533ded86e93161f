"""Pictures as they travel from and to browsers, as RGB and back: frames of a call, and JPEG."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np

from rtstyle.errors import CorruptInput, LimitExceeded
from rtstyle.media.header import is_whole, picture_size
from rtstyle.types import Pixels

WireFrame = av.VideoFrame
"""A picture of a video call."""

_ITU601, _LIMITED, _FULL = 5, 1, 2
_JPEG_SCAN, _MOST_SCANS = b"\xff\xda", 12
_JPEG_QUALITY = 88


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


def pixels_of_jpeg(data: bytes, *, most: int) -> Pixels:
    """A JPEG as uint8 ``(H, W, 3)`` RGB.

    Nothing of its size is allocated before it is known: raises LimitExceeded for more than ``most``
    pixels, CorruptInput for what is no whole JPEG, or one of more scans than browsers write, each
    of which takes as long to decode as the picture.
    """
    size = picture_size(data) if data.startswith(b"\xff\xd8") else None
    if size is None or not is_whole(data) or data.count(_JPEG_SCAN) > _MOST_SCANS:
        raise CorruptInput("a picture is no JPEG that can be read; reload the page")
    if size.width * size.height > most:
        raise LimitExceeded(f"a picture of {size} is too large; take a smaller one of the camera")
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        # Typed as never None, which it is for what OpenCV cannot read.
        pixels: Pixels | None = cast(
            "Pixels | None", cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        )
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape != (size.height, size.width, 3):
        raise CorruptInput("a picture is damaged; reload the page")
    return pixels


def jpeg_of(pixels: Pixels, *, quality: int = _JPEG_QUALITY) -> bytes:
    """uint8 ``(H, W, 3)`` RGB as a JPEG of ``quality`` 0..100."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV did not encode a JPEG")
    return data.tobytes()
