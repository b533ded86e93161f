"""Damaged and odd sources from end to end: what comes out, when it is shown, and what is said."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from rtstyle.backends import FakeStylizer
from rtstyle.errors import CorruptInput, EncoderUnavailable, LimitExceeded, NotAVideo, OutputError
from rtstyle.media import codecs
from rtstyle.media.pictures import add_pictures
from rtstyle.pipeline import Progress, stylize_video
from rtstyle.types import Limits, RunReport
from tests.clips import audio_packets, make_clip, moving_picture, read_frames, video_pts
from tests.remux import AnyPacket, remux


def convert(source: Path, output: Path, **options: Any) -> RunReport:  # noqa: ANN401 - as it is
    """``options`` are whatever stylize_video takes; the pictures are encoded as they are."""
    with FakeStylizer() as stylizer:
        return stylize_video(
            source, output, None, stylizer=stylizer, **{"preset": "ultrafast", **options}
        )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ruined(packet: AnyPacket) -> AnyPacket:
    """The packet's time with bytes that no decoder takes."""
    wrong: AnyPacket = Packet(b"\xff\xd8nothing like a picture" * 4)
    wrong.pts, wrong.dts, wrong.time_base = packet.pts, packet.dts, packet.time_base
    wrong.duration = packet.duration
    return wrong


def test_an_index_without_pictures_is_exit_3_and_no_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", container="mp4", frames=60)
    path = tmp_path / "b.mp4"
    with (
        av.open(str(clip)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 8])
    with pytest.raises(CorruptInput, match=r"b\.mp4.*not one frame") as caught:
        convert(path, tmp_path / "out.mp4")
    assert caught.value.exit_code == 3
    assert names(tmp_path) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_pictures_after_a_gap_are_still_in_time_with_the_sound(tmp_path: Path, name: str) -> None:
    clip = make_clip(
        tmp_path / "a.mkv", codec="mjpeg", pixel_format="yuvj420p", frames=50, audio=True
    )
    broken = {4, 5, 11, 30}
    source = remux(
        clip,
        tmp_path / "b.mkv",
        edit=lambda packet, number: (
            ruined(packet) if packet.stream_index == 0 and number in broken else packet
        ),
    )
    report = convert(source, tmp_path / name)
    assert report.decode_failures == len(broken)
    assert report.frames_in == report.frames_out == 50 - len(broken)
    assert report.finished_with_loss
    before, after = audio_packets(source)[0], audio_packets(tmp_path / name)[0]
    assert [digest for digest, _ in after] == [digest for digest, _ in before]
    moved = after[0][1] - before[0][1]
    wanted = [Fraction(index, 25) for index in range(50) if index not in broken]
    times = video_pts(tmp_path / name)
    assert len(times) == len(wanted)
    assert all(
        abs(got - moved - one) <= Fraction(1, 500) for got, one in zip(times, wanted, strict=True)
    )


def test_an_unknown_length_is_converted_without_a_total(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.h264", frames=30)
    told: list[Progress] = []
    report = convert(clip, tmp_path / "out.mp4", progress=told.append)
    assert {progress.frames_expected for progress in told} == {None}
    assert {progress.eta_seconds for progress in told} == {None}
    assert report.frames_out == 30 == len(read_frames(tmp_path / "out.mp4"))
    assert report.repaired_timestamps == 30
    assert not report.finished_with_loss


def test_a_large_picture_of_odd_size_keeps_its_size(tmp_path: Path) -> None:
    size = (4095, 2161)
    clip = make_clip(tmp_path / "a.mkv", codec="mjpeg", pixel_format="yuvj420p", size=size, pts=[0])
    convert(clip, tmp_path / "out.mp4")
    (before,), (after,) = read_frames(clip), read_frames(tmp_path / "out.mp4")
    assert after.shape == (2161, 4095, 3)
    # The last row and column are pictures too, no padding.
    for edge in (np.s_[-1], np.s_[:, -1]):
        assert np.abs(after[edge].astype(int) - before[edge]).mean() < 6


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_million_frames_a_second_are_kept(tmp_path: Path, name: str) -> None:
    tick = Fraction(1, 1_000_000)
    clip = make_clip(tmp_path / "a.mov", pts=list(range(40)), time_base=tick, rate=1_000_000)
    report = convert(clip, tmp_path / name)
    times = video_pts(tmp_path / name)
    assert report.frames_out == 40 == len(times)
    coarse = Fraction(1, 1000) if name.endswith("mkv") else Fraction(0)
    assert all(abs(time - index * tick) <= coarse for index, time in enumerate(times))


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_pictures_that_stand_for_hours_are_not_repeated(tmp_path: Path, name: str) -> None:
    stamps = [36_000 * 25 * index for index in range(11)]
    clip = make_clip(tmp_path / "a.mkv", pts=stamps)
    began = time.process_time()
    report = convert(clip, tmp_path / name)
    assert time.process_time() - began < 5
    assert report.frames_out == 11
    assert report.repaired_timestamps == 0
    assert (tmp_path / name).stat().st_size < 10**6
    times = video_pts(tmp_path / name)
    assert all(
        abs(got - Fraction(one, 25)) <= Fraction(1, 1000)
        for got, one in zip(times, stamps, strict=True)
    )


def test_limits_end_a_conversion_without_a_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=50)
    for limits in (Limits(max_frames=20), Limits(max_seconds=1.0)):
        with pytest.raises(LimitExceeded, match=r"a\.mp4"):
            convert(clip, tmp_path / "out.mp4", limits=limits)
    assert names(tmp_path) == ["a.mp4"]


def test_a_change_of_pixel_format_loses_neither_frames_nor_colours(tmp_path: Path) -> None:
    parts = [
        make_clip(tmp_path / f"{number}.h264", frames=5, pixel_format=pixel_format)
        for number, pixel_format in enumerate(("yuv420p", "yuv444p", "yuv420p"))
    ]
    source = tmp_path / "in.h264"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    report = convert(source, tmp_path / "out.mp4")
    frames = read_frames(tmp_path / "out.mp4")
    assert len(frames) == 15 == report.frames_out
    for index, frame in enumerate(frames):
        wanted = moving_picture((64, 48), index % 5)
        assert np.abs(frame.astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_repeated_and_backward_times_do_not_end_the_run(tmp_path: Path, name: str) -> None:
    stamps = [0, 1, 1, 3, 2, 5, 6, 6, 6, 9]
    clip = make_clip(tmp_path / "a.mkv", codec="mjpeg", pixel_format="yuvj420p", frames=10)

    def restamp(packet: AnyPacket, number: int) -> AnyPacket:
        packet.pts, packet.dts = 40 * (10 + stamps[number]), 40 * number
        return packet

    report = convert(remux(clip, tmp_path / "b.mkv", edit=restamp), tmp_path / name)
    times = video_pts(tmp_path / name)
    assert report.frames_out == 10 == len(times)
    assert report.repaired_timestamps >= 4
    assert any("repaired" in note for note in report.notes)
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert all(
        abs(got - Fraction(10 + index, 25)) <= Fraction(1, 25) for index, got in enumerate(times)
    )


def changing_run(folder: Path, change: Callable[[Path], None]) -> RunReport:
    """A conversion whose source is changed while its third frame is written."""
    source = make_clip(
        folder / "a.mkv", frames=600, size=(320, 240), options={"g": "10"}, audio=True
    )
    assert source.stat().st_size > 10**6

    def progress(at: Progress) -> None:
        if at.frames_done == 2:
            change(source)

    return convert(source, folder / "out.mkv", progress=progress)


def test_a_source_cut_meanwhile_ends_as_one_cut_before(tmp_path: Path) -> None:
    report = changing_run(tmp_path, lambda path: os.truncate(path, path.stat().st_size // 2))
    assert 0 < report.frames_out < 600
    assert report.frames_out == len(read_frames(tmp_path / "out.mkv"))
    assert report.finished_with_loss


def test_a_source_that_vanishes_meanwhile_is_named_and_its_frames_are_kept(tmp_path: Path) -> None:
    with pytest.raises(NotAVideo, match=r"a\.mkv.*no such file.*600 frames are kept"):
        changing_run(tmp_path, Path.unlink)
    assert not (tmp_path / "out.mkv").exists()


def test_an_encoder_that_is_not_there_is_named_with_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    there = codecs._opens
    monkeypatch.setattr(codecs, "_opens", lambda library: library != "libx265" and there(library))
    with pytest.raises(EncoderUnavailable, match=r"hevc.*libx265.*--codec h264") as caught:
        convert(clip, tmp_path / "out.mp4", codec="hevc", preset=None)
    assert caught.value.exit_code == 4
    assert names(tmp_path) == ["a.mp4"]


def test_an_encoder_that_fails_midway_leaves_no_file_under_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=30)
    output = tmp_path / "out.mp4"
    output.write_bytes(b"precious")

    class Failing:
        """A stream whose encoder breaks at its twentieth picture."""

        def __init__(self, stream: VideoStream) -> None:
            self.stream = stream
            self.calls = 0

        def encode(self, picture: av.VideoFrame | None) -> list[av.Packet[VideoStream]]:
            self.calls += 1
            if self.calls == 20:
                raise av.ExternalError(av.error.tag_to_code(b"EXT "), "the device is gone")
            return self.stream.encode(picture)

    def failing(*arguments: Any, **options: Any) -> tuple[Any, Any]:  # noqa: ANN401 - as it is
        stream, to_picture = add_pictures(*arguments, **options)
        return Failing(stream), to_picture

    monkeypatch.setattr("rtstyle.media.encode.add_pictures", failing)
    with pytest.raises(OutputError, match=r"out\.mp4.*device is gone") as caught:
        convert(clip, output, overwrite=True)
    assert caught.value.exit_code == 4
    assert output.read_bytes() == b"precious"
