"""Reading video files: times, ranges, rotation, sizes, health."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from rtstyle.errors import LimitExceeded, UsageError
from rtstyle.media import open_video
from rtstyle.types import Frame, Limits, Size, StreamInfo
from tests.clips import make_clip, moving_picture, read_frames, video_pts


def frames_of(path: Path, start: Fraction | None = None) -> list[Frame]:
    with open_video(path, start=start) as source:
        return list(source)


def test_every_frame_comes_with_its_own_time(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=12)
    with open_video(clip) as source:
        frames = list(source)
        assert source.info.size == Size(64, 48)
        assert source.info.frames_in_header == 12
        assert source.info.duration_in_header == Fraction(12, 25)
        assert source.info.average_rate == 25
        assert source.info.rotation == 0
        assert source.info.pixel_aspect == 1
        assert source.health.decode_failures == 0
        assert source.health.repaired_timestamps == 0
    assert [frame.seconds for frame in frames] == [Fraction(i, 25) for i in range(12)]
    assert [frame.index for frame in frames] == list(range(12))
    assert all(frame.duration == frame.time_base.denominator // 25 for frame in frames)
    for frame in frames:
        wanted = moving_picture((64, 48), frame.index)
        assert np.abs(frame.pixels.astype(int) - wanted).mean() < 4


def test_variable_rate_stays_variable(tmp_path: Path) -> None:
    stamps = [0, 1, 61, 62, 63, 200]
    clip = make_clip(tmp_path / "a.mp4", pts=stamps, time_base=Fraction(1, 60), rate=60)
    assert [f.seconds for f in frames_of(clip)] == [Fraction(s, 60) for s in stamps]
    stamps = [0, *itertools.accumulate([1001, 2002] * 5)]
    clip = make_clip(tmp_path / "b.mp4", pts=stamps, time_base=Fraction(1, 60000), rate=40)
    assert [f.seconds for f in frames_of(clip)] == [Fraction(s, 60000) for s in stamps]


def test_frames_held_back_by_the_decoder_are_not_lost(tmp_path: Path) -> None:
    options = {"bf": "4", "preset": "medium", "x264-params": "open-gop=1:keyint=12"}
    clip = make_clip(tmp_path / "a.mp4", frames=50, options=options)
    times = [frame.seconds for frame in frames_of(clip)]
    assert times == [Fraction(i, 25) for i in range(50)]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied_once(tmp_path: Path, rotation: int) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=2, rotation=rotation, pixel_aspect=Fraction(4, 3))
    turns = {
        90: cv2.ROTATE_90_CLOCKWISE,
        180: cv2.ROTATE_180,
        270: cv2.ROTATE_90_COUNTERCLOCKWISE,
    }
    stored = read_frames(clip)[0]
    with open_video(clip) as source:
        info = source.info
        upright = next(iter(source)).pixels
    assert info.rotation == rotation
    assert info.size == (Size(64, 48) if rotation == 180 else Size(48, 64))
    assert info.pixel_aspect == (Fraction(4, 3) if rotation == 180 else Fraction(3, 4))
    assert np.abs(upright.astype(int) - cv2.rotate(stored, turns[rotation])).mean() < 5


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize(
    ("start", "end"), [("0.5", "1"), ("3.3", "3.5"), ("5.95", None), (None, "0.1"), ("0.01", "0.1")]
)
def test_a_range_is_cut_exactly(
    tmp_path: Path, name: str, start: str | None, end: str | None
) -> None:
    clip = make_clip(tmp_path / name, frames=150, options={"g": "40", "bf": "2"})
    everything = frames_of(clip)
    zero = everything[0].seconds
    low = Fraction(start) if start is not None else Fraction(0)
    high = Fraction(end) if end is not None else Fraction(1000)
    wanted = [f for f in everything if low <= f.seconds - zero < high]
    begin = None if start is None else low
    with open_video(clip, start=begin, end=None if end is None else high) as source:
        got = list(source)
        assert source.info.start_pts == everything[0].pts
    assert [f.pts for f in got] == [f.pts for f in wanted]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(got, wanted, strict=True))
    assert [f.index for f in got] == list(range(len(wanted)))


def test_ranges_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    for start, end in ((-1, None), (2, 1), (1, 1), (None, 0)):
        with pytest.raises(UsageError):
            open_video(
                clip,
                start=None if start is None else Fraction(start),
                end=None if end is None else Fraction(end),
            )
    with open_video(clip, start=Fraction(100)) as source, pytest.raises(UsageError):
        list(source)


def test_limits_hold(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    with pytest.raises(LimitExceeded, match="64x48"):
        open_video(clip, limits=Limits(max_pixels=64 * 48 - 1))
    with open_video(clip, limits=Limits(max_pixels=64 * 48, max_frames=12)) as source:
        assert len(list(source)) == 12
    for limits in (Limits(max_frames=11), Limits(max_seconds=0.3)):
        with open_video(clip, limits=limits) as source, pytest.raises(LimitExceeded):
            list(source)


def test_streams_are_listed(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", audio=True, audio_tracks=2)
    with open_video(clip) as source:
        video, first, second = source.info.streams
    assert (video.kind, video.codec) == ("video", "h264")
    assert first == StreamInfo(1, "audio", "aac", "eng")
    assert second.language == "deu"


def test_a_change_of_size_is_fitted_into_the_first(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "a.h264", frames=4, size=(64, 48))
    two = make_clip(tmp_path / "b.h264", frames=4, size=(32, 48))
    (tmp_path / "c.h264").write_bytes(one.read_bytes() + two.read_bytes())
    with open_video(tmp_path / "c.h264") as source:
        frames = list(source)
        notes = source.health.notes
    assert [f.size for f in frames] == [Size(64, 48)] * 8
    assert len(notes) == 1
    assert "64x48 to 32x48" in notes[0]
    bars = frames[5].pixels
    assert bars[:, :15].max() == 0
    assert bars[:, -15:].max() == 0
    assert bars[:, 20:40].mean() > 50


def test_missing_times_are_made_from_the_rate_and_counted(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.h264", frames=9)
    with open_video(clip) as source:
        frames = list(source)
        assert source.health.repaired_timestamps == 9
    assert [f.seconds for f in frames] == [Fraction(i, 25) for i in range(9)]


def test_more_than_eight_bits_are_noted(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", pixel_format="yuv420p10le", frames=2)
    with open_video(clip) as source:
        assert source.health.notes == ("the source has 10 bits a sample; it is read with 8",)


def test_a_grey_video_is_read(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", pixel_format="gray", frames=3)
    frames = frames_of(clip)
    assert len(frames) == 3
    assert np.ptp(frames[0].pixels.astype(int), axis=2).max() <= 1


def test_an_abandoned_or_closed_source_holds_nothing(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=30)
    source = open_video(clip)
    iterator = iter(source)
    next(iterator)
    source.close()
    source.close()
    assert list(iterator) == []
    with pytest.raises(ValueError, match="closed"):
        iter(source)
    ranged = open_video(clip, start=Fraction(1, 2))
    next(iter(ranged))
    ranged.close()
    open_video(clip).close()


def test_the_first_of_two_videos_is_read_and_a_cover_is_none(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=3)
    path = tmp_path / "cover.mp4"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        still = av.VideoFrame.from_ndarray(moving_picture((16, 16), 0), format="rgb24")
        for packet in cover.encode(still.reformat(format="yuvj420p")):
            target.mux(packet)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                target.mux(packet)
    with open_video(path) as result:
        assert result.info.size == Size(64, 48)
        assert len(list(result)) == 3


def test_a_late_start_keeps_its_time(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", pts=[43, 44, 45], time_base=Fraction(1, 40), rate=40)
    frames = frames_of(clip)
    assert [f.seconds for f in frames] == video_pts(clip)
    assert frames[0].seconds == Fraction(43, 40)
    assert [f.index for f in frames_of(clip, start=Fraction(1, 40))] == [0, 1]
