"""Segments: what their facts say, whether their files hold it, and where it is found again."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtstyle.media import (
    EncodeOptions,
    FrameClock,
    SegmentFacts,
    SegmentFile,
    SegmentWriter,
    find_pictures,
    is_whole,
)
from rtstyle.types import Colour, Frame, Pixels, Size, VideoInfo
from tests.clips import moving_picture, video_pts

TICK = Fraction(1, 25)


def info_of(size: Size) -> VideoInfo:
    return VideoInfo(size, TICK, Fraction(25), None, None, 0, Fraction(1), Colour(), "drawn")


def write(path: Path, pictures: list[Pixels], options: EncodeOptions, first: int) -> SegmentFacts:
    info = info_of(Size(pictures[0].shape[1], pictures[0].shape[0]))
    writer = SegmentWriter(path, info, options, FrameClock(info), muxer="mp4")
    for index, pixels in enumerate(pictures, first):
        writer.write(Frame(pixels, index, TICK, 1, index))
    return writer.finish()


@pytest.fixture
def pictures() -> list[Pixels]:
    return [moving_picture((64, 48), index) for index in range(30)]


def test_facts_tell_every_picture_and_the_file_holds_them(
    tmp_path: Path, pictures: list[Pixels]
) -> None:
    path = tmp_path / "000000.mkv"
    facts = write(path, pictures, EncodeOptions(preset="medium"), 100)
    assert facts.frames == 30
    assert (facts.first, facts.last, facts.end) == (100, 129, 130)
    assert sorted(facts.pts) == list(range(100, 130))
    # Stored as they are decoded.
    assert list(facts.pts) != sorted(facts.pts)
    assert facts.delay >= 1
    assert facts.keys[0] == 0
    assert len(video_pts(path)) == 30
    assert is_whole(SegmentFile(path), facts)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert not is_whole(SegmentFile(path), facts)
    path.unlink()
    assert not is_whole(SegmentFile(path), facts)


def test_what_was_written_of_a_segment_can_be_played(
    tmp_path: Path, pictures: list[Pixels]
) -> None:
    path, info = tmp_path / "000000.mkv", info_of(Size(64, 48))
    options = EncodeOptions(preset="ultrafast")
    writer = SegmentWriter(path, info, options, FrameClock(info), muxer="mp4")
    long = pictures * 4
    for index, pixels in enumerate(long):
        writer.write(Frame(pixels, index, TICK, 1, index))
    held = path.read_bytes()
    writer.abort()
    (tmp_path / "killed.mkv").write_bytes(held)
    # A second of pictures waits for its cluster, and a few in the encoder.
    assert len(video_pts(tmp_path / "killed.mkv")) >= len(long) - 2 * 25


def test_pictures_are_found_in_a_file_that_holds_them_in_order(
    tmp_path: Path, pictures: list[Pixels]
) -> None:
    path, film = tmp_path / "000000.mkv", tmp_path / "film"
    facts = write(path, pictures, EncodeOptions(), 0)
    film.write_bytes(b"")
    assert find_pictures(path, film, 0) is None
    film.write_bytes(b"head" + path.read_bytes())
    offsets = find_pictures(path, film, 0)
    assert offsets is not None
    assert len(offsets) == 30
    assert offsets == sorted(offsets)
    assert is_whole(SegmentFile(film, offsets), facts)
    assert not is_whole(SegmentFile(film, [offset + 1 for offset in offsets]), facts)
    # Further on there is only a part of them.
    assert find_pictures(path, film, offsets[3]) is None


@pytest.mark.parametrize(
    "facts",
    [
        {"pts": [], "lengths": [], "sizes": [], "keys": []},
        {"pts": [1, 2], "lengths": [1], "sizes": [5, 5], "keys": [0]},
        {"pts": [1, 1], "lengths": [1, 1], "sizes": [5, 5], "keys": [0]},
    ],
)
def test_facts_that_cannot_be_are_refused(facts: dict[str, list[int]]) -> None:
    with pytest.raises(ValueError, match="segment"):
        SegmentFacts(**facts, crc32=0)


def grainy() -> list[Pixels]:
    """Slow motion under grain, in a size whose height is no multiple of a macroblock."""
    chance = np.random.default_rng(3)
    coarse = chance.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (900, 600), interpolation=cv2.INTER_CUBIC).astype(int) // 3
    pictures = []
    for n in range(80):
        view = scene[n // 3 : n // 3 + 180, n // 2 : n // 2 + 320]
        grain = chance.integers(-6, 7, (180, 320, 1))
        pictures.append(np.clip(view + grain, 0, 255).astype(np.uint8))
    return pictures


ENCODE = """
import sys
from pathlib import Path
from rtstyle.media import EncodeOptions
from tests.unit.test_media_segment import grainy, write

print(write(Path(sys.argv[1]), grainy(), EncodeOptions(codec=sys.argv[2]), 0).crc32)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc fills memory on demand")
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9"])
def test_the_same_pictures_give_the_same_file(tmp_path: Path, codec: str) -> None:
    """Whatever lies in memory that an encoder takes: a resumed film is the same bit for bit."""
    made = set()
    for filling in ("0", "90", "165"):
        done = subprocess.run(
            [sys.executable, "-c", ENCODE, str(tmp_path / f"{filling}.mkv"), codec],
            env={**os.environ, "MALLOC_PERTURB_": filling},
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        made.add(done.stdout)
    assert len(made) == 1
