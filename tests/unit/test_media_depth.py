"""Bits a sample: what a file is given of those that its source has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import EncoderUnavailable, UsageError
from rtstyle.media import EncodeOptions, open_video, output, to_bytes, verify_video
from rtstyle.media.codecs import CODECS, depths_here, pixel_format
from rtstyle.media.deep import FromDeepRgb, ToDeepRgb, to_deep
from rtstyle.media.read import PixelReader
from rtstyle.pipeline import stylize_video
from rtstyle.types import Colour, RunReport, Size
from tests.clips import make_clip
from tests.ycbcr import decoded, luma_of, make_frame, picture, to_planes, to_rgb, write_frames

MATRICES = [1, 4, 5, 6, 7, 9]


def gradient(size: tuple[int, int] = (1024, 16)) -> npt.NDArray[np.float64]:
    """A grey ramp in 0..1 that has a level of its own in every column."""
    width, height = size
    ramp = np.linspace(0, 1, width)
    return np.repeat(np.tile(ramp, (height, 1))[..., None], 3, axis=2)


def ten_bit_clip(path: Path, frames: int = 3) -> Path:
    return write_frames(
        path, [make_frame(gradient(), "yuv420p10le", 1, False) for _ in range(frames)], (1, 1, 1, 1)
    )


def convert(source: Path, to: Path, strength: float = 0.0, **options: object) -> RunReport:
    with FakeStylizer(invert=False) as net:
        return stylize_video(source, to, None, stylizer=net, strength=strength, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv444p12le"])
def test_deep_pictures_become_rgb_by_the_definition(name: str, matrix: int, full: bool) -> None:
    frame = make_frame(picture(), name, matrix, full)
    read = ToDeepRgb()(frame, Colour(matrix=1, full_range=False)) / 65535
    error = np.abs(read - picture() / 255) * 255
    assert error.mean() < (0.2 if "444" in name else 1.0)
    if "444" in name:
        assert np.abs(read - to_rgb(frame, matrix, full)).max() * 65535 < 2


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_luma_is_rounded_once_to_ten_bits(name: str, matrix: int, full: bool) -> None:
    rgb = picture()
    stored = FromDeepRgb(name, Colour(matrix=matrix, full_range=full))(to_deep(rgb))
    assert stored.format.name == name
    wanted = to_planes(rgb, matrix, full, 10)[0]
    assert np.abs(luma_of(stored) - wanted).max() < 0.55
    assert (int(stored.colorspace), int(stored.color_range)) == (matrix, 2 if full else 1)


@pytest.mark.parametrize(("name", "range_"), [("gray10le", 2), ("gray10le", 1), ("gray12le", 0)])
def test_deep_gray_reaches_black_and_white(name: str, range_: int) -> None:
    frame = make_frame(gradient(), name, 1, range_ != 1)
    frame.color_range = range_
    read = ToDeepRgb()(frame, Colour(matrix=1, full_range=False)) / 65535
    assert np.abs(read - gradient()).max() < 1.01 / 876
    assert (read[0, 0, 0], read[0, -1, 0]) == (0, 1)


def test_depths_change_without_a_shift() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(-1, 64, 1).repeat(3, 2)
    assert np.array_equal(to_bytes(every), np.rint(every / 257).astype(np.uint8))
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    assert np.array_equal(to_bytes(to_deep(levels)), levels)
    batch = np.stack([every[:32], every[-32:]])
    assert to_bytes(batch).shape == batch.shape


def test_every_level_of_ten_bits_passes_through(tmp_path: Path) -> None:
    clip = ten_bit_clip(tmp_path / "in.mkv")
    report = convert(clip, tmp_path / "out.mkv", codec="h264", quality=0)
    before, after = (decoded(path)[0] for path in (clip, tmp_path / "out.mkv"))
    assert after.format.name == "yuv420p10le"
    levels = [len(np.unique(luma_of(frame))) for frame in (before, after)]
    assert levels[0] == 877
    assert levels[1] >= 870
    assert np.abs(luma_of(before) - luma_of(after)).mean() < 0.5
    assert any("does not play everywhere" in note for note in report.notes)


def test_lossless_ten_bits_keep_every_level_exactly(tmp_path: Path) -> None:
    clip = ten_bit_clip(tmp_path / "in.mkv")
    assert convert(clip, tmp_path / "out.mkv", codec="ffv1").notes == ()
    stored = decoded(tmp_path / "out.mkv")[0]
    assert stored.format.name == "gbrp10le"
    with open_video(clip, deep=True) as one, open_video(tmp_path / "out.mkv", deep=True) as other:
        first, second = next(iter(one)).pixels, next(iter(other)).pixels
    assert len(np.unique(first[0, :, 0])) == len(np.unique(second[0, :, 0])) == 877
    assert np.abs(first.astype(int) - second).max() < 65535 / 1023 / 2 + 5


@pytest.mark.parametrize("codec", sorted(CODECS))
@pytest.mark.parametrize("source_bits", [8, 10])
def test_depth_follows_the_source_in_every_codec(
    tmp_path: Path, codec: str, source_bits: int
) -> None:
    name = "yuv420p10le" if source_bits == 10 else "yuv420p"
    frames = [make_frame(picture(), name, 1, False) for _ in range(2)]
    clip = write_frames(tmp_path / "in.mkv", frames, (1, 1, 1, 1))
    convert(clip, tmp_path / "out.mkv", codec=codec)
    wanted = EncodeOptions(codec=codec).bits_for(source_bits)
    assert wanted == source_bits or source_bits not in depths_here(codec)
    [depth] = [c for c in verify_video(clip, tmp_path / "out.mkv").checks if c.name == "depth"]
    assert depth.kept == (wanted >= source_bits)
    assert decoded(tmp_path / "out.mkv")[0].format.components[0].bits == wanted


def test_a_chosen_depth_is_what_is_stored(tmp_path: Path) -> None:
    deep, plain = ten_bit_clip(tmp_path / "deep.mkv"), make_clip(tmp_path / "plain.mp4", frames=3)
    report = convert(deep, tmp_path / "a.mp4", bit_depth=8)
    assert decoded(tmp_path / "a.mp4")[0].format.name == "yuv420p"
    assert report.notes == ("the source has 10 bits a sample; it is read with 8",)
    assert convert(plain, tmp_path / "b.mp4", bit_depth=10).notes == ()
    assert decoded(tmp_path / "b.mp4")[0].format.name == "yuv420p10le"


def test_what_cannot_be_stored_is_refused_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="bit depth 12 is unknown; take auto, 8 or 10"):
        EncodeOptions(bit_depth=12)  # type: ignore[arg-type]
    # As a library that was built for 8 bits says.
    monkeypatch.setattr("rtstyle.media.codecs.depths_here", lambda codec: (8,))
    monkeypatch.setattr(output, "depths_here", lambda codec: (8,))
    monkeypatch.setattr(output, "with_ten_bits", lambda: "ffv1")
    monkeypatch.setattr("rtstyle.media.pictures.with_ten_bits", lambda: "ffv1")
    clip = ten_bit_clip(tmp_path / "in.mkv")
    with pytest.raises(EncoderUnavailable, match=r"libx264 cannot store 10 bits.*: ffv1$"):
        convert(clip, tmp_path / "out.mp4", bit_depth=10)
    report = convert(clip, tmp_path / "out.mp4")
    assert decoded(tmp_path / "out.mp4")[0].format.name == "yuv420p"
    assert any("stores 8 of the source's 10 bits" in note for note in report.notes)


def test_twelve_bits_are_stored_as_ten_and_told(tmp_path: Path) -> None:
    frames = [make_frame(gradient(), "yuv444p12le", 1, False)] * 2
    clip = write_frames(tmp_path / "in.mkv", frames, (1, 1, 1, 1))
    report = convert(clip, tmp_path / "out.mkv", codec="ffv1")
    assert report.notes == ("10 of the source's 12 bits a sample are stored",)


def test_odd_sizes_keep_their_depth() -> None:
    assert pixel_format("h264", Size(63, 48), bits=10) == "yuv444p10le"
    assert pixel_format("hevc", Size(64, 48), bits=10) == "yuv420p10le"
    assert pixel_format("av1", Size(63, 47), bits=10) == "yuv420p10le"


def test_half_a_style_keeps_the_sources_depth(tmp_path: Path) -> None:
    clip = ten_bit_clip(tmp_path / "in.mkv")
    report = convert(clip, tmp_path / "out.mkv", 0.5, codec="ffv1")
    assert any("the net paints with 8 bits a sample" in note for note in report.notes)
    with open_video(tmp_path / "out.mkv", deep=True) as result:
        mixed = next(iter(result)).pixels[0, :, 0] / 65535
    with open_video(clip, deep=True) as source:
        first = next(iter(source)).pixels
    # The net here gives back the eight bits that it gets.
    wanted = (first[0, :, 0] / 65535 + to_bytes(first)[0, :, 0] / 255) / 2
    assert np.abs(mixed - wanted).max() < 0.51 / 1023 + 1e-4
    assert len(np.unique(mixed)) > 600
    convert(clip, tmp_path / "whole.mkv", 1.0, codec="ffv1")
    with open_video(tmp_path / "whole.mkv", deep=True) as result:
        painted = next(iter(result)).pixels[0, :, 0]
    assert np.abs(painted / 257 - to_bytes(first)[0, :, 0]).max() < 0.2


def test_pictures_of_one_film_are_all_of_one_depth() -> None:
    colour = Colour(matrix=1, full_range=False)
    deep, plain = (make_frame(picture(), name, 1, False) for name in ("yuv420p10le", "yuv420p"))
    for first, kind in ((deep, np.uint16), (plain, np.uint8)):
        reader = PixelReader(first, colour, deep=True, tone_map=False)
        both = [reader(frame) for frame in (deep, plain)]
        assert [pixels.dtype for pixels in both] == [kind, kind]
        assert np.abs(to_bytes(both[0]).astype(int) - to_bytes(both[1])).mean() < 1


def test_only_who_asks_is_given_sixteen_bits(tmp_path: Path) -> None:
    clip = ten_bit_clip(tmp_path / "in.mkv")
    with open_video(clip) as source:
        assert next(iter(source)).pixels.dtype == np.uint8
        assert source.info.bits == 10
    with open_video(clip, deep=True) as source:
        assert next(iter(source)).pixels.dtype == np.uint16
        assert source.health.notes == ()
    with open_video(make_clip(tmp_path / "b.mp4", frames=2), deep=True) as source:
        assert next(iter(source)).pixels.dtype == np.uint8
