"""Strength 0 is the source: colours and tags through the whole path, however they are stored."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.media import verify_video
from rtstyle.pipeline import stylize_video
from tests.ycbcr import bits_of, decoded, make_frame, to_rgb, write_frames

TAGS = {1: (1, 1, 1), 5: (5, 5, 6), 6: (6, 6, 6), 9: (9, 9, 14)}
MOST = 2 / 255


def scene(size: tuple[int, int] = (128, 96)) -> npt.NDArray[np.float64]:
    """Gradients with coloured blocks and lines before them, in 0..1, as sharp as film is."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width] / max(size)
    rgb = np.dstack([0.1 + 0.7 * x, 0.8 - 0.8 * y, 0.2 + 0.5 * (x + y) / 2])
    colours = [(0.9, 0.1, 0.1), (0.1, 0.8, 0.2), (0.1, 0.2, 0.9), (1, 1, 1), (0, 0, 0)]
    for index, colour in enumerate(colours):
        left = width * (2 * index + 1) // 12
        rgb[height // 3 : height // 2, left : left + width // 12] = colour
    rgb[height * 3 // 4 :: 6] = 0.85
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.8))


def identity(tmp_path: Path, name: str, matrix: int, full: bool, codec: str = "h264") -> float:
    """Mean absolute error of the result, both files being read by definition."""
    tags = (*TAGS[matrix], 2 if full else 1)
    frames = [make_frame(scene(), name, matrix, full) for _ in range(2)]
    source = write_frames(tmp_path / "in.mkv", frames, tags)
    output = tmp_path / "out.mkv"
    quality = {"h264": 0, "hevc": 4, "av1": 4}[codec]
    with FakeStylizer() as net:
        stylize_video(source, output, None, stylizer=net, strength=0, codec=codec, quality=quality)
    checks = {check.name: check for check in verify_video(source, output).checks}
    assert checks["colour"].kept, checks["colour"].detail
    assert checks["depth"].kept, checks["depth"].detail
    result = decoded(output)[1]
    said = (result.colorspace, result.color_primaries, result.color_trc, result.color_range)
    assert tuple(int(value) for value in said) == tags
    assert result.format.components[0].bits == bits_of(name)
    before = to_rgb(decoded(source)[1], matrix, full)
    return float(np.abs(before - to_rgb(result, matrix, full)).mean())


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", sorted(TAGS))
def test_every_matrix_and_range_comes_back(
    tmp_path: Path, matrix: int, full: bool, name: str
) -> None:
    assert identity(tmp_path, name, matrix, full) < MOST


@pytest.mark.parametrize(
    "name", ["yuv422p", "yuv444p", "yuv422p10le", "yuv444p10le", "gray", "gray10le"]
)
def test_other_samplings_come_back(tmp_path: Path, name: str) -> None:
    assert identity(tmp_path, name, 1, name.startswith("gray")) < MOST


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_other_codecs_bring_ten_bits_back(tmp_path: Path, codec: str) -> None:
    assert identity(tmp_path, "yuv420p10le", 9, False, codec) < MOST
