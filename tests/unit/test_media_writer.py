"""Writing video files: times, sound, sizes, codecs, ranges."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.errors import EncoderUnavailable, OutputError, UsageError
from rtstyle.media import (
    CODEC_NAMES,
    EncodeOptions,
    VideoWriter,
    encoders,
    open_video,
    write_clip,
)
from rtstyle.types import Frame, SinkReport, Size
from tests.clips import (
    audio_packets,
    make_clip,
    moving_picture,
    read_frames,
    tone,
    video_pts,
)

FAST = EncodeOptions(preset="ultrafast")


def copy(
    source: Path,
    output: Path,
    options: EncodeOptions = FAST,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
) -> SinkReport:
    with (
        open_video(source, start=start, end=end) as video,
        VideoWriter(output, video.info, options, source=source, start=start, end=end) as writer,
    ):
        for frame in video:
            writer.write(frame)
        return writer.finish()


def samples_of(path: Path, stream: int = 0) -> tuple[npt.NDArray[np.float32], Fraction]:
    """Mono float samples of an audio stream and the second at which they begin."""
    with av.open(str(path)) as container:
        pieces, begin = [], None
        for frame in container.decode(audio=stream):
            assert frame.pts is not None
            assert frame.time_base is not None
            begin = frame.pts * frame.time_base if begin is None else begin
            pieces.append(frame.to_ndarray()[0])
    assert begin is not None
    return np.concatenate(pieces).astype(np.float32), begin


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv", "b.mov", "b.m4v"])
def test_a_copy_keeps_frames_times_and_sound(tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=30, audio=True, audio_tracks=2)
    report = copy(clip, tmp_path / name)
    tick = Fraction(1, 1000) if name.endswith("mkv") else Fraction(0)
    source, result = video_pts(clip), video_pts(tmp_path / name)
    assert len(result) == 30 == report.frames
    # Matroska has no place for sound before zero and moves everything by the same time.
    moved = result[0] - source[0]
    assert moved == 0 or (name.endswith("mkv") and any("moved" in n for n in report.notes))
    assert all(abs(b - a - moved) <= tick for a, b in zip(source, result, strict=True))
    before, after = audio_packets(clip), audio_packets(tmp_path / name)
    assert len(before) == len(after) == 2
    for old, new in zip(before, after, strict=True):
        assert [digest for digest, _ in old] == [digest for digest, _ in new]
        assert all(abs(b[1] - a[1] - moved) <= tick for a, b in zip(old, new, strict=True))
    german = "ger" if name.endswith("mov") else "deu"
    with av.open(str(tmp_path / name)) as container:
        assert [stream.language for stream in container.streams.audio] == ["eng", german]
    assert report.bytes == (tmp_path / name).stat().st_size
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_variable_rate_comes_out_as_it_went_in(tmp_path: Path, name: str) -> None:
    stamps = [0, 1, 61, 62, 63, 64, 200, 201]
    clip = make_clip(tmp_path / "a.mp4", pts=stamps, time_base=Fraction(1, 60), rate=60)
    copy(clip, tmp_path / name, EncodeOptions(preset="medium"))
    tick = Fraction(1, 1000) if name.endswith("mkv") else Fraction(0)
    for wanted, got in zip(stamps, video_pts(tmp_path / name), strict=True):
        assert abs(Fraction(wanted, 60) - got) <= tick


def test_the_last_frame_keeps_its_duration(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=10)
    with open_video(clip) as video:
        frames, info = list(video), video.info
    assert frames[-1].duration is not None
    last = replace(frames[-1], duration=frames[-1].duration * 20)
    for preset in ("ultrafast", "medium"):
        output = tmp_path / f"{preset}.mp4"
        with VideoWriter(output, info, EncodeOptions(preset=preset)) as writer:
            for frame in (*frames[:-1], last):
                writer.write(frame)
            writer.finish()
        # FFmpeg adds up decoding times instead of reading the movie's own duration.
        data = output.read_bytes()
        ticks, duration = struct.unpack_from(">II", data, data.index(b"mvhd") + 16)
        assert Fraction(duration, ticks) == Fraction(9 + 20, 25)


@pytest.mark.parametrize("codec", CODEC_NAMES)
@pytest.mark.parametrize("size", [(64, 48), (65, 49), (17, 18)])
def test_every_codec_keeps_every_size(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    libraries = {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1"}
    assert set(encoders().values()) == libraries
    clip = make_clip(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0", size=size, frames=4)
    if codec == "av1" and min(size) < 32:
        with pytest.raises(EncoderUnavailable, match=r"17x18.*ffv1"):
            copy(clip, tmp_path / "b.mkv", EncodeOptions(codec=codec))
        return
    report = copy(clip, tmp_path / "b.mkv", EncodeOptions(codec=codec))
    with open_video(tmp_path / "b.mkv") as result:
        assert result.info.size == Size(*size)
        stored = list(result)
    assert len(stored) == 4
    for frame, wanted in zip(stored, read_frames(clip), strict=True):
        assert np.abs(frame.pixels.astype(int) - wanted).mean() < 6
    odd = any(length % 2 for length in size) and codec in ("h264", "hevc")
    assert any("4:4:4" in note for note in report.notes) == odd


CHECKED_HEAP = """
import sys
from pathlib import Path
from rtstyle.media import EncodeOptions
from tests.unit.test_media_writer import copy
copy(Path(sys.argv[1]), Path(sys.argv[2]), EncodeOptions(codec="hevc"))
"""


def test_hevc_of_narrow_pictures_leaves_the_heap_whole(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", size=(32, 32), frames=4)
    ended = subprocess.run(
        [sys.executable, "-c", CHECKED_HEAP, str(clip), str(tmp_path / "b.mp4")],
        # glibc's own check; where there is no such library the loader says so and goes on.
        env={**os.environ, "LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(read_frames(tmp_path / "b.mp4")) == 4


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5)])
def test_the_smallest_pictures_work_or_say_what_would(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0", size=size, frames=3)
    copy(clip, tmp_path / "b.mp4")
    with open_video(tmp_path / "b.mp4") as result:
        assert [frame.size for frame in result] == [Size(*size)] * 3
    with pytest.raises(EncoderUnavailable, match="ffv1"):
        copy(clip, tmp_path / "c.mp4", EncodeOptions(codec="av1"))
    assert not list(tmp_path.glob("c.*"))


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_hevc_clips_are_whole(tmp_path: Path, frames: int) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=frames, size=(160, 32))
    # What x265 leaves unset is now and then what it should be.
    for attempt in range(4):
        output = tmp_path / f"{attempt}.mp4"
        copy(clip, output, EncodeOptions(codec="hevc"))
        assert video_pts(output) == video_pts(clip)


def test_pixel_aspect_is_kept(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", pixel_aspect=Fraction(16, 11), rotation=90, frames=3)
    copy(clip, tmp_path / "b.mp4")
    with open_video(tmp_path / "b.mp4") as result:
        assert result.info.pixel_aspect == Fraction(11, 16)
        assert result.info.rotation == 0
        assert result.info.size == Size(48, 64)


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_frames_before_zero_are_not_lost_and_stay_in_sync(tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=10, audio=True)
    with open_video(clip) as video:
        info, frames = video.info, list(video)
    early = [replace(frame, pts=frame.pts - 5 * 512) for frame in frames]
    with VideoWriter(tmp_path / name, info, FAST, source=clip) as writer:
        for frame in early:
            writer.write(frame)
        report = writer.finish()
    assert len(video_pts(tmp_path / name)) == 10
    assert any("later" in note for note in report.notes)
    offset = audio_packets(tmp_path / name)[0][0][1] - video_pts(tmp_path / name)[0]
    wanted = audio_packets(clip)[0][0][1] - early[0].seconds
    assert abs(offset - wanted) <= Fraction(1, 1000)


def test_ticks_finer_than_a_muxer_counts_do_not_fall_together(tmp_path: Path) -> None:
    with open_video(make_clip(tmp_path / "a.mp4", frames=1)) as video:
        frame, info = next(iter(video)), replace(video.info, time_base=Fraction(1, 10**10))
    with VideoWriter(tmp_path / "b.mp4", info, FAST) as writer:
        for index in range(5):
            writer.write(replace(frame, pts=index, time_base=info.time_base, duration=None))
        with pytest.raises(ValueError, match="does not follow"):
            writer.write(replace(frame, pts=4, time_base=info.time_base))
        writer.finish()
    assert len(set(video_pts(tmp_path / "b.mp4"))) == 5


def test_webm_takes_av1_and_opus(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=8, audio=True, audio_codec="libopus")
    copy(clip, tmp_path / "b.webm", EncodeOptions(codec="av1", preset="12"))
    assert video_pts(tmp_path / "b.webm") == video_pts(clip)
    assert audio_packets(tmp_path / "b.webm") == audio_packets(clip)


def test_encoders_keep_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    for codec in ("h264", "hevc", "av1"):
        copy(clip, tmp_path / f"{codec}.mkv", EncodeOptions(codec=codec))
    assert capfd.readouterr() == ("", "")


def test_a_broadcast_clock_starts_at_zero_in_the_output(tmp_path: Path) -> None:
    stamps = [90_000 * 36_000 + 3600 * i for i in range(20)]
    clip = make_clip(
        tmp_path / "a.ts",
        pts=stamps,
        time_base=Fraction(1, 90000),
        audio=True,
        audio_start=36_000.0,
        audio_seconds=0.8,
    )
    report = copy(clip, tmp_path / "b.mp4")
    old_sound, new_sound = audio_packets(clip)[0], audio_packets(tmp_path / "b.mp4")[0]
    old, new = video_pts(clip), video_pts(tmp_path / "b.mp4")
    assert len(new) == 20
    assert abs(min(new[0], new_sound[0][1])) <= Fraction(1, 1000)
    assert abs((new_sound[0][1] - new[0]) - (old_sound[0][1] - old[0])) <= Fraction(1, 1000)
    assert len(new_sound) == len(old_sound)
    assert any("earlier" in note for note in report.notes)


def test_streams_left_behind_are_named(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=5, audio=True)
    path = tmp_path / "two.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        copies = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams}
        second = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
                if packet.stream.type == "video":
                    packet.stream = second
                    target.mux(packet)
    report = copy(path, tmp_path / "b.mkv")
    assert "1 video stream not carried over" in report.notes
    assert len(audio_packets(tmp_path / "b.mkv")[0]) == len(audio_packets(path)[0])


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    with open_video(clip) as video:
        info, frames = video.info, list(video)
    other = Frame(moving_picture((48, 64), 0), 10**6, info.time_base, None, 3)
    with VideoWriter(tmp_path / "b.mp4", info, FAST) as writer:
        writer.write(frames[1])
        with pytest.raises(ValueError, match="48x64"):
            writer.write(other)
        with pytest.raises(ValueError, match="does not follow"):
            writer.write(frames[1])
        with pytest.raises(ValueError, match="does not follow"):
            writer.write(frames[0])
        writer.write(frames[2])
        assert writer.finish().frames == 2
        with pytest.raises(ValueError, match="finished"):
            writer.finish()
    assert len(read_frames(tmp_path / "b.mp4")) == 2


def test_options_that_do_not_fit_are_refused() -> None:
    wrong: list[dict[str, str | int]] = [
        {"codec": "vp10"},
        {"codec": "vp9", "quality": 64},
        {"codec": "vp9", "preset": "9"},
        {"codec": "prores", "quality": 10},
        {"codec": "prores", "preset": "slow"},
        {"encoder": "gpu"},
        {"quality": 52},
        {"quality": -1},
        {"codec": "ffv1", "quality": 10},
        {"codec": "ffv1", "preset": "fast"},
        {"codec": "av1", "preset": "fast"},
        {"preset": "quick"},
        {"audio": "mp3"},
    ]
    for options in wrong:
        with pytest.raises(UsageError):
            EncodeOptions(**options)  # type: ignore[arg-type]
    assert EncodeOptions(codec="av1", preset="10", quality=63).encoder_options["crf"] == "63"


def test_a_drawn_clip_has_its_pictures_and_its_sound(tmp_path: Path) -> None:
    pictures = [moving_picture((64, 48), i) for i in range(50)]
    stereo = np.stack([tone(2.0), tone(2.0, frequency=880)], axis=1)
    write_clip(tmp_path / "a.mp4", iter(pictures), rate=Fraction(25), sound=stereo)
    assert video_pts(tmp_path / "a.mp4") == [Fraction(i, 25) for i in range(50)]
    for got, wanted in zip(read_frames(tmp_path / "a.mp4"), pictures, strict=True):
        assert np.abs(got.astype(int) - wanted).mean() < 6
    samples, begin = samples_of(tmp_path / "a.mp4")
    assert abs(begin) < Fraction(1, 1000)
    assert abs(len(samples) - 96000) <= 1024
    spectrum = np.abs(np.fft.rfft(samples[4800:52800]))
    assert abs(int(np.argmax(spectrum)) - 440) <= 1
    write_clip(tmp_path / "b.mp4", pictures[:2], rate=Fraction(30000, 1001))
    assert audio_packets(tmp_path / "b.mp4") == []
    with pytest.raises(ValueError, match="at least one"):
        write_clip(tmp_path / "c.mp4", [], rate=Fraction(25))
    with pytest.raises(ValueError, match="rate"):
        write_clip(tmp_path / "d.mp4", pictures, rate=Fraction(25), sound=stereo, sample_rate=999)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_nothing_written_is_an_error_and_no_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    with open_video(clip) as video, VideoWriter(tmp_path / "b.mp4", video.info, FAST) as writer:
        with pytest.raises(OutputError, match=r"b\.mp4"):
            writer.finish()
        writer.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
