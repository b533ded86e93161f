"""YCbCr of more than eight bits to RGB of sixteen and back.

swscale's own way there rounds its coefficients and shifts where it should scale: ten-bit limited
range comes out two levels too dark, and goes back two levels too bright. So it only resamples
chroma here (which it does exactly), and the matrix is applied in floating point.
"""

from __future__ import annotations

from typing import cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from rtstyle.media.colour import ToRgb, bits_per_sample, is_gray, said_of
from rtstyle.types import AnyPixels, Colour, DeepPixels, Pixels

_FLAGS = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_TOP = 65535
_CENTRE = 32768
_MATRIX_RGB = 0
_SAMPLED = "yuv444p16le"

_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Kr and Kb of ITU-T H.273, table 4."""

Affine = npt.NDArray[np.float64]


def to_bytes(pixels: AnyPixels) -> Pixels:
    """``pixels`` as uint8, rounded; the array itself where it is uint8 already."""
    if pixels.dtype == np.uint8:
        return cast(Pixels, pixels)
    rows = cast(DeepPixels, pixels).reshape(-1, *pixels.shape[-2:])
    return np.asarray(cv2.convertScaleAbs(rows, alpha=1 / 257), np.uint8).reshape(pixels.shape)


def to_deep(pixels: AnyPixels) -> DeepPixels:
    """``pixels`` as uint16, white being 65535; the array itself where it is uint16 already."""
    if pixels.dtype == np.uint16:
        return cast(DeepPixels, pixels)
    return np.multiply(pixels, 257, dtype=np.uint16)


def rgb_from_ycbcr(matrix: int, *, full_range: bool, bits: int) -> Affine:
    """(3, 4): RGB in 0..65535 from Y, Cb and Cr of ``bits`` shifted up to sixteen (H.273, 8.3).

    ``matrix`` is a code point of H.273 that resolve_colour gives.
    """
    kr, kb = _WEIGHTS[matrix]
    kg = 1 - kr - kb
    linear = np.array(
        [
            [1, 0, 2 * (1 - kr)],
            [1, -2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg],
            [1, 2 * (1 - kb), 0],
        ]
    )
    scale, offset = _levels(full_range, bits)
    return np.column_stack([_TOP * linear / scale, -_TOP * linear @ (offset / scale)])


def ycbcr_from_rgb(matrix: int, *, full_range: bool, bits: int) -> Affine:
    """(3, 4): the inverse of ``rgb_from_ycbcr``."""
    there = rgb_from_ycbcr(matrix, full_range=full_range, bits=bits)
    back = np.linalg.inv(there[:, :3])
    return np.column_stack([back, -back @ there[:, 3]])


def _levels(full_range: bool, bits: int) -> tuple[Affine, Affine]:
    """What 0..1 of Y and -0.5..0.5 of Cb and Cr span in sixteen bits, and their zeros."""
    if full_range:
        span = float((2**bits - 1) << (16 - bits))
        return np.full(3, span), np.array([0.0, _CENTRE, _CENTRE])
    return np.array([219.0, 224.0, 224.0]) * 256, np.array([16.0 * 256, _CENTRE, _CENTRE])


class ToDeepRgb:
    """Turns decoded pictures into RGB of sixteen bits; keeps its scalers between calls."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        self._to_rgb = ToRgb()

    def __call__(self, frame: VideoFrame, fallback: Colour) -> DeepPixels:
        """uint16 ``(H, W, 3)`` RGB. ``fallback`` (resolved) says what the frame leaves unsaid."""
        bits = min(bits_per_sample(frame), 16)
        if bits <= 8 or frame.format.name.startswith("xyz"):
            return to_deep(self._to_rgb(frame, fallback))
        said = said_of(frame, fallback)
        if is_gray(frame) or frame.format.is_rgb:
            green, blue, red = self._planes(frame, "gbrp16le")
            # Shifted up, not scaled: white is not yet 65535.
            gain, black = _TOP / float((2**bits - 1) << (16 - bits)), 0.0
            if is_gray(frame) and said.full_range is False:
                gain, black = _TOP / (219 * 256), 16.0 * 256
            change = np.column_stack([np.eye(3) * gain, np.full(3, -gain * black)])
            return _apply(change, cv2.merge([red, green, blue]))
        change = rgb_from_ycbcr(said.matrix, full_range=bool(said.full_range), bits=bits)
        return _apply(change, cv2.merge(self._planes(frame, _SAMPLED)))

    def _planes(self, frame: VideoFrame, pixel_format: str) -> list[DeepPixels]:
        # Limited to limited is no change of range; full to full takes a way that repeats bits.
        planar = self._scaler.reformat(
            frame,
            format=pixel_format,
            interpolation=_FLAGS,
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        return [_plane(planar, index) for index in range(3)]


class FromDeepRgb:
    """Turns RGB into pictures of ten bits for an encoder; keeps its scaler between calls."""

    def __init__(self, pixel_format: str, colour: Colour) -> None:
        """``pixel_format`` is planar YCbCr of ten bits or gbrp10le; ``colour`` resolved."""
        self._scaler = VideoReformatter()
        self._format, self._colour = pixel_format, colour
        self._change = ycbcr_from_rgb(
            colour.matrix, full_range=bool(colour.full_range), bits=_STORED_BITS
        )

    def __call__(self, pixels: AnyPixels) -> VideoFrame:
        """A picture of the given format; ``pixels``, ``(H, W, 3)`` RGB, is not kept."""
        deep = np.ascontiguousarray(to_deep(pixels))
        if self._format.startswith("gbrp"):
            result = VideoFrame.from_ndarray(_apply(_RGB_TO_STORED, deep), format=self._format)
            result.colorspace, result.color_range = _MATRIX_RGB, ColorRange.JPEG
        else:
            result = self._sampled(deep)
            full = self._colour.full_range
            result.colorspace = self._colour.matrix
            result.color_range = ColorRange.JPEG if full else ColorRange.MPEG
        result.color_primaries = self._colour.primaries
        result.color_trc = self._colour.transfer
        return result

    def _sampled(self, deep: DeepPixels) -> VideoFrame:
        if self._format == "yuv444p10le":
            # Between formats of one size swscale dithers.
            return _planar(_apply(self._change / 2 ** (16 - _STORED_BITS), deep), self._format)
        return self._scaler.reformat(
            _planar(_apply(self._change, deep), _SAMPLED),
            format=self._format,
            interpolation=_FLAGS,
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )


_STORED_BITS = 10
_RGB_TO_STORED = np.column_stack([np.eye(3) * (2**_STORED_BITS - 1) / _TOP, np.zeros(3)])


def _apply(change: Affine, picture: npt.NDArray[np.generic]) -> DeepPixels:
    """uint16 ``(H, W, 3)``, each sample rounded and held within 0..65535."""
    changed = cv2.transform(cast(DeepPixels, picture), change)
    return np.asarray(changed, np.uint16)


def _planar(picture: DeepPixels, pixel_format: str) -> VideoFrame:
    height, width = picture.shape[:2]
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, samples in zip(frame.planes, cv2.split(picture), strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint16).reshape(-1, plane.line_size // 2)
        rows[:height, :width] = samples
    return frame


def _plane(frame: VideoFrame, index: int) -> DeepPixels:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint16).reshape(-1, plane.line_size // 2)
    return rows[: plane.height, : plane.width]
