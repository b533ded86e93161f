"""YCbCr written and read by the definitions of H.273, sharing no code with what is tested."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.types import Pixels

Planes = npt.NDArray[np.float64]

WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
WEIGHTS[9] = (0.2627, 0.0593)
WEIGHTS[4] = (0.30, 0.11)


def picture(size: tuple[int, int] = (128, 96)) -> Pixels:
    """Soft blobs of every colour: uint8 ``(H, W, 3)``."""
    noise = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def to_planes(rgb: npt.NDArray[np.generic], matrix: int, full: bool, bits: int = 8) -> list[Planes]:
    """Y, Cb, Cr at full resolution; ``rgb`` is uint8, or floating point in 0..1."""
    red_weight, blue_weight = WEIGHTS[matrix]
    parts = cast(Planes, rgb / 255 if rgb.dtype == np.uint8 else rgb)  # type: ignore[operator]
    red, green, blue = (parts[..., i] for i in range(3))
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    planes = [
        luma,
        (blue - luma) / (2 * (1 - blue_weight)),
        (red - luma) / (2 * (1 - red_weight)),
    ]
    scale = 2 ** (bits - 8)
    if full:
        top = 2**bits - 1
        return [planes[0] * top, planes[1] * top + 128 * scale, planes[2] * top + 128 * scale]
    return [
        (16 + 219 * planes[0]) * scale,
        (128 + 224 * planes[1]) * scale,
        (128 + 224 * planes[2]) * scale,
    ]


def bits_of(pixel_format: str) -> int:
    """Of a planar format, by its name."""
    return next((bits for bits in (10, 12) if str(bits) in pixel_format), 8)


def make_frame(
    rgb: npt.NDArray[np.generic], pixel_format: str, matrix: int, full: bool
) -> VideoFrame:
    """A planar YCbCr or gray picture of RGB (as ``to_planes`` takes it)."""
    height, width = rgb.shape[:2]
    frame = av.VideoFrame(width, height, pixel_format)
    bits = bits_of(pixel_format)
    kind = np.dtype(np.uint8 if bits == 8 else np.uint16)
    for plane, values in zip(frame.planes, to_planes(rgb, matrix, full, bits), strict=False):
        fitted = cv2.resize(values, (plane.width, plane.height), interpolation=cv2.INTER_AREA)
        rows = np.zeros((plane.height, plane.line_size // kind.itemsize), kind)
        rows[:, : plane.width] = np.clip(np.rint(fitted), 0, 2**bits - 1)
        plane.update(rows.tobytes())
    if pixel_format == "yuva420p":
        alpha = frame.planes[3]
        alpha.update(b"\x40" * alpha.buffer_size)
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    return frame


def luma_of(frame: VideoFrame) -> npt.NDArray[np.int64]:
    """The first plane as stored, ``(H, W)``."""
    return _samples(frame, 0)


def _samples(frame: VideoFrame, index: int) -> npt.NDArray[np.int64]:
    plane = frame.planes[index]
    kind = np.dtype(np.uint16 if frame.format.components[0].bits > 8 else np.uint8)
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    return rows[: plane.height, : plane.width].astype(np.int64)


def to_rgb(frame: VideoFrame, matrix: int, full: bool) -> Planes:
    """A planar YCbCr or gray picture as RGB in 0..1, ``(H, W, 3)``."""
    bits = frame.format.components[0].bits
    top, scale = 2**bits - 1, 2 ** (bits - 8)
    luma = _samples(frame, 0) / top if full else (_samples(frame, 0) / scale - 16) / 219
    if len(frame.planes) == 1:
        return cast(Planes, np.clip(np.repeat(luma[..., None], 3, axis=2), 0, 1))
    size = (frame.width, frame.height)
    blue_part, red_part = (
        (cv2.resize(_samples(frame, i).astype(float), size) - 128 * scale)
        / (top if full else 224 * scale)
        for i in (1, 2)
    )
    red_weight, blue_weight = WEIGHTS[matrix]
    red = luma + 2 * (1 - red_weight) * red_part
    blue = luma + 2 * (1 - blue_weight) * blue_part
    green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return cast(Planes, np.clip(np.dstack([red, green, blue]), 0, 1))


def write_frames(
    path: Path,
    frames: Sequence[VideoFrame],
    colour: tuple[int, int, int, int],
    *,
    codec: str = "ffv1",
    options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures as they are, 25 a second; by default without loss.

    ``colour``: matrix, primaries, transfer and range as FFmpeg counts them.
    """
    with av.open(f"file:{path}", "w") as output:
        stream = cast(VideoStream, output.add_stream(codec, rate=25, options=options or {}))
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = frames[0].format.name
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = colour
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def decoded(path: Path) -> list[VideoFrame]:
    """Every picture as stored."""
    with av.open(f"file:{path}") as container:
        return list(container.decode(video=0))
