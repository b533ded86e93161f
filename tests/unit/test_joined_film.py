"""What the film that the command puts together says of itself, beside what the one-piece writer
says of the same pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from rtstyle.media import EncodeOptions, VideoWriter, open_video
from rtstyle.media.matroska import drop_default_duration
from rtstyle.media.rhythm import Rhythm
from tests.clips import make_clip, make_film, video_pts

NTSC = Fraction(30000, 1001)
MILLISECOND = Fraction(1, 1000)
UNEVEN = [0, 40, 80, 100, 180, 300, 340, 380, 420, 500, 520, 560]
CONTAINERS = {
    "h264": (".mp4", ".mov", ".mkv"),
    "hevc": (".mp4", ".mov", ".mkv"),
    "av1": (".mp4", ".mkv", ".webm"),
    "vp9": (".mp4", ".mkv", ".webm"),
    "ffv1": (".mkv",),
    "prores": (".mov", ".mkv"),
}
BY_DECODING = ("average_rate", "base_rate", "guessed_rate", "duration")
"""What mp4 and mov say by the times of decoding, which an encoder that reorders pictures chooses
for a film of one piece, where times are uneven."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["video", *map(str, arguments), "--strength", "0"])


def even(path: Path, **more: object) -> Path:
    return make_clip(path, rate=NTSC, frames=12, pixel_aspect=Fraction(4, 3), **more)  # type: ignore[arg-type]


def uneven(path: Path) -> Path:
    return make_clip(path, pts=UNEVEN, time_base=MILLISECOND, pixel_aspect=Fraction(4, 3))


def facts(path: Path) -> dict[str, object]:
    """Every field of the picture stream that a header gives."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        fields: dict[str, object] = {
            name: getattr(stream, name)
            for name in (
                *("average_rate", "base_rate", "guessed_rate", "time_base", "start_time"),
                *("duration", "frames", "sample_aspect_ratio", "display_aspect_ratio"),
                *("disposition", "profile", "type", "language"),
            )
        }
        fields |= {
            name: getattr(context, name)
            for name in (
                *("codec_tag", "width", "height", "pix_fmt", "color_range", "colorspace"),
                *("color_primaries", "color_trc", "field_order", "extradata_size"),
                *("has_b_frames", "coded_width", "coded_height", "name"),
            )
        }
        fields["metadata"] = dict(stream.metadata)
        return fields


@pytest.mark.parametrize("times", ["even", "uneven"])
@pytest.mark.parametrize(
    ("codec", "suffix"), [(codec, suffix) for codec in CONTAINERS for suffix in CONTAINERS[codec]]
)
def test_the_joined_film_says_what_the_one_piece_writer_says(
    tmp_path: Path, codec: str, suffix: str, times: str
) -> None:
    source = (even if times == "even" else uneven)(tmp_path / "in.mp4")
    written, joined = tmp_path / f"written{suffix}", tmp_path / f"joined{suffix}"
    options = EncodeOptions(codec=codec)
    with (
        open_video(source, deep=options.keeps_depth) as video,
        VideoWriter(written, video.info, options, source=source) as writer,
    ):
        for frame in video:
            writer.write(frame)
        writer.finish()
    result = run(source, "-o", joined, "--codec", codec)
    assert result.exit_code == 0, result.output
    one, other = facts(written), facts(joined)
    # Of hevc each writer stores its own form of the same header.
    ignored = {"extradata_size"} if codec == "hevc" else set()
    if times == "uneven" and codec in ("h264", "hevc") and suffix != ".mkv":
        ignored |= {*BY_DECODING}
    assert {k: v for k, v in other.items() if k not in ignored} == {
        k: v for k, v in one.items() if k not in ignored
    }
    if suffix != ".mkv" and suffix != ".webm":
        assert other["average_rate"] == facts(source)["average_rate"]
    assert video_pts(joined) == video_pts(written)


def has_default_duration(path: Path) -> bool:
    # In its track's entry, which lies in front of everything that could be anything.
    return b"\x23\xe3\x83" in path.read_bytes()[:700]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
@pytest.mark.parametrize("source", ["in.mp4", "in.mkv"])
def test_even_times_have_their_rate_in_mkv(tmp_path: Path, codec: str, source: str) -> None:
    clip, output = even(tmp_path / source), tmp_path / "out.mkv"
    result = run(clip, "-o", output, "--codec", codec)
    assert result.exit_code == 0, result.output
    assert facts(output)["average_rate"] == facts(clip)["average_rate"] == NTSC
    assert has_default_duration(output)
    seen = cv2.VideoCapture(str(output))
    assert seen.get(cv2.CAP_PROP_FPS) == pytest.approx(float(NTSC))
    assert seen.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    seen.release()
    shown = run(output, "--preview", 3, "-o", tmp_path / "p.png")
    assert "the whole: 12 frames" in shown.output


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "ffv1"])
def test_uneven_times_have_no_rate_in_mkv(tmp_path: Path, codec: str) -> None:
    clip, output = uneven(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    result = run(clip, "-o", output, "--codec", codec)
    assert result.exit_code == 0, result.output
    assert not has_default_duration(output)
    assert video_pts(output) == video_pts(clip)
    rate = facts(output)["average_rate"]
    assert isinstance(rate, Fraction)
    assert rate < 50


def test_one_picture_that_is_missing_makes_times_uneven(tmp_path: Path) -> None:
    stamps = [n for n in range(20) if n != 9]
    clip = make_clip(tmp_path / "in.mp4", pts=stamps, time_base=Fraction(1, 25))
    assert run(clip, "-o", tmp_path / "out.mkv").exit_code == 0
    assert not has_default_duration(tmp_path / "out.mkv")
    assert video_pts(tmp_path / "out.mkv") == [n * Fraction(1, 25) for n in stamps]


def test_pictures_are_counted_without_the_sound_before_them(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", rate=NTSC, frames=60, audio=True)
    output = tmp_path / "out.mkv"
    assert run(clip, "-o", output).exit_code == 0
    assert "the whole: 60 frames" in run(output, "--preview", 2, "-o", tmp_path / "p.png").output


def test_a_rhythm_is_kept_within_a_tick() -> None:
    def of(pts: list[int], rate: Fraction = NTSC, tick: Fraction = MILLISECOND) -> bool:
        rhythm = Rhythm(rate, tick)
        for at in pts:
            rhythm.add(at)
        return rhythm.even

    assert of([0, 33, 67, 100, 133, 167])
    # In the order of decoding.
    assert of([0, 133, 67, 33, 100])
    assert not of([0, 33, 67, 133])
    assert not of([0, 33, 70, 100])
    assert not of([0, 20, 40, 60])


def test_a_file_of_another_build_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3 and then something else")
    held = path.read_bytes()
    assert not drop_default_duration(path)
    assert path.read_bytes() == held


def timecode_of(path: Path) -> str | None:
    with av.open(str(path)) as container:
        tags = container.streams.video[0].metadata
        return tags.get("timecode") or tags.get("TIMECODE")


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("rate", "timecode"), [(Fraction(25), "01:00:00:00"), (NTSC, "10:00:00;02")]
)
def test_a_timecode_is_carried(
    tmp_path: Path, codec: str, suffix: str, rate: Fraction, timecode: str
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=25, rate=rate, audio=True)
    source = make_film(tmp_path / "in.mov", clip, picture={"timecode": timecode})
    output = tmp_path / f"out{suffix}"
    for more in ((), ("--audio", "none", "--overwrite"), ("--end", "0.5", "--overwrite")):
        result = run(source, "-o", output, "--codec", codec, *more)
        assert result.exit_code == 0, result.output
        assert timecode_of(output) == timecode
    assert run(source, "-o", output, "--codec", codec, "--overwrite").exit_code == 0
    assert CliRunner().invoke(main, ["verify", str(source), str(output)]).exit_code == 0
    assert len(video_pts(output)) == 25
    ranged = run(source, "-o", output, "--start", "0.2", "--overwrite")
    assert ranged.exit_code == 0
    assert "note: the timecode was left out, since it counts from the source's start" in (
        ranged.output
    )
    assert timecode_of(output) is None


def test_a_timecode_of_the_file_is_carried_and_not_into_a_range(tmp_path: Path) -> None:
    """As DV has it."""
    clip = make_clip(tmp_path / "clip.mkv", frames=25)
    source = make_film(tmp_path / "in.mkv", clip, tags={"timecode": "02:03:04:05"})
    for name in ("out.mp4", "out.mov", "out.mkv"):
        assert run(source, "-o", tmp_path / name).exit_code == 0
        assert timecode_of(tmp_path / name) == "02:03:04:05"
        result = run(source, "-o", tmp_path / name, "--start", "0.4", "--overwrite")
        assert result.exit_code == 0
        assert "the timecode was left out" in result.output
        with av.open(str(tmp_path / name)) as container:
            said = [container.metadata, *(stream.metadata for stream in container.streams)]
        assert not any(key.lower() == "timecode" for tags in said for key in tags)


@pytest.mark.parametrize(
    ("rate", "timecode"),
    [(300, "01:00:00:00"), (25, "01:00:00;00"), (25, "01:00:00:29"), (25, "once upon a time")],
)
def test_a_timecode_that_a_track_cannot_count_is_left_out_with_a_word(
    tmp_path: Path, rate: int, timecode: str
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=12, rate=rate)
    source = make_film(tmp_path / "in.mkv", clip, picture={"timecode": timecode})
    for name in ("out.mp4", "out.mov"):
        result = run(source, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert f"the timecode {timecode} was left out, since" in result.output
        assert len(video_pts(tmp_path / name)) == 12
        verified = CliRunner().invoke(main, ["verify", str(source), str(tmp_path / name)])
        assert verified.exit_code == 0, verified.output
    assert run(source, "-o", tmp_path / "out.mkv").exit_code == 0
    assert timecode_of(tmp_path / "out.mkv") == timecode


def test_a_timecode_counts_as_the_source_does_where_pictures_are_missing(tmp_path: Path) -> None:
    stamps = [n for n in range(40) if n not in (7, 20)]
    clip = make_clip(tmp_path / "clip.mp4", pts=stamps, time_base=Fraction(1, 25))
    source = make_film(tmp_path / "in.mov", clip, picture={"timecode": "01:00:00:24"})
    result = run(source, "-o", tmp_path / "out.mov")
    assert result.exit_code == 0, result.output
    assert timecode_of(tmp_path / "out.mov") == "01:00:00:24"
