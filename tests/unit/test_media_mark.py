"""Reading a film on from a mark gives what reading it in one go gives."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtstyle.errors import CorruptInput
from rtstyle.media import open_video
from rtstyle.media.mark import Mark
from rtstyle.types import Frame
from tests.clips import make_clip, moving_picture

FRAMES = 90
_REORDERED = {"preset": "medium", "bf": "4", "g": "25"}

KINDS: dict[str, dict[str, Any]] = {
    "a.mp4": {"options": _REORDERED},
    "open.mkv": {"options": {**_REORDERED, "x264-params": "open-gop=1"}},
    "one-key.mp4": {"options": {"g": "1000"}},
    "variable.mkv": {
        "pts": [0, *(40 * n + 7 * (n % 3) for n in range(1, FRAMES))],
        "time_base": Fraction(1, 1000),
    },
    "late.ts": {"options": _REORDERED},
    "raw.h264": {"container": "h264"},
    "old.avi": {"codec": "mpeg4"},
    "fields.mp4": {"options": {"flags": "+ildct+ilme", "x264-params": "tff=1", "g": "10"}},
    "intra.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
}


def read(path: Path, **options: Any) -> tuple[list[Frame], dict[int, Mark]]:  # noqa: ANN401
    """The frames of a clip, and the mark behind each, by the number of frames before it."""
    with open_video(path, **options) as video:
        frames, marks = [], {}
        for frame in video:
            frames.append(frame)
            marks[frame.index + 1] = Mark.from_json(json.loads(json.dumps(video.mark().to_json())))
        return frames, marks


def assert_same(got: list[Frame], wanted: list[Frame]) -> None:
    assert [(f.index, f.pts, f.time_base, f.duration) for f in got] == [
        (f.index, f.pts, f.time_base, f.duration) for f in wanted
    ]
    for one, other in zip(got, wanted, strict=True):
        assert np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("after", [1, 2, 37, 88, FRAMES])
def test_what_follows_a_mark_is_what_followed_it(tmp_path: Path, name: str, after: int) -> None:
    clip = make_clip(tmp_path / name, frames=FRAMES, **KINDS[name])
    frames, marks = read(clip)
    assert len(frames) == FRAMES
    rest, later = read(clip, after=marks[after])
    assert_same(rest, frames[after:])
    assert all(later[place] == marks[place] for place in later)


@pytest.mark.parametrize("name", ["a.mp4", "late.ts"])
def test_within_a_range_too(tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / name, frames=FRAMES, **KINDS[name])
    span = {"start": Fraction(5, 2), "end": Fraction(33, 10)}
    frames, marks = read(clip, **span)
    assert len(frames) == 20
    rest, _ = read(clip, **span, after=marks[7])
    assert_same(rest, frames[7:])


def test_a_still_picture_is_known_by_its_time(tmp_path: Path) -> None:
    still = [moving_picture((64, 48), 3)] * FRAMES
    clip = make_clip(tmp_path / "a.mp4", frames=FRAMES, pictures=still)
    frames, marks = read(clip)
    rest, _ = read(clip, after=marks[50])
    assert_same(rest, frames[50:])


def test_repaired_times_go_on_as_they_were(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.avi", frames=FRAMES, codec="mpeg4", options={"g": "12"})
    frames, marks = read(clip)
    _, later = read(clip, after=marks[60])
    assert later[FRAMES].repaired == marks[FRAMES].repaired
    assert frames[-1].index == FRAMES - 1


def test_another_film_of_the_same_name_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=FRAMES)
    _, marks = read(clip)
    clip.unlink()
    other = [moving_picture((64, 48), 5 * index) for index in range(FRAMES)]
    make_clip(clip, frames=FRAMES, pictures=other)
    with pytest.raises(CorruptInput, match=r"a\.mp4.*--overwrite"):
        read(clip, after=marks[40])


def test_a_shorter_film_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=FRAMES)
    _, marks = read(clip)
    clip.unlink()
    make_clip(clip, frames=30)
    with pytest.raises(CorruptInput, match=r"a\.mp4.*--overwrite"):
        read(clip, after=marks[40])


def test_a_mark_is_read_back_or_refused() -> None:
    mark = Mark(7, (5, None, 6), (1, 2, 3), 6, 0, 0, 0, 0, ("a note",))
    assert Mark.from_json(json.loads(json.dumps(mark.to_json()))) == mark
    changes: list[dict[str, object]] = [
        {"frames": 0},
        {"crc32": []},
        {"stamps": "x"},
        {"last": None},
    ]
    for broken in changes:
        with pytest.raises((KeyError, TypeError, ValueError)):
            Mark.from_json({**mark.to_json(), **broken})
    with pytest.raises(KeyError):
        Mark.from_json({})


def test_there_is_no_mark_before_the_first_frame(tmp_path: Path) -> None:
    with open_video(make_clip(tmp_path / "a.mp4", frames=2)) as video:
        with pytest.raises(ValueError, match="first frame"):
            video.mark()
        next(iter(video))
        assert video.mark().frames == 1
