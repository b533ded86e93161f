"""Interlaced film: whole pictures out, the same frames at the same times, progressive ones as
they were."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import pytest
from av.filter import Graph
from av.video.stream import VideoStream
from click.testing import CliRunner

from rtstyle.cli.main import main
from rtstyle.errors import UsageError
from rtstyle.media import open_video, to_bytes
from rtstyle.media.deinterlace import is_combed
from rtstyle.types import Pixels, SourceHealth
from tests.clips import make_clip, read_frames, video_pts

SIZE = (160, 96)
FLAGS = {"flags": "+ildct+ilme"}
CODECS = {
    "h264": ("a.mkv", "libx264", {**FLAGS, "crf": "12", "g": "10"}),
    "mpeg2": ("a.ts", "mpeg2video", {**FLAGS, "b": "3000000"}),
    "ffv1": ("a.mkv", "ffv1", {}),
}


def scene(moment: float) -> Pixels:
    """A bar that moves eight columns a frame over a smooth ground."""
    width, height = SIZE
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = np.linspace(50, 90, width, dtype=np.uint8)[None, :, None]
    left = 10 + round(8 * moment) % (width - 40)
    picture[:, left : left + 24] = (220, 200, 180)
    return picture


def woven(index: int, first: str = "tff") -> Pixels:
    """Two moments in one frame, the upper field's before the lower one's or after it."""
    picture = scene(index)
    second = 1 if first == "tff" else 0
    picture[second::2] = scene(index + 0.5)[second::2]
    return picture


def combing(pixels: Pixels) -> float:
    """How much more neighbouring lines differ than those of one field, in levels."""
    grey = cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)).astype(np.float32)
    return float(np.abs(grey[1:] - grey[:-1]).mean() - np.abs(grey[2:] - grey[:-2]).mean())


def read(path: Path, **options: object) -> tuple[list[Pixels], list[Fraction], SourceHealth]:
    with open_video(path, **options) as video:  # type: ignore[arg-type]
        frames = list(video)
        return [to_bytes(f.pixels) for f in frames], [f.seconds for f in frames], video.health


def clip(folder: Path, kind: str, pictures: list[Pixels], first: str = "tff") -> Path:
    """A film that says of every frame that it is interlaced, and which field is shown first."""
    name, codec, options = CODECS[kind]
    height, width = pictures[0].shape[:2]
    graph = Graph()
    source = graph.add(
        "buffer", f"video_size={width}x{height}:pix_fmt=yuv420p:time_base=1/25:frame_rate=25"
    )
    graph.link_nodes(source, graph.add("setfield", f"mode={first}"), graph.add("buffersink"))
    graph.configure()
    with av.open(f"file:{folder / name}", "w") as output:
        stream = cast(VideoStream, output.add_stream(codec, rate=25, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.field_order = 2 if first == "tff" else 3
        for index, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            graph.vpush(frame)
            output.mux(stream.encode(graph.vpull()))
        output.mux(stream.encode(None))
    return folder / name


@pytest.mark.parametrize("first", ["tff", "bff"])
@pytest.mark.parametrize("kind", CODECS)
def test_interlaced_frames_become_whole_and_keep_their_times(
    tmp_path: Path, kind: str, first: str
) -> None:
    path = clip(tmp_path, kind, [woven(index, first) for index in range(8)], first)
    raw, times, health = read(path, deinterlace="off")
    assert min(combing(pixels) for pixels in raw) > 5
    assert health.notes == ()
    made, made_times, health = read(path)
    assert made_times == times == video_pts(path)
    assert max(combing(pixels) for pixels in made) < 0.5
    assert "8 frame(s)" in " ".join(health.notes)
    assert "--deinterlace off" in " ".join(health.notes)
    for index, pixels in enumerate(made):
        # Each shows its first field's moment, not the one before or after it.
        apart = [
            float(np.abs(pixels.astype(int) - scene(index + late)).mean()) for late in (-1, 0, 1)
        ]
        assert apart[1] < 4
        assert apart[1] < min(apart[0], apart[2]) / 2


def test_a_progressive_clip_that_is_flagged_stays_as_it_is(tmp_path: Path) -> None:
    path = clip(tmp_path, "h264", [scene(index) for index in range(8)])
    made, _, health = read(path)
    for mine, plain in zip(made, read(path, deinterlace="off")[0], strict=True):
        assert np.array_equal(mine, plain)
    assert health.notes == ()


def test_whole_frames_among_interlaced_ones_stay_as_they_are(tmp_path: Path) -> None:
    """As in a film that was telecined: of five frames two are woven of two."""
    kinds = [index % 5 in (2, 3) for index in range(15)]
    pictures = [woven(i) if mixed else scene(i) for i, mixed in enumerate(kinds)]
    path = clip(tmp_path, "h264", pictures)
    raw, times, _ = read(path, deinterlace="off")
    made, made_times, health = read(path)
    assert made_times == times
    for mixed, before, after in zip(kinds, raw, made, strict=True):
        assert np.array_equal(before, after) != mixed
        assert combing(after) < 0.5
    assert "6 frame(s)" in " ".join(health.notes)


def test_one_interlaced_frame_is_one_picture(tmp_path: Path) -> None:
    assert read(clip(tmp_path, "h264", [woven(0)]))[1] == [0]


def test_a_range_of_an_interlaced_clip_is_that_range_of_the_whole(tmp_path: Path) -> None:
    path = clip(tmp_path, "h264", [woven(index) for index in range(80)])
    whole, times, _ = read(path)
    part, part_times, _ = read(path, start=Fraction(5, 2), end=Fraction(3))
    inside = [n for n, time in enumerate(times) if Fraction(5, 2) <= time < 3]
    assert part_times == [times[n] for n in inside]
    for mine, n in zip(part, inside, strict=True):
        assert np.array_equal(mine, whole[n])


def test_a_change_of_size_begins_anew(tmp_path: Path) -> None:
    first = clip(tmp_path, "mpeg2", [woven(index) for index in range(6)]).read_bytes()
    small = [np.ascontiguousarray(woven(index)[:64, :128]) for index in range(6)]
    both = tmp_path / "both.ts"
    both.write_bytes(first + clip(tmp_path, "mpeg2", small).read_bytes())
    made, times, health = read(both)
    assert len(made) == len(read_frames(both)) > 8
    assert times == read(both, deinterlace="off")[1]
    assert max(combing(pixels) for pixels in made) < 0.6
    assert f"{len(made)} frame(s)" in " ".join(health.notes)


def test_progressive_clips_are_untouched(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", size=SIZE, pictures=[woven(i) for i in range(4)], frames=4)
    made, _, health = read(path)
    assert health.notes == ()
    for mine, plain in zip(made, read(path, deinterlace="off")[0], strict=True):
        assert np.array_equal(mine, plain)


def test_combs_are_told_from_texture_and_noise() -> None:
    def grey(picture: Pixels) -> Pixels:
        return cast(Pixels, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))

    random = np.random.default_rng(1)
    noise = np.clip(128 + random.normal(0, 3, (288, 352)), 0, 255).astype(np.uint8)
    assert is_combed(grey(woven(3)))
    assert not is_combed(grey(scene(3)))
    assert not is_combed(noise)
    assert not is_combed(np.zeros((2, 9), np.uint8))


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_the_command_says_what_it_did(tmp_path: Path, mode: str) -> None:
    path = clip(tmp_path, "h264", [woven(index) for index in range(6)])
    output = tmp_path / "out.mkv"
    words = ["video", str(path), "-o", str(output), "--strength", "0", "--codec", "ffv1"]
    result = CliRunner().invoke(main, [*words, "--deinterlace", mode])
    assert result.exit_code == 0, result.output
    assert ("note: the source is interlaced" in result.stdout) == (mode == "auto")
    combed = [combing(pixels) > 5 for pixels in read_frames(output)]
    assert combed == [mode == "off"] * 6


def test_other_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="auto or off"):
        open_video(make_clip(tmp_path / "a.mp4", frames=1), deinterlace="on")
