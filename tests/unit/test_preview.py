"""A preview: where its pictures come from, and how near its estimate is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rtstyle.backends import FakeStylizer
from rtstyle.cli.main import main
from rtstyle.cli.preview import clock, estimate_lines, size
from rtstyle.cli.sample import Scene
from rtstyle.errors import NotAVideo, UsageError
from rtstyle.media import measure_extent, read_image
from rtstyle.pipeline import Estimate, Preview, preview_video, stylize_video
from rtstyle.types import Size
from tests.clips import make_clip, read_frames
from tests.nets import make_pack
from tests.unit.test_pipeline_run import cut_clip


def preview(
    source: Path,
    count: int,
    **options: Any,  # noqa: ANN401 - whatever preview_video takes
) -> Preview:
    with FakeStylizer(invert=True) as stylizer:
        return preview_video(source, None, count, stylizer=stylizer, **options)


def times(found: Preview) -> list[Fraction]:
    return [moment.seconds for moment in found.moments]


def test_pictures_are_spread_without_the_ends_and_stylized(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=250, audio=True, options={"g": "50"})
    found = preview(clip, 4)
    assert times(found) == [Fraction(n) for n in (2, 4, 6, 8)]
    frames = read_frames(clip)
    for moment in found.moments:
        wanted = 255 - frames[int(moment.seconds * 25)].astype(int)
        assert np.abs(moment.pixels.astype(int) - wanted).mean() < 4
    assert (found.estimate.frames, found.estimate.runs) == (250, 4)
    assert found.estimate.measured_frames == 4 * 24
    assert found.estimate.seconds > 0
    assert (found.estimate.ending, found.backend.name, found.notes) == (".mp4", "fake", ())
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_range_is_looked_at_alone(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=200)
    found = preview(clip, 2, start=4, end=6)
    assert times(found) == [Fraction("4.6"), Fraction("5.4")]
    assert found.estimate.frames == 50
    with pytest.raises(UsageError, match=r"it is 8\.00 s long"):
        preview(clip, 2, start=60)


@pytest.mark.parametrize("frames", [1, 2, 12])
def test_short_clips_give_what_they_have(tmp_path: Path, frames: int) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=frames)
    found = preview(clip, 20)
    assert 1 <= len(found.moments) <= frames
    assert len(set(times(found))) == len(found.moments)
    assert found.estimate.frames == frames
    assert found.notes[0].startswith("20 pictures were asked for, but only ")


def test_variable_rates_keep_their_times(tmp_path: Path) -> None:
    pts = [*range(0, 1000, 40), *range(1000, 9000, 1000), *range(9000, 10000, 20)]
    clip = make_clip(tmp_path / "in.mkv", pts=pts, time_base=Fraction(1, 1000))
    found = preview(clip, 5)
    # It lasts 10.02 s: the next pictures from 1.80, 3.41, 5.01, 6.61 and 8.22 seconds on.
    assert times(found) == [Fraction(n) for n in (2, 4, 6, 7, 9)]


def test_a_last_picture_that_stays_is_found(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "in.mkv",
        pts=[0, 40, 80],
        time_base=Fraction(1, 1000),
        audio=True,
        audio_seconds=8.0,
    )
    found = preview(clip, 3)
    assert 1 <= len(found.moments) <= 3
    assert all(time <= Fraction(80, 1000) for time in times(found))


def unknown_duration(folder: Path, frames: int) -> Path:
    """Raw H.264 has no header that says how long it is."""
    return make_clip(folder / "in.h264", frames=frames)


def test_an_unknown_duration_is_counted(tmp_path: Path) -> None:
    clip = unknown_duration(tmp_path, 60)
    extent = measure_extent(clip)
    assert extent.frames == 60
    found = preview(clip, 3)
    assert found.estimate.frames == 60
    assert len(found.moments) == 3
    assert found.estimate.ending == ".mkv"


def test_a_film_cut_short_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    clip = cut_clip(tmp_path, frames=100, share=0.5)
    found = preview(clip, 6)
    assert len(found.moments) >= 3
    assert times(found)[-1] < 4


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"codec": "hevc"},
        {"codec": "ffv1"},
        {"quality": 30, "audio": "none"},
        {"audio": "aac", "container": "mkv"},
    ],
    ids=str,
)
def test_the_size_is_within_a_factor_of_two(tmp_path: Path, options: dict[str, Any]) -> None:
    scene = Scene(Size(160, 90))
    pictures = [scene.frame(index / 25) for index in range(150)]
    clip = make_clip(tmp_path / "in.mp4", size=(160, 90), frames=150, pictures=pictures, audio=True)
    estimate = preview(clip, 3, **options).estimate
    output = tmp_path / f"out{estimate.ending}"
    encoding = {key: value for key, value in options.items() if key != "container"}
    with FakeStylizer(invert=True) as stylizer:
        stylize_video(clip, output, None, stylizer=stylizer, **encoding)
    assert estimate.frames == 150
    assert 0.5 < estimate.bytes / output.stat().st_size < 2


def test_what_cannot_be_previewed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one"):
        preview(make_clip(tmp_path / "in.mp4"), 0)
    with pytest.raises(NotAVideo):
        preview(tmp_path / "none.mp4", 2)


def test_the_command_writes_a_sheet_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = make_pack(tmp_path / "negative", name="negative")
    make_clip(tmp_path / "in.mp4", frames=50)
    monkeypatch.chdir(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    line = ["video", "in.mp4", "--preview", "4", "--style", str(pack), "--backend", "onnxruntime"]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} - before == {"in-preview.png"}
    assert read_image(tmp_path / "in-preview.png").shape[1] > 2 * 480
    backend, said, whole, basis = result.stdout.splitlines()
    assert backend.startswith("backend: onnxruntime")
    assert said == "preview: 4 pictures -> in-preview.png"
    assert whole.startswith("the whole: 50 frames, about 0:0")
    assert basis.startswith("basis: ")
    assert "h264 preset veryfast crf 18, sound copy" in basis
    assert CliRunner().invoke(main, line).exit_code == 4
    assert CliRunner().invoke(main, [*line, "-o", "sheet.jpg"]).exit_code == 0
    assert CliRunner().invoke(main, [*line, "-o", "sheet.mp4"]).exit_code == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.mp4", "b.mp4", "--preview", "2"],
        ["a.mp4", "--preview", "0"],
        ["a.mp4", "--preview", "2", "--skip-existing"],
        ["a.mp4", "--preview", "2", "--report", "r.json"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["video", *arguments]).exit_code == 2


def test_the_words_of_an_estimate() -> None:
    lines = estimate_lines(Estimate(172800, 7200.0, 1_234_000_000, ".mkv", 144, 6), "av1")
    assert lines[0] == (
        "the whole: 172800 frames, about 2:00:00 of work (24.0 fps) and 1.2 GB as .mkv"
    )
    assert "144 frames in 6 short runs" in lines[1]
    assert [size(n) for n in (900, 12_300, 340_000_000)] == ["0.9 kB", "12 kB", "340 MB"]
    assert clock(Fraction(15005, 2)) == "2:05:02.50"
    assert clock(Fraction(29, 4)) == "0:07.25"
