"""Writing video files: times, sound, sizes, codecs, ranges."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.errors import EncoderUnavailable, OutputError, UsageError
from rtstyle.media import EncodeOptions, VideoWriter, encoders, open_video, write_clip
from rtstyle.media.aac import AacTrack
from rtstyle.types import Frame, SinkReport, Size
from tests.clips import (
    audio_packets,
    make_clip,
    moving_picture,
    read_frames,
    sweep,
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


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
@pytest.mark.parametrize("size", [(64, 48), (65, 49), (17, 18)])
def test_every_codec_keeps_every_size(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    assert set(encoders().values()) == {"libx264", "libx265", "libsvtav1", "ffv1"}
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


def test_pixel_aspect_is_kept(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", pixel_aspect=Fraction(16, 11), rotation=90, frames=3)
    copy(clip, tmp_path / "b.mp4")
    with open_video(tmp_path / "b.mp4") as result:
        assert result.info.pixel_aspect == Fraction(11, 16)
        assert result.info.rotation == 0
        assert result.info.size == Size(48, 64)


@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_sound_longer_or_shorter_than_the_picture_is_kept_whole(
    tmp_path: Path, seconds: float
) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=25, audio=True, audio_seconds=seconds)
    copy(clip, tmp_path / "b.mp4")
    assert audio_packets(tmp_path / "b.mp4") == audio_packets(clip)
    assert video_pts(tmp_path / "b.mp4") == video_pts(clip)


def test_late_sound_and_late_pictures_keep_their_offset(tmp_path: Path) -> None:
    late_sound = make_clip(tmp_path / "a.mp4", frames=50, audio=True, audio_start=1.075)
    copy(late_sound, tmp_path / "b.mp4")
    assert audio_packets(tmp_path / "b.mp4") == audio_packets(late_sound)
    stamps = list(range(27, 60))
    late_picture = make_clip(tmp_path / "c.mp4", pts=stamps, audio=True)
    copy(late_picture, tmp_path / "d.mp4")
    assert audio_packets(tmp_path / "d.mp4") == audio_packets(late_picture)
    assert video_pts(tmp_path / "d.mp4") == video_pts(late_picture)


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


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_a_range_has_its_sound_in_sync(tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=150, audio=True, options={"g": "30"})
    start, end = Fraction(33, 10), Fraction(47, 10)
    copy(clip, tmp_path / name, start=start, end=end)
    times = video_pts(tmp_path / name)
    assert len(times) == 35
    inside = [(d, t - start) for d, t in audio_packets(clip)[0] if start <= t < end]
    got = audio_packets(tmp_path / name)[0]
    assert [d for d, _ in got] == [d for d, _ in inside]
    # The first frame within the range is at 3.32 s.
    assert abs(times[0] - Fraction(2, 100)) <= Fraction(1, 1000)
    assert all(abs(a[1] - b[1]) <= Fraction(1, 500) for a, b in zip(got, inside, strict=True))


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_sound_encoded_anew_stays_in_sync(tmp_path: Path, name: str) -> None:
    clip = make_clip(
        tmp_path / "a.mkv",
        frames=50,
        audio=True,
        audio_tracks=2,
        audio_codec="pcm_s16le",
        audio_start=0.5,
    )
    copy(clip, tmp_path / name, EncodeOptions(preset="ultrafast", audio="aac"))
    with av.open(str(tmp_path / name)) as container:
        assert [s.codec_context.name for s in container.streams.audio] == ["aac", "aac"]
    moved = video_pts(tmp_path / name)[0] - video_pts(clip)[0]
    for stream in range(2):
        old, old_begin = samples_of(clip, stream)
        new, new_begin = samples_of(tmp_path / name, stream)
        place = round(float(new_begin - moved - old_begin) * 48000)
        assert place <= 1
        new = new[-place:][:48000] if place <= 0 else new[:48000]
        scaled = old[: len(new)].astype(np.float32)
        scaled = scaled / np.abs(scaled).max() * 0.25
        lags = range(-60, 61)
        errors = [float(np.abs(np.roll(new, lag) - scaled)[1000:-3000].mean()) for lag in lags]
        assert abs(lags[int(np.argmin(errors))]) <= 48, "more than a millisecond out of sync"
        assert min(errors) < 0.03
        assert abs(len(new) - min(len(old), 48000)) < 3000


def test_damaged_sound_does_not_stop_the_pictures(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=25, audio=True)
    path = tmp_path / "broken.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        copies = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams}
        for number, packet in enumerate(source.demux()):
            if not packet.size:
                continue
            if packet.stream_index == 1 and 20 <= number < 26:
                wrong = av.Packet(b"\x5a" * 40)
                wrong.pts, wrong.dts, wrong.time_base = packet.pts, packet.dts, packet.time_base
                packet = wrong
                packet.stream = copies[1]
            else:
                packet.stream = copies[packet.stream_index]
            target.mux(packet)
    report = copy(path, tmp_path / "b.mp4", EncodeOptions(preset="ultrafast", audio="aac"))
    assert any("damaged sound" in note for note in report.notes)
    assert len(video_pts(tmp_path / "b.mp4")) == 25
    samples, _ = samples_of(tmp_path / "b.mp4")
    assert abs(len(samples) - 48000) < 3000
    copy(path, tmp_path / "c.mkv")
    digests = [digest for digest, _ in audio_packets(tmp_path / "c.mkv")[0]]
    assert digests == [digest for digest, _ in audio_packets(path)[0]]


def test_gaps_in_sound_are_filled_and_broken_clocks_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    second = sweep(1.0)[None]
    with av.open(str(path), "w") as target:
        track = AacTrack(target, rate=48000, channels=1)
        for start in (0, 2, 1000, 1001, 10**6):
            target.mux(list(track.feed_samples(second, start * 48000)))
        target.mux(list(track.finish()))
    with av.open(str(path)) as container:
        starts = [float(frame.time or 0) for frame in container.decode(audio=0)]
    steps = np.diff(starts)
    assert len(starts) * 1024 < 6.2 * 48000
    assert sorted(steps)[-2] < 0.03
    assert 990 < max(steps) < 1000
    assert 1002.5 < starts[-1] < 1003.1


def test_sound_of_an_impossible_rate_is_damaged_sound(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as target:
        track = AacTrack(target, rate=48000, channels=1)
        packets = []
        # Each of the wrong ones would become hours of samples, or take long to resample.
        for rate in (48000, 1, 20, 2**30, 48000):
            frame = av.AudioFrame.from_ndarray(sweep(0.5)[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            packets += list(track.feed(frame, None))
        packets += list(track.finish())
        target.mux(packets)
    assert track.damaged == 3
    samples, _ = samples_of(tmp_path / "a.mp4")
    assert abs(len(samples) - 48000) <= 2048


def test_a_clock_that_jumps_by_hours_makes_no_hours_of_silence(tmp_path: Path) -> None:
    clip, path = make_clip(tmp_path / "a.mp4", frames=25, audio=True), tmp_path / "b.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        copies = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for number, packet in enumerate(source.demux()):
            if packet.pts is None or packet.dts is None or not packet.size:
                continue
            if packet.stream.type == "audio" and number > 30:
                packet.pts += 2 * 3600 * 48000
                packet.dts += 2 * 3600 * 48000
            packet.stream = copies[packet.stream_index]
            target.mux(packet)
    copy(path, tmp_path / "c.mp4", EncodeOptions(preset="ultrafast", audio="aac"))
    samples, _ = samples_of(tmp_path / "c.mp4")
    assert abs(len(samples) - 48000) <= 3072


@pytest.mark.parametrize("name", ["b.mkv", "b.mp4"])
def test_pictures_do_not_wait_in_memory_for_sound_that_has_ended(tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=5, size=(160, 120), audio=True, audio_seconds=0.2)
    codec = EncodeOptions(codec="ffv1") if name.endswith("mkv") else replace(FAST, quality=1)
    noise = np.random.default_rng(1)
    written = []
    with open_video(clip) as video:
        first, info = next(iter(video)), video.info
    with VideoWriter(tmp_path / name, info, codec, source=clip) as writer:
        for index in range(250):
            pixels = noise.integers(0, 256, (120, 160, 3), dtype=np.uint8)
            writer.write(replace(first, pixels=pixels, pts=first.pts + 40 * index, index=index))
            written.append((tmp_path / f"{name}.part").stat().st_size)
        size = writer.finish().bytes
    # All but the last two seconds and what the encoder and the muxer still collect.
    assert written[-1] > size * 0.6


def test_sound_stamped_twice_with_one_time_is_kept(tmp_path: Path) -> None:
    clip, path = make_clip(tmp_path / "a.mp4", frames=25, audio=True), tmp_path / "b.ts"
    with (
        av.open(str(clip)) as source,
        av.open(str(path), "w", options={"pes_payload_size": "0"}) as target,
    ):
        copies = {s.index: target.add_stream_from_template(s) for s in source.streams}
        sounds = 0
        for packet in source.demux():
            if packet.pts is None or packet.dts is None or not packet.size:
                continue
            if packet.stream.type == "audio":
                sounds += 1
                # One sample later, where the next ten would be 1024 samples apart.
                if 10 < sounds <= 20:
                    packet.pts = packet.dts = packet.pts - (1024 - 1) * (sounds - 10)
            packet.stream = copies[packet.stream_index]
            target.mux(packet)
    report = copy(path, tmp_path / "c.mp4")
    before, after = audio_packets(path)[0], audio_packets(tmp_path / "c.mp4")[0]
    assert len(before) == len(after) == sounds
    assert any("wrong timestamps" in note for note in report.notes)
    assert all(late[1] > early[1] for early, late in pairwise(after))


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


def test_a_range_encoded_anew_is_cut_to_the_sample(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=100, audio=True)
    options = EncodeOptions(preset="ultrafast", audio="aac")
    copy(clip, tmp_path / "b.mp4", options, start=Fraction(1), end=Fraction(2))
    samples, begin = samples_of(tmp_path / "b.mp4")
    assert abs(begin) < Fraction(1, 1000)
    assert abs(len(samples) - 48000) <= 1024


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


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", audio=True)
    report = copy(clip, tmp_path / "b.mp4", EncodeOptions(preset="ultrafast", audio="none"))
    assert audio_packets(tmp_path / "b.mp4") == []
    assert report.notes == ()


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
    path = tmp_path / "titles.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        copies = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams}
        target.add_stream("ass")
        target.add_attachment("font.ttf", "font/ttf", b"x" * 64)
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
    report = copy(path, tmp_path / "b.mkv")
    assert "1 subtitle stream not carried over" in report.notes
    assert "1 attachment stream not carried over" in report.notes
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
        {"codec": "vp9"},
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
