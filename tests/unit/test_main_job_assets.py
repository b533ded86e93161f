"""The main job on real clips: what must come out as it went in."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rtstyle.cli.main import main
from rtstyle.media import open_video, to_bytes
from tests.clips import audio_packets, video_pts
from tests.nets import invert_net, make_pack


def first_frame(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with open_video(path) as video:
        return to_bytes(next(iter(video)).pixels)


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("bigbuckbunny.mp4", "out.mp4"),
        ("pancake.mkv", "out.mkv"),
        ("chaplin.mp4", "out.mp4"),
        ("video_90.mov", "out.mov"),
    ],
)
def test_real_clips_keep_frames_times_sound_and_stand_upright(
    name: str, output: str, assets: Path, tmp_path: Path
) -> None:
    source, result = assets / "clips" / name, tmp_path / output
    pack = make_pack(tmp_path / "pack", name="negative", model=invert_net())
    ran = CliRunner().invoke(
        main,
        ["video", str(source), "-o", str(result), "--style", str(pack), "--preset", "ultrafast"],
    )
    assert ran.exit_code == 0, ran.output
    before, after = video_pts(source), video_pts(result)
    assert len(before) == len(after)
    steps = [abs((b - before[0]) - (a - after[0])) for b, a in zip(before, after, strict=True)]
    # Matroska counts milliseconds; mp4 keeps the source's own time base.
    assert max(steps) <= (Fraction(1, 1000) if output.endswith("mkv") else Fraction(1, 90000))
    sound, kept = audio_packets(source), audio_packets(result)
    assert [[sha for sha, _ in stream] for stream in sound] == [
        [sha for sha, _ in stream] for stream in kept
    ]
    for stream, copy in zip(sound, kept, strict=True):
        drift = [
            abs((one - before[0]) - (other - after[0]))
            for (_, one), (_, other) in zip(stream, copy, strict=True)
        ]
        assert max(drift) <= Fraction(2, 1000)
    # The style inverts; a picture that stood otherwise would not add up to white.
    total = first_frame(source).astype(int) + first_frame(result)
    assert abs(total - 255).mean() < 8
