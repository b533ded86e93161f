"""The shape of pixels, which Matroska holds for codecs that do not say it themselves."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

import pytest

from rtstyle import verify_video
from rtstyle.media import EncodeOptions, open_video
from rtstyle.media.matroska import store_pixel_aspect
from tests.clips import audio_packets, make_clip, read_frames, video_pts
from tests.unit.test_media_writer import copy

FILES = [
    ("vp9", "b.webm"),
    ("vp9", "b.mkv"),
    ("av1", "b.webm"),
    ("av1", "b.mkv"),
    ("prores", "b.mkv"),
    ("prores", "b.mov"),
    ("ffv1", "b.mkv"),
    ("h264", "b.mkv"),
    ("hevc", "b.mkv"),
    ("vp9", "b.mp4"),
]


@pytest.mark.parametrize(("codec", "name"), FILES)
def test_every_codec_and_container_keep_the_shape_of_pixels(
    tmp_path: Path, codec: str, name: str
) -> None:
    shape = Fraction(16, 11)
    clip = make_clip(tmp_path / "a.mp4", pixel_aspect=shape, size=(176, 144), frames=3)
    report = copy(clip, tmp_path / name, EncodeOptions(codec=codec))
    assert report.notes == ()
    with open_video(tmp_path / name) as video:
        assert video.info.pixel_aspect == shape
        assert len(list(video)) == 3


@pytest.mark.parametrize("shape", [Fraction(128, 117), Fraction(1, 3), Fraction(7, 1)])
def test_shapes_that_make_no_whole_pixels_are_as_near_as_one_can_be(
    tmp_path: Path, shape: Fraction
) -> None:
    clip = make_clip(tmp_path / "a.mp4", pixel_aspect=shape, size=(176, 144), frames=5, audio=True)
    report = copy(clip, tmp_path / "b.mkv", EncodeOptions(codec="vp9"))
    with open_video(tmp_path / "b.mkv") as video:
        assert abs(video.info.pixel_aspect - shape) * 176 <= 1
    assert report.bytes == (tmp_path / "b.mkv").stat().st_size
    before, after = audio_packets(clip)[0], audio_packets(tmp_path / "b.mkv")[0]
    assert [digest for digest, _ in before] == [digest for digest, _ in after]
    (found,) = (c for c in verify_video(clip, tmp_path / "b.mkv").checks if c.name == "aspect")
    assert found.kept


def test_the_file_stays_whole_and_its_checksum_true(tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0", frames=4)
    size, pictures, times = plain.stat().st_size, read_frames(plain), video_pts(plain)
    assert _checksum_holds(plain)
    assert store_pixel_aspect(plain, Fraction(4, 3))
    assert plain.stat().st_size == size
    assert video_pts(plain) == times
    assert all((a == b).all() for a, b in zip(read_frames(plain), pictures, strict=True))
    assert _checksum_holds(plain)
    # A second shape replaces the first.
    assert store_pixel_aspect(plain, Fraction(1, 2))
    with open_video(plain) as video:
        assert video.info.pixel_aspect == Fraction(1, 2)


def _checksum_holds(path: Path) -> bool:
    """Whether the tracks are what their CRC-32, their first element, says."""
    data = path.read_bytes()
    # The first is the table of contents'.
    place = data.index(b"\x16\x54\xae\x6b", data.index(b"\x16\x54\xae\x6b") + 4) + 4
    length = 9 - data[place].bit_length()
    size = int.from_bytes(data[place : place + length], "big") & (2 ** (7 * length) - 1)
    tracks = data[place + length : place + length + size]
    assert tracks[:2] == b"\xbf\x84"
    return int.from_bytes(tracks[2:6], "little") == zlib.crc32(tracks[6:])


@pytest.mark.parametrize("cut", [0, 1, 40, 200, 300, 400])
def test_files_of_another_build_are_left_as_they_are(tmp_path: Path, cut: int) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0", frames=2)
    other = make_clip(tmp_path / "b.mp4", frames=2)
    for data in (clip.read_bytes()[:cut], other.read_bytes(), bytes(5000), b"\xff" * 5000):
        path = tmp_path / "c.mkv"
        path.write_bytes(data)
        assert not store_pixel_aspect(path, Fraction(4, 3))
        assert path.read_bytes() == data


def test_a_shape_that_cannot_be_said_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtstyle.media.pictures.store_pixel_aspect", lambda *_: False)
    clip = make_clip(tmp_path / "a.mp4", pixel_aspect=Fraction(4, 3), frames=2)
    report = copy(clip, tmp_path / "b.webm", EncodeOptions(codec="vp9"))
    (note,) = report.notes
    assert "4:3" in note
    assert "--codec h264" in note
    assert copy(clip, tmp_path / "b.mkv", EncodeOptions()).notes == ()
