"""Real clips, copied through source and sink: frames, times and sound stay what they were."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rtstyle.media import EncodeOptions, VideoWriter, open_video
from rtstyle.types import Size
from tests.clips import audio_packets, video_pts

CLIPS = {
    "bigbuckbunny.mp4": (132, Size(1280, 720)),
    "pancake.mkv": (310, Size(426, 240)),
    "chaplin.mp4": (241, Size(640, 360)),
    "bt709_full_range.mp4": (30, Size(1280, 720)),
    "h264_10bits.mp4": (30, Size(200, 200)),
    "video_90.mov": (3, Size(320, 568)),
    "no_duration.webm": (74, Size(1280, 720)),
    "unordered.mov": (4, Size(50, 50)),
    "nasa_13013.mp4": (325, Size(320, 180)),
    "carphone_pristine.mp4": (120, Size(176, 144)),
    "transparent.webm": (150, Size(200, 200)),
}


@pytest.mark.assets
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", sorted(CLIPS))
def test_a_real_clip_survives_a_copy(assets: Path, tmp_path: Path, name: str, suffix: str) -> None:
    clip, output = assets / "clips" / name, tmp_path / f"out{suffix}"
    count, size = CLIPS[name]
    options = EncodeOptions(preset="ultrafast", quality=30)
    with (
        open_video(clip) as source,
        VideoWriter(output, source.info, options, source=clip) as writer,
    ):
        assert source.info.size == size
        for frame in source:
            writer.write(frame)
        report = writer.finish()
        assert source.health.decode_failures == source.health.repaired_timestamps == 0
    assert report.frames == count
    before, after = video_pts(clip), video_pts(output)
    assert len(before) == len(after) == count
    tick = Fraction(1, 1000) if suffix == ".mkv" else Fraction(0)
    moved = after[0] - before[0]
    # Matroska has no place for sound before zero and moves everything by the same time.
    assert moved == 0 or (suffix == ".mkv" and any("moved" in note for note in report.notes))
    assert all(abs(b - a - moved) <= tick for a, b in zip(before, after, strict=True))
    for old, new in zip(audio_packets(clip), audio_packets(output), strict=True):
        assert [digest for digest, _ in old] == [digest for digest, _ in new]
        assert all(abs(b[1] - a[1] - moved) <= tick for a, b in zip(old, new, strict=True))
    with av.open(str(clip)) as one, av.open(str(output)) as other:
        aspect = one.streams.video[0].sample_aspect_ratio or 1
        turned = size != Size(one.streams.video[0].width, one.streams.video[0].height)
        wanted = 1 / aspect if turned else aspect
        assert (other.streams.video[0].sample_aspect_ratio or 1) == wanted


@pytest.mark.assets
def test_a_corrupted_clip_gives_all_but_what_is_broken(assets: Path, tmp_path: Path) -> None:
    clip, output = assets / "clips" / "corrupted.mp4", tmp_path / "out.mp4"
    options = EncodeOptions(preset="ultrafast")
    with open_video(clip) as source, VideoWriter(output, source.info, options) as writer:
        times = []
        for frame in source:
            times.append(frame.seconds)
            writer.write(frame)
        writer.finish()
        assert source.info.frames_in_header == 50
        assert source.health.decode_failures == 1
    assert video_pts(output) == times
    assert len(times) == 49
    assert set(times) < {Fraction(i, 10) for i in range(50)}


@pytest.mark.assets
def test_a_rotated_clip_comes_out_upright(assets: Path) -> None:
    with (
        av.open(str(assets / "clips" / "video_90.mov")) as container,
        open_video(assets / "clips" / "video_90.mov") as source,
    ):
        stored = next(container.decode(video=0))
        assert stored.rotation == -90, "ninety degrees clockwise to be upright"
        upright = next(iter(source)).pixels
        turned = np.rot90(stored.to_ndarray(format="rgb24"), k=-1)
        assert np.abs(upright.astype(int) - turned).mean() < 3
        assert source.info.rotation == 90


@pytest.mark.assets
def test_every_clip_of_the_assets_is_read_to_its_end(assets: Path) -> None:
    names = {
        Path(entry["file"]).name
        for entry in json.loads((assets / "manifest.json").read_text())
        if entry["file"].startswith("clips/")
    }
    assert len(names) == 17
    for name in sorted(names - {"smpte-2997.mp4"}):
        with open_video(assets / "clips" / name, end=Fraction(2)) as source:
            assert sum(1 for _ in source) > 0
