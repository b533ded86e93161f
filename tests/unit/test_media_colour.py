"""YCbCr to RGB and back, against a conversion written out here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rtstyle.media import EncodeOptions, VideoWriter, open_video
from rtstyle.media.colour import FromRgb, ToRgb, resolve_colour
from rtstyle.types import AnyPixels, Colour, Size
from tests.clips import make_clip, moving_picture, read_frames
from tests.ycbcr import make_frame, picture, to_planes


def difference(one: AnyPixels, other: AnyPixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


CASES = [
    ("yuv444p", 1, False),
    ("yuv420p", 1, False),
    ("yuv420p", 1, True),
    ("yuvj420p", 6, True),
    ("yuv420p", 5, False),
    ("yuv420p", 6, False),
    ("yuv420p", 7, False),
    ("yuv420p", 4, False),
    ("yuv420p", 9, False),
    ("yuv420p10le", 1, False),
    ("yuv420p10le", 9, True),
    ("yuva420p", 1, False),
]


@pytest.mark.parametrize(("pixel_format", "matrix", "full"), CASES)
def test_decoded_colours_are_right(pixel_format: str, matrix: int, full: bool) -> None:
    rgb = picture()
    frame = make_frame(rgb, pixel_format, matrix, full)
    assert difference(ToRgb()(frame, Colour(matrix=1, full_range=False)), rgb) < 1.0


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_there_and_back_stays_within_two_levels(matrix: int, full: bool) -> None:
    rgb = picture((127, 95))
    colour = Colour(matrix=matrix, full_range=full)
    encoded = FromRgb("yuv444p", colour)(rgb)
    assert difference(ToRgb()(encoded, colour), rgb) < 1.0
    rgb = picture()
    encoded = FromRgb("yuv420p", colour)(rgb)
    luma = np.frombuffer(memoryview(encoded.planes[0]), np.uint8)
    luma = luma.reshape(-1, encoded.planes[0].line_size)[:, : rgb.shape[1]]
    assert np.abs(luma - to_planes(rgb, matrix, full)[0]).mean() < 0.6
    assert difference(ToRgb()(encoded, colour), rgb) < 2.0


def test_what_a_frame_leaves_unsaid_comes_from_the_fallback() -> None:
    rgb = picture()
    frame = make_frame(rgb, "yuv420p", 9, True)
    frame.colorspace, frame.color_range = 2, 0
    assert difference(ToRgb()(frame, Colour(matrix=9, full_range=True)), rgb) < 1.0
    assert difference(ToRgb()(frame, Colour(matrix=6, full_range=False)), rgb) > 4.0


def test_grey_pictures_keep_their_levels() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    frame = av.VideoFrame.from_ndarray(grey, format="gray")
    fallback = Colour(matrix=1, full_range=False)
    assert np.abs(ToRgb()(frame, fallback)[..., 1].astype(int) - grey).max() <= 1
    frame.color_range = 1
    limited = ToRgb()(frame, fallback)[0, :, 0]
    assert (limited[16], limited[235], limited[0], limited[255]) == (0, 255, 0, 255)


def test_unsaid_colours_are_assumed_from_the_height() -> None:
    assert resolve_colour(Colour(), Size(1280, 720)) == Colour(matrix=1, full_range=False)
    assert resolve_colour(Colour(), Size(720, 576)) == Colour(matrix=6, full_range=False)
    said = Colour(matrix=9, primaries=9, transfer=16, full_range=True)
    assert resolve_colour(said, Size(16, 16)) == said


@pytest.mark.parametrize(
    "colour", [(1, 1, 1, 1), (1, 1, 1, 2), (6, 6, 6, 1), (9, 9, 14, 1), (5, 5, 6, 2)]
)
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_written_file_says_what_its_source_said(
    tmp_path: Path, colour: tuple[int, int, int, int], name: str
) -> None:
    rgb = moving_picture((128, 96), 3)
    clip = make_clip(
        tmp_path / "in.mp4", size=(128, 96), pictures=[rgb] * 3, frames=3, colour=colour
    )
    with open_video(clip) as source:
        assert source.info.colour == Colour(*colour[:3], full_range=colour[3] == 2)
        frames = list(source)
        info = source.info
    assert difference(frames[0].pixels, rgb) < 4.0
    with VideoWriter(tmp_path / name, info, EncodeOptions(quality=0)) as writer:
        for frame in frames:
            writer.write(frame)
        writer.finish()
    with av.open(str(tmp_path / name)) as container:
        context = container.streams.video[0].codec_context
        assert (
            context.colorspace,
            context.color_primaries,
            context.color_trc,
            context.color_range,
        ) == colour
    with open_video(tmp_path / name) as result:
        assert result.info.colour == info.colour
        assert difference(next(iter(result)).pixels, frames[0].pixels) < 2.0


def test_lossless_is_lossless(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3, colour=(1, 1, 1, 1))
    with open_video(clip) as source:
        frames = list(source)
        with VideoWriter(tmp_path / "out.mkv", source.info, EncodeOptions(codec="ffv1")) as writer:
            for frame in frames:
                writer.write(frame)
            writer.finish()
    for stored, frame in zip(read_frames(tmp_path / "out.mkv"), frames, strict=True):
        assert np.array_equal(stored, frame.pixels)
    with open_video(tmp_path / "out.mkv") as result:
        assert np.array_equal(next(iter(result)).pixels, frames[0].pixels)
        assert result.info.time_base == Fraction(1, 1000)
