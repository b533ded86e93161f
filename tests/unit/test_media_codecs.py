"""The codecs vp9 and prores: containers, sizes, presets, quality."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rtstyle.errors import EncoderUnavailable, UsageError
from rtstyle.media import EncodeOptions, VideoWriter, check_output, open_video
from rtstyle.types import Colour, Frame, Size, VideoInfo
from tests.clips import audio_packets, make_clip, read_frames, video_pts
from tests.unit.test_media_writer import copy

CONTAINERS = [
    *(("vp9", f"b{ending}") for ending in (".webm", ".mkv", ".mp4", ".m4v")),
    *(("prores", f"b{ending}") for ending in (".mov", ".mkv")),
]


@pytest.mark.parametrize(("codec", "name"), CONTAINERS)
def test_uneven_times_and_sound_are_kept(tmp_path: Path, codec: str, name: str) -> None:
    stamps = [0, 1, 61, 62, 63, 64, 200, 201]
    clip = make_clip(
        tmp_path / "a.mkv",
        pts=stamps,
        time_base=Fraction(1, 1000),
        audio=True,
        audio_codec="pcm_s16le" if codec == "prores" else "libopus",
    )
    report = copy(clip, tmp_path / name, EncodeOptions(codec=codec))
    assert report.notes == ()
    assert video_pts(tmp_path / name) == [Fraction(stamp, 1000) for stamp in stamps]
    before, after = audio_packets(clip), audio_packets(tmp_path / name)
    assert [d for d, _ in before[0]] == [d for d, _ in after[0]]
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec


@pytest.mark.parametrize("codec", ["vp9", "prores"])
@pytest.mark.parametrize("tick", [Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 10**6)])
def test_fine_and_odd_ticks_are_kept(tmp_path: Path, codec: str, tick: Fraction) -> None:
    step = max(1, round(Fraction(1, 30) / tick))
    stamps = [index * step + (index % 3 if step > 9 else 0) for index in range(12)]
    clip = make_clip(tmp_path / "a.mp4", pts=stamps, time_base=tick)
    assert video_pts(clip) == [stamp * tick for stamp in stamps]
    output = tmp_path / ("b.mov" if codec == "prores" else "b.mp4")
    copy(clip, output, EncodeOptions(codec=codec))
    assert video_pts(output) == video_pts(clip)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (15, 17), (17, 18), (65, 49), (2, 64)])
@pytest.mark.parametrize("codec", ["vp9", "prores"])
def test_small_and_odd_sizes_keep_their_colours_to_the_edge(
    tmp_path: Path, codec: str, size: tuple[int, int]
) -> None:
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    # Smooth, so that the coarser colour of 4:2:0 costs nothing.
    ramp = np.stack([200 - x, 60 + y, np.full_like(x, 90)], axis=2).astype(np.uint8)
    clip = make_clip(
        tmp_path / "a.mkv",
        codec="ffv1",
        pixel_format="bgr0",
        size=size,
        frames=3,
        pictures=[ramp] * 3,
    )
    copy(clip, tmp_path / "b.mkv", EncodeOptions(codec=codec))
    with open_video(tmp_path / "b.mkv") as result:
        assert result.info.size == Size(*size)
        stored = list(result)
    assert len(stored) == 3
    for frame in stored:
        off = np.abs(frame.pixels.astype(int) - ramp)
        assert off.mean() < 3
        assert off[:, -1].mean() < 6


def test_prores_of_an_odd_width_says_that_its_profile_is_another(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0", size=(17, 18), frames=2)
    report = copy(clip, tmp_path / "b.mov", EncodeOptions(codec="prores", preset="lt"))
    assert any("17x18" in note and "4444" in note and "lt" in note for note in report.notes)
    assert copy(clip, tmp_path / "c.mov", EncodeOptions(codec="prores")).notes == ()


@pytest.mark.parametrize(
    ("preset", "profile", "pixel_format"),
    [
        (None, "HQ", "yuv422p10le"),
        ("proxy", "Proxy", "yuv422p10le"),
        ("lt", "LT", "yuv422p10le"),
        ("standard", "Standard", "yuv422p10le"),
        ("hq", "HQ", "yuv422p10le"),
        ("4444", "4444", "yuv444p12le"),
    ],
)
def test_a_preset_of_prores_is_its_profile(
    tmp_path: Path, preset: str | None, profile: str, pixel_format: str
) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    copy(clip, tmp_path / "b.mov", EncodeOptions(codec="prores", preset=preset))
    copy(clip, tmp_path / "b.mkv", EncodeOptions(codec="prores", preset=preset))
    tag = {"Proxy": b"apco", "LT": b"apcs", "Standard": b"apcn", "HQ": b"apch", "4444": b"ap4h"}
    others = set(tag.values()) - {tag[profile]}
    for name in ("b.mov", "b.mkv"):
        data = (tmp_path / name).read_bytes()
        assert tag[profile] in data
        assert not any(other in data for other in others)
    with av.open(str(tmp_path / "b.mov")) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert stream.codec_context.profile == profile
        assert frame.format.name.replace("p10", "p12") == pixel_format.replace("p10", "p12")


def test_quality_and_preset_of_vp9_have_an_effect(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", size=(128, 96), frames=10)
    sizes = [
        copy(clip, tmp_path / f"{q}.webm", EncodeOptions(codec="vp9", quality=q)).bytes
        for q in (0, 24, 63)
    ]
    assert sizes[0] > 1.5 * sizes[1] > 2 * sizes[2]
    for preset in ("0", "5", "6", "8"):
        output = tmp_path / f"{preset}.mkv"
        copy(clip, output, EncodeOptions(codec="vp9", preset=preset))
        for got, wanted in zip(read_frames(output), read_frames(clip), strict=True):
            assert np.abs(got.astype(int) - wanted).mean() < 6


@pytest.mark.parametrize(
    ("codec", "name", "remedy"),
    [
        ("vp9", "out.mov", r"\.webm or \.mkv"),
        ("prores", "out.mp4", r"\.mov or \.mkv"),
        ("h264", "out.webm", "--codec av1 or vp9"),
    ],
)
def test_a_container_that_does_not_take_the_codec_is_refused_with_one_that_does(
    tmp_path: Path, codec: str, name: str, remedy: str
) -> None:
    with pytest.raises(EncoderUnavailable, match=remedy) as caught:
        check_output(
            tmp_path / name, source=None, overwrite=False, options=EncodeOptions(codec=codec)
        )
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("codec", "name"),
    [("vp9", "b.webm"), ("vp9", "b.mp4"), ("prores", "b.mov"), ("prores", "b.mkv")],
)
def test_colours_are_what_they_were_in_every_matrix_and_range(
    tmp_path: Path, codec: str, name: str, matrix: int, full: bool
) -> None:
    # As tall as HD, where a matrix that is not said is another one than 601.
    y, x = np.mgrid[0:720, 0:32]
    picture = np.stack([200 - 4 * x, 60 + y // 7, 40 + 5 * x], axis=2).astype(np.uint8)
    tick = Fraction(1, 25)
    info = VideoInfo(
        size=Size(32, 720),
        time_base=tick,
        average_rate=Fraction(25),
        frames_in_header=None,
        duration_in_header=None,
        rotation=0,
        pixel_aspect=Fraction(1),
        colour=Colour(matrix=matrix, full_range=full),
        codec="none",
    )
    with VideoWriter(tmp_path / name, info, EncodeOptions(codec=codec)) as writer:
        writer.write(Frame(picture, 0, tick, 1, 0))
        report = writer.finish()
    assert any("limited" in note for note in report.notes) == (codec == "prores" and full)
    with open_video(tmp_path / name) as video:
        (stored,) = video
    assert np.abs(stored.pixels.astype(int) - picture).mean() < 2


def test_prores_names_its_presets_to_who_asks_for_a_quality() -> None:
    with pytest.raises(UsageError, match="proxy, lt, standard, hq or 4444"):
        EncodeOptions(codec="prores", quality=5)
    with pytest.raises(UsageError, match="lossless"):
        EncodeOptions(codec="ffv1", quality=5)


def test_what_is_told_is_in_the_codecs_own_words() -> None:
    assert EncodeOptions().told == {"preset": "veryfast", "crf": "18"}
    assert EncodeOptions(codec="vp9", preset="7").told == {"preset": "7", "crf": "24"}
    assert EncodeOptions(codec="prores").told == {"preset": "hq"}
    assert EncodeOptions(codec="ffv1").told == {}
