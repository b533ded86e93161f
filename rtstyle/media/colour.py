"""YCbCr to RGB and back, with matrix and range always said explicitly.

swscale, left to itself, takes BT.601 for sources that do not name a matrix and copies chroma
instead of interpolating it. Planar RGB with accurate rounding takes its interpolating path at a
sixth of what the same costs into packed RGB; OpenCV then interleaves the planes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from rtstyle.media.alpha import write_alpha
from rtstyle.types import UNSPECIFIED, Alpha, Colour, Pixels, Size

_FLAGS = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_FULL, _LIMITED = ColorRange.JPEG, ColorRange.MPEG
_KNOWN_MATRICES = (1, 4, 5, 6, 7, 9)
_MATRIX_RGB = 0
_MATRIX_BT2020_CONSTANT = 10
_HD_HEIGHT = 720


def resolve_colour(colour: Colour, size: Size) -> Colour:
    """``colour`` with a matrix swscale knows and a range: what is unsaid is assumed.

    Without a matrix, pictures of at least 720 lines are BT.709 and smaller ones BT.601, as encoders
    and players do; without a range, it is limited. ``size`` is the stored one, before rotation.
    """
    matrix = colour.matrix
    if matrix == _MATRIX_BT2020_CONSTANT:
        matrix = 9
    if matrix not in _KNOWN_MATRICES:
        matrix = 1 if size.height >= _HD_HEIGHT else 6
    return replace(colour, matrix=matrix, full_range=bool(colour.full_range))


def colour_of(frame: VideoFrame) -> Colour:
    """What a decoded picture says of its colours; a ``yuvj`` format says full range."""
    full: bool | None = {1: False, 2: True}.get(int(frame.color_range))
    if frame.format.name.startswith("yuvj"):
        full = True
    return Colour(
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        full_range=full,
    )


def bits_per_sample(frame: VideoFrame) -> int:
    """The deepest component's bits."""
    return max((component.bits for component in frame.format.components), default=8)


def said_of(frame: VideoFrame, fallback: Colour) -> Colour:
    """The picture's own colour, and ``fallback``'s where it says nothing; resolved, but for the
    range of a gray picture, which stays None where unsaid (full by FFmpeg's convention)."""
    own = colour_of(frame)
    if own.matrix == UNSPECIFIED:
        own = replace(own, matrix=fallback.matrix)
    if own.full_range is None and not is_gray(frame):
        own = replace(own, full_range=fallback.full_range)
    resolved = resolve_colour(own, Size(frame.width, frame.height))
    return replace(resolved, full_range=own.full_range) if is_gray(frame) else resolved


def is_gray(frame: VideoFrame) -> bool:
    """Whether the picture has luma only."""
    return frame.format.name.startswith("gray")


def has_alpha(frame: VideoFrame) -> bool:
    """Whether the picture can be transparent."""
    if frame.format.has_palette:
        return bool((np.asarray(frame.to_ndarray()[1])[:, 0] < 255).any())
    return any(component.is_alpha for component in frame.format.components)


class ToRgb:
    """Turns decoded pictures into RGB; keeps its scaler between calls."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def __call__(self, frame: VideoFrame, fallback: Colour) -> Pixels:
        """uint8 ``(H, W, 3)`` RGB. ``fallback`` (resolved) says what the frame leaves unsaid."""
        said = said_of(frame, fallback)
        if not frame.format.is_rgb:
            frame.colorspace = said.matrix
        full = said.full_range or is_gray(frame) or frame.format.is_rgb
        planar = self._scaler.reformat(
            frame,
            format="gbrp",
            interpolation=_FLAGS,
            src_color_range=_FULL if full else _LIMITED,
            dst_color_range=_FULL,
            threads=1,
        )
        green, blue, red = (_plane(planar, index) for index in range(3))
        pixels = cast(Pixels, cv2.merge([red, green, blue]))
        if is_gray(frame) and said.full_range is False:
            # swscale takes every gray picture as full range, whatever its tag says.
            return _expand_limited(pixels)
        return pixels


def _plane(frame: VideoFrame, index: int) -> Pixels:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _expand_limited(pixels: Pixels) -> Pixels:
    levels = (np.arange(256, dtype=np.float64) - 16) * 255 / 219
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return cast(Pixels, cv2.LUT(pixels, table))


class FromRgb:
    """Turns RGB into pictures for an encoder; keeps its scaler between calls."""

    def __init__(self, pixel_format: str, colour: Colour) -> None:
        """``colour`` must be resolved."""
        self._scaler = VideoReformatter()
        self._format = pixel_format
        self._colour = colour

    def __call__(self, pixels: Pixels, alpha: Alpha | None = None) -> VideoFrame:
        """A picture of the given format; ``pixels`` is uint8 ``(H, W, 3)`` and is not kept.

        ``alpha`` is uint8 ``(H, W)``; where the format has it, None means opaque.
        """
        source = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        source.colorspace = self._colour.matrix
        result = self._scaler.reformat(
            source,
            format=self._format,
            interpolation=_FLAGS,
            src_color_range=_FULL,
            dst_color_range=_FULL if self._colour.full_range else _LIMITED,
            threads=1,
        )
        result.color_primaries = self._colour.primaries
        result.color_trc = self._colour.transfer
        if result.format.is_rgb:
            result.colorspace, result.color_range = _MATRIX_RGB, _FULL
        write_alpha(result, alpha)
        return result
