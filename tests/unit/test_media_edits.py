"""Edit lists and pictures shown again: what players show is converted, and nothing else is missed
or claimed to be lost."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.media import open_video, verify_video
from rtstyle.pipeline import stylize_video
from rtstyle.types import RunReport
from tests.clips import make_clip, video_pts
from tests.edits import Segment, with_edits

REORDERED = {"preset": "medium", "bf": "2", "g": "12"}
FIRST_PICTURE = 0.08
"""Seconds of the track at which pictures begin, since the decoder has to run ahead."""
EDITS: dict[str, dict[str, list[Segment]]] = {
    "cut": {"vide": [(2, 1 + FIRST_PICTURE)], "soun": [(2, 1)]},
    "two parts": {
        "vide": [(1, FIRST_PICTURE), (1, 2 + FIRST_PICTURE)],
        "soun": [(1, 0), (1, 2)],
    },
    "late": {
        "vide": [(0.5, None), (2, FIRST_PICTURE)],
        "soun": [(0.5, None), (2, 0)],
    },
}


def convert(source: Path, output: Path) -> RunReport:
    with FakeStylizer() as stylizer:
        return stylize_video(source, output, None, stylizer=stylizer, strength=0.0)


def sound(path: Path) -> dict[int, npt.NDArray[Any]]:
    """What is heard, by the milliseconds after the first picture."""
    zero = video_pts(path)[0]
    with av.open(f"file:{path}") as container:
        found: dict[int, npt.NDArray[Any]] = {}
        for frame in container.decode(audio=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            found[round(1000 * (frame.pts * frame.time_base - zero))] = frame.to_ndarray()
        return found


def same_sound(one: Path, other: Path) -> bool:
    """Whether both sound alike at the same distance from the pictures, but at the edges of cuts,
    where decoders have nothing to begin with."""
    mine, theirs = sound(one), sound(other)
    near = {late + off: late for late in theirs for off in (-1, 0, 1)}
    alike = [
        bool(np.allclose(samples, theirs[near[late]], atol=1e-3))
        for late, samples in mine.items()
        if late in near and samples.shape == theirs[near[late]].shape
    ]
    return len(alike) >= 0.9 * len(mine) and sum(alike) >= 0.9 * len(alike)


def relative(times: Sequence[Fraction]) -> list[float]:
    return [round(float(time - times[0]), 3) for time in times]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("kind", EDITS)
def test_what_an_edit_list_shows_is_converted(tmp_path: Path, kind: str, ending: str) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=75, audio=True, options=REORDERED)
    source = with_edits(whole, tmp_path / "in.mp4", EDITS[kind])
    shown = video_pts(source)
    assert len(shown) == 50
    output = tmp_path / f"out.{ending}"
    report = convert(source, output)
    assert not report.finished_with_loss
    assert report.frames_in == report.frames_out == 50
    notes = " ".join(report.notes)
    assert "25 frame(s) of the source lie outside its edits" in notes
    assert "wrong timestamps" not in notes
    assert relative(video_pts(output)) == relative(shown)
    # Sound that a decoder needs to begin may come before the pictures; nothing that was cut may.
    assert abs(video_pts(output)[0] - shown[0]) < Fraction(1, 10)
    assert same_sound(source, output)
    assert verify_video(source, output).lost == ()


def test_pictures_before_zero_are_hidden_and_not_lost(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=list(range(-5, 20)), audio=True)
    with open_video(source) as video:
        assert (video.info.frames_in_header, video.info.frames_hidden) == (20, 5)
    report = convert(source, tmp_path / "out.mp4")
    assert not report.finished_with_loss
    assert report.frames_out == 20
    assert video_pts(tmp_path / "out.mp4") == video_pts(source)
    assert same_sound(source, tmp_path / "out.mp4")
    assert verify_video(source, tmp_path / "out.mp4").kept


def test_an_ordinary_file_hides_nothing(tmp_path: Path) -> None:
    with open_video(make_clip(tmp_path / "a.mp4", frames=9, options=REORDERED)) as video:
        assert (video.info.frames_in_header, video.info.frames_hidden) == (9, 0)
        list(video)
        assert video.health.notes == ()


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
def test_places_where_avi_shows_a_picture_again_are_no_pictures(tmp_path: Path, codec: str) -> None:
    stamps = [0, 1, 2, 10, 11, 12, 20, 21]
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = make_clip(tmp_path / "in.avi", codec=codec, pixel_format=pixel_format, pts=stamps)
    with open_video(source) as video:
        assert video.info.frames_in_header == len(stamps)
        assert [frame.seconds for frame in video] == video_pts(source)
    report = convert(source, tmp_path / "out.mkv")
    assert (report.finished_with_loss, report.frames_out) == (False, len(stamps))
    assert verify_video(source, tmp_path / "out.mkv").kept


def test_an_avi_that_was_cut_short_is_still_a_loss(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.avi", codec="mpeg4", frames=200).read_bytes()
    source = tmp_path / "in.avi"
    source.write_bytes(whole[: len(whole) // 2])
    report = convert(source, tmp_path / "out.mkv")
    assert report.finished_with_loss
    assert report.frames_out < 150
    assert any("of the 200 frames" in note for note in report.notes)
