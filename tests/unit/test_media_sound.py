"""The sound beside written pictures: kept, encoded anew, damaged, missing, with broken clocks."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.audio.resampler import AudioResampler

from rtstyle.media import EncodeOptions, VideoWriter, open_video
from rtstyle.media.aac import AacTrack
from tests.clips import audio_packets, make_clip, sweep, video_pts
from tests.helpers import unfinished
from tests.unit.test_media_writer import FAST, copy, samples_of


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


LAYOUTS = ["mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1"]


def interleaved(path: Path) -> npt.NDArray[np.float32]:
    """The first sound, ``(samples, channels)``; packed, since PyAV cannot take eight planes."""
    pieces = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        layout = stream.codec_context.layout
        resampler = AudioResampler(format="flt", layout=layout, rate=48000)
        for frame in container.decode(stream):
            frame.pts = None
            pieces += [piece.to_ndarray() for piece in resampler.resample(frame)]
    return np.concatenate(pieces, axis=1).reshape(-1, layout.nb_channels).astype(np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_every_number_of_channels_is_encoded_anew(tmp_path: Path, layout: str, name: str) -> None:
    channels = av.AudioLayout(layout).nb_channels
    time = np.arange(48000) / 48000
    # Louder from channel to channel, and none so low that a bass channel's filter matters.
    samples = np.stack(
        [0.04 * (number + 1) * np.sin(2 * np.pi * 100 * time) for number in range(channels)], axis=1
    )
    path = tmp_path / "a.mkv"
    clip = make_clip(tmp_path / "silent.mkv", frames=25)
    with av.open(str(clip)) as silent, av.open(str(path), "w") as target:
        picture = target.add_stream_from_template(silent.streams.video[0], opaque=True)
        sound = target.add_stream("flac", rate=48000)
        sound.codec_context.layout = layout
        for packet in silent.demux(video=0):
            if packet.size:
                packet.stream = picture
                target.mux(packet)
        for begin in range(0, 48000, 1000):
            block = (samples[begin : begin + 1000] * 32767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = 48000, begin, Fraction(1, 48000)
            target.mux(sound.encode(frame))
        target.mux(sound.encode(None))
    copy(path, tmp_path / name, EncodeOptions(preset="ultrafast", audio="aac"))
    got = interleaved(tmp_path / name)
    assert abs(len(got) - 48000) < 3000
    loud = np.sqrt((got[8000:40000] ** 2).mean(axis=0))
    if channels == got.shape[1] and layout in ("mono", "stereo", "5.0", "5.1", "7.1"):
        wanted = np.sqrt((samples[8000:40000] ** 2).mean(axis=0))
        assert np.allclose(loud, wanted, rtol=0.1)
    else:
        # AAC has no such layout, and FFmpeg leaves a bass channel out of what it mixes.
        assert loud[:2].min() > 0.01


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
            written.append(unfinished(tmp_path / name).stat().st_size)
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
    assert all(late[1] > early[1] for early, late in pairwise(after))
    # Each is where it was, as exactly as the film counts; so there is nothing to say.
    apart = [late[1] - early[1] for early, late in zip(before, after, strict=True)]
    assert max(apart) - min(apart) <= Fraction(2, 48000)
    assert not any("wrong timestamps" in note for note in report.notes)


def test_a_range_encoded_anew_is_cut_to_the_sample(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=100, audio=True)
    options = EncodeOptions(preset="ultrafast", audio="aac")
    copy(clip, tmp_path / "b.mp4", options, start=Fraction(1), end=Fraction(2))
    samples, begin = samples_of(tmp_path / "b.mp4")
    assert abs(begin) < Fraction(1, 1000)
    assert abs(len(samples) - 48000) <= 1024


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", audio=True)
    report = copy(clip, tmp_path / "b.mp4", EncodeOptions(preset="ultrafast", audio="none"))
    assert audio_packets(tmp_path / "b.mp4") == []
    assert report.notes == ()
