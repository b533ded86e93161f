"""stylize_video: what comes out, what is refused first, and what the report says."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import (
    BackendError,
    BackendOutOfMemory,
    NotAVideo,
    OutputExists,
    OutputNotWritable,
    UnknownStyle,
    UsageError,
)
from rtstyle.pipeline import Progress, stylize_video
from rtstyle.pipeline.run import expected_frames, losses_of, repairs
from rtstyle.styles import StyleSpec, find_style
from rtstyle.types import BackendInfo, RunReport, SourceHealth
from tests.clips import audio_packets, make_clip, read_frames, video_pts
from tests.fakes import FakeSource
from tests.nets import make_pack

FRAMES = 12


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=FRAMES, audio=True)


def convert(
    source: Path,
    output: Path,
    *,
    stylizer: FakeStylizer | None = None,
    **options: Any,  # noqa: ANN401 - whatever stylize_video takes
) -> RunReport:
    with stylizer or FakeStylizer(invert=True) as chosen:
        return stylize_video(source, output, None, stylizer=chosen, **options)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def near(one: Sequence[npt.NDArray[Any]], other: Sequence[npt.NDArray[Any]]) -> bool:
    """Whether pictures are alike but for what a lossy codec does."""
    return len(one) == len(other) and all(
        float(np.abs(a.astype(float) - b.astype(float)).mean()) < 6
        for a, b in zip(one, other, strict=True)
    )


def test_pictures_are_stylized_and_time_and_sound_are_kept(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    report = convert(clip, output)
    assert near(read_frames(output), [255 - frame for frame in read_frames(clip)])
    assert video_pts(output) == video_pts(clip)
    assert audio_packets(output) == audio_packets(clip)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
    assert (report.frames_in, report.frames_out, report.dropped) == (FRAMES, FRAMES, 0)
    assert (report.input, report.output) == (str(clip), str(output))
    assert (report.style, report.backend.name) == ("fake", "fake")
    assert not report.finished_with_loss


def test_a_style_given_as_a_folder_runs(clip: Path, tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "negative", name="negative")
    styles: tuple[str | Path | StyleSpec, ...] = (pack, str(pack), find_style(pack))
    for number, style in enumerate(styles):
        output = tmp_path / f"out{number}.mp4"
        report = stylize_video(clip, output, style, backend="onnxruntime")
        assert (report.style, report.backend.name) == ("negative", "onnxruntime")
        assert report.backend.requested == "onnxruntime/auto"
        assert near(read_frames(output), [255 - frame for frame in read_frames(clip)])


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_strength_mixes_source_and_style(clip: Path, tmp_path: Path, strength: float) -> None:
    output = tmp_path / "out.mp4"
    convert(clip, output, strength=strength)
    mixed = [
        np.rint((1 - strength) * frame + strength * (255.0 - frame)) for frame in read_frames(clip)
    ]
    assert near(read_frames(output), mixed)


def test_strength_0_needs_no_net(clip: Path, tmp_path: Path) -> None:
    stylizer = FakeStylizer(fail_at=1)
    report = convert(clip, tmp_path / "out.mp4", stylizer=stylizer, strength=0.0)
    assert stylizer.calls == 0
    assert report.frames_out == FRAMES
    assert report.backend.name == "none"


def test_a_stylizer_of_the_caller_stays_open(clip: Path, tmp_path: Path) -> None:
    with FakeStylizer() as stylizer:
        stylize_video(clip, tmp_path / "1.mp4", None, stylizer=stylizer)
        stylize_video(clip, tmp_path / "2.mp4", "fake", stylizer=stylizer)
        assert not stylizer.closed


def test_a_style_that_is_not_the_stylizers_is_refused(clip: Path, tmp_path: Path) -> None:
    with FakeStylizer() as stylizer, pytest.raises(UsageError, match="wave"):
        stylize_video(clip, tmp_path / "out.mp4", "wave", stylizer=stylizer)
    with pytest.raises(UsageError, match="style"):
        stylize_video(clip, tmp_path / "out.mp4", None)


def test_a_range_is_taken(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    report = convert(clip, output, start=0.12, end=Fraction(8, 25), audio="none")
    assert report.frames_out == 5
    assert near(read_frames(output), [255 - frame for frame in read_frames(clip)[3:8]])
    assert not report.finished_with_loss


@pytest.mark.parametrize(
    "options",
    [
        {"strength": 1.01},
        {"strength": -0.1},
        {"strength": float("nan")},
        {"backend": "abacus"},
        {"precision": "int3"},
        {"codec": "mpeg1"},
        {"audio": "mp3"},
        {"start": -1},
        {"start": float("nan")},
        {"start": 2, "end": 2},
        {"end": 0},
    ],
)
def test_options_out_of_range_are_refused(
    clip: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        convert(clip, tmp_path / "out.mp4", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_refusals_come_in_the_order_of_their_cost(clip: Path, tmp_path: Path) -> None:
    missing, style = tmp_path / "none.mp4", "no-such-style"
    with pytest.raises(UsageError):
        stylize_video(missing, tmp_path / "none" / "x.mp4", style, strength=2)
    with pytest.raises(OutputNotWritable):
        stylize_video(missing, tmp_path / "none" / "x.mp4", style)
    with pytest.raises(NotAVideo):
        stylize_video(missing, tmp_path / "out.mp4", style)
    with pytest.raises(UnknownStyle):
        stylize_video(clip, tmp_path / "out.mp4", style)


def test_an_output_that_is_there_is_kept_whatever_happens(clip: Path, tmp_path: Path) -> None:
    output = make_clip(tmp_path / "out.mp4", frames=3)
    before = sha256(output)
    with pytest.raises(OutputExists):
        convert(clip, output)
    with pytest.raises(BackendError, match="as asked"):
        convert(clip, output, stylizer=FakeStylizer(fail_at=6), overwrite=True)
    assert sha256(output) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
    convert(clip, output, overwrite=True)
    assert len(read_frames(output)) == FRAMES


@pytest.mark.parametrize("fail_at", [1, FRAMES // 2, FRAMES])
def test_a_net_that_fails_leaves_no_file(clip: Path, tmp_path: Path, fail_at: int) -> None:
    with pytest.raises(BackendError, match=f"call {fail_at} "):
        convert(clip, tmp_path / "out.mp4", stylizer=FakeStylizer(fail_at=fail_at))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("fail_at", [0, FRAMES // 2, FRAMES])
def test_a_callback_that_fails_leaves_no_file(clip: Path, tmp_path: Path, fail_at: int) -> None:
    def progress(at: Progress) -> None:
        if at.frames_done == fail_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(clip, tmp_path / "out.mp4", progress=progress)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_net_too_large_for_the_memory_says_at_what_size(clip: Path, tmp_path: Path) -> None:
    stylizer = FakeStylizer(fail_at=1, error=BackendOutOfMemory("no memory"))
    with pytest.raises(BackendOutOfMemory, match=r"no memory.*64x48.*scale"):
        convert(clip, tmp_path / "out.mp4", stylizer=stylizer)


def test_progress_and_backend_are_told_in_the_calling_thread(clip: Path, tmp_path: Path) -> None:
    told: list[object] = []
    threads = set()

    def progress(at: Progress) -> None:
        threads.add(threading.current_thread())
        told.append((at.frames_done, at.frames_expected))

    def on_backend(info: BackendInfo) -> None:
        threads.add(threading.current_thread())
        told.append(info.name)

    convert(clip, tmp_path / "out.mp4", progress=progress, on_backend=on_backend)
    assert told == ["fake", *((done, FRAMES) for done in range(FRAMES + 1))]
    assert threads == {threading.current_thread()}


def test_the_report_measures(clip: Path, tmp_path: Path) -> None:
    delay = 0.01
    report = convert(clip, tmp_path / "out.mp4", stylizer=FakeStylizer(delay=delay))
    assert 1000 * delay <= report.latency_p50_ms <= report.latency_p95_ms
    assert set(report.seconds_per_stage) == {"decode", "stylize", "encode"}
    assert report.seconds_per_stage["stylize"] >= FRAMES * delay
    assert all(0 < busy <= report.seconds for busy in report.seconds_per_stage.values())
    assert report.fps == pytest.approx(FRAMES / report.seconds)


def cut_clip(folder: Path, *, frames: int, share: float) -> Path:
    """A clip whose index stands first and whose last pictures are missing."""
    whole, cut = (
        make_clip(folder / "whole.mp4", frames=frames, options={"g": "5"}),
        folder / "cut.mp4",
    )
    with (
        av.open(str(whole)) as source,
        av.open(str(cut), "w", options={"movflags": "faststart"}) as output,
    ):
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    data = cut.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    return cut


def test_a_cut_source_is_a_loss(tmp_path: Path) -> None:
    cut, output = cut_clip(tmp_path, frames=60, share=0.8), tmp_path / "out.mp4"
    report = convert(cut, output)
    assert report.finished_with_loss
    assert 0 < report.frames_out < 60
    assert report.frames_out == len(read_frames(output))
    assert any("60 frames that the header promises" in note for note in report.notes)


def test_one_per_cent_is_the_bar() -> None:
    info = FakeSource(200).info
    end = Fraction(8)
    assert losses_of(info, SourceHealth(), 198, shown_until=end) == []
    assert len(losses_of(info, SourceHealth(), 197, shown_until=end)) == 1
    assert losses_of(info, SourceHealth(), 10, shown_until=None) == []
    assert losses_of(info, SourceHealth(decode_failures=2), 198, shown_until=end) == []
    assert len(losses_of(info, SourceHealth(decode_failures=3), 200, shown_until=None)) == 1


def test_without_a_count_of_frames_the_length_is_held_against_the_pictures() -> None:
    info = replace(FakeSource(1000).info, frames_in_header=None)
    assert losses_of(info, SourceHealth(), 1, shown_until=Fraction(396, 10)) == []
    assert (
        "39.50 s of the 40.00 s"
        in losses_of(info, SourceHealth(), 1, shown_until=Fraction(395, 10))[0]
    )
    assert losses_of(info, SourceHealth(), 1, shown_until=None) == []
    unknown = replace(info, duration_in_header=None)
    assert losses_of(unknown, SourceHealth(), 1, shown_until=Fraction(1)) == []
    early = replace(info, start_pts=-50)
    assert losses_of(early, SourceHealth(), 1, shown_until=Fraction(38)) == []


def test_a_cut_matroska_file_is_a_loss(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=100, size=(160, 120), options={"g": "5"})
    assert not convert(whole, tmp_path / "out.mkv").finished_with_loss
    cut = tmp_path / "cut.mkv"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    report = convert(cut, tmp_path / "cut-out.mkv")
    assert 0 < report.frames_out < 100
    assert report.finished_with_loss
    assert any("the pictures end at" in note for note in report.notes)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_long_sound_is_no_loss_of_pictures_but_a_cut_is(tmp_path: Path, name: str) -> None:
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    clip = make_clip(
        tmp_path / name,
        frames=50,
        codec=codec,
        audio=True,
        audio_codec="libopus",
        audio_seconds=4.0,
        options={"g": "5"},
    )
    report = convert(clip, tmp_path / "out.mkv", strength=0.0)
    assert not report.finished_with_loss, report.notes
    assert report.frames_out == 50
    # Sound lies behind the pictures in such a clip, so this cuts both.
    with av.open(str(clip)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(clip.read_bytes()[: sorted(places)[35]])
    report = convert(cut, tmp_path / "cut-out.mkv", strength=0.0)
    assert 0 < report.frames_out < 50
    assert report.finished_with_loss
    assert any("of the 2.00 s" in note for note in report.notes), report.notes


def test_repairs_are_told() -> None:
    assert repairs(SourceHealth()) == []
    health = SourceHealth(decode_failures=1, repaired_timestamps=7, notes=("10 bits",))
    assert repairs(health) == [
        "10 bits",
        "undecodable packets skipped: 1",
        "missing, repeated or backward timestamps repaired: 7",
    ]


def test_expected_frames_of_a_range_come_from_the_rate() -> None:
    info = FakeSource(100).info
    assert expected_frames(info) == 100
    assert expected_frames(info, Fraction(1), None) == 75
    assert expected_frames(info, Fraction(1), Fraction(2)) == 25
    assert expected_frames(info, None, Fraction(60)) == 100
    assert expected_frames(info, Fraction(60), None) == 0


@pytest.mark.parametrize("tagged", [True, False])
def test_sound_that_goes_on_after_the_pictures_is_no_loss(tmp_path: Path, tagged: bool) -> None:
    """Without a tag for each stream, Matroska only says how long the whole file is."""
    clip = make_clip(tmp_path / "in.mkv", frames=25, audio=True, audio_seconds=8.0)
    if not tagged:
        clip.write_bytes(clip.read_bytes().replace(b"DURATION", b"DURATIOX"))
    report = convert(clip, tmp_path / "out.mkv", strength=0.0)
    assert report.frames_out == 25
    assert not report.finished_with_loss
    assert not any("pictures end" in note for note in report.notes)


def test_a_file_without_stream_lengths_that_is_cut_short_is_a_loss(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "whole.mkv", frames=200, audio=True)
    data = clip.read_bytes().replace(b"DURATION", b"DURATIOX")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    report = convert(cut, tmp_path / "out.mkv", strength=0.0)
    assert report.finished_with_loss
    assert any("pictures end" in note for note in report.notes)
