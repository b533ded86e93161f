"""Numbered pictures as a source and as a result: names, order, times, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtstyle.errors import (
    CorruptInput,
    InputError,
    LimitExceeded,
    NotAVideo,
    OutputError,
    OutputExists,
    OutputNotWritable,
    UsageError,
)
from rtstyle.media import (
    SequenceFile,
    SequenceWriter,
    is_sequence,
    numbered_name,
    open_source,
    open_video,
    options_for,
    verify_video,
)
from rtstyle.media.sequence import exact_rate
from rtstyle.media.stamps import clock_of, read_stamps
from rtstyle.pipeline import Progress, stylize_video
from rtstyle.types import Frame, Limits, Pixels, Size
from tests.clips import make_clip, moving_picture, read_frames, video_pts
from tests.helpers import unfinished

SIZE = (32, 24)
PATTERN = "%04d.png"


def put(path: Path, pixels: Pixels) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def get(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def fill(folder: Path, numbers: range, *, name: str = PATTERN, stamps: str | None = None) -> Path:
    """Draw pictures into ``folder`` and return their pattern."""
    folder.mkdir(exist_ok=True)
    for index, number in enumerate(numbers):
        put(folder / (name % number), moving_picture(SIZE, index))
    if stamps is not None:
        (folder / "timestamps.txt").write_text(stamps)
    return folder / name


def stamps_of(*milliseconds: object) -> str:
    return "\n".join(("# timestamp format v2", *map(str, milliseconds))) + "\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def frames_of(path: Path, *, fps: float | None = None) -> tuple[list[Frame], SequenceFile]:
    with SequenceFile(path, fps=None if fps is None else exact_rate(fps)) as source:
        return list(source), source


def convert(source: Path, output: Path, **options: object) -> tuple[str, ...]:
    """Without a net; returns the notes."""
    report = stylize_video(source, output, "great-wave", strength=0, **options)  # type: ignore[arg-type]
    assert report.dropped == 0
    return report.notes


# Names


@pytest.mark.parametrize(
    ("name", "number", "made"),
    [
        ("%06d.png", 7, "000007.png"),
        ("%d.jpg", 7, "7.jpg"),
        ("a%%b_%03d_c.TIFF", 1234, "a%b_1234_c.TIFF"),
    ],
)
def test_patterns_are_those_of_printf(name: str, number: int, made: str) -> None:
    pattern = numbered_name(Path("at%d", name))
    assert pattern is not None
    assert pattern.name(number) == made
    assert pattern.number(made) == number
    assert Path(str(pattern)) == Path("at%d", name)


@pytest.mark.parametrize(
    "name", ["a.png", "%s.png", "%06d.mp4", "%d%d.png", "%6d.png", "%06d", "100%.png", "%%d.png"]
)
def test_other_names_are_no_patterns(name: str) -> None:
    assert numbered_name(Path(name)) is None


def test_a_file_that_is_named_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 3))
    assert is_sequence(tmp_path / PATTERN)
    make_clip(tmp_path / "clip.mp4", frames=3).rename(tmp_path / PATTERN)
    assert not is_sequence(tmp_path / PATTERN)
    # FFmpeg takes no film that ends as a picture does; what counts is that the pictures are not it.
    with pytest.raises(NotAVideo, match="not a video file"):
        open_source(tmp_path / PATTERN)
    (tmp_path / "notes.txt").write_text("hello")
    assert not is_sequence(tmp_path / "notes.txt")


# Reading


def test_pictures_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    pattern = fill(tmp_path / "in", range(8, 12), name="a_%d.png")
    put(tmp_path / "in" / "b_9.png", moving_picture(SIZE, 50))
    frames, source = frames_of(pattern, fps=24)
    assert [frame.seconds for frame in frames] == [Fraction(n, 24) for n in range(4)]
    assert [frame.duration for frame in frames] == [1] * 4
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.pixels, moving_picture(SIZE, index))
    assert (source.info.size, source.info.frames_in_header) == (Size(*SIZE), 4)
    assert source.info.duration_in_header == Fraction(4, 24)
    assert source.health.notes == ()


def test_without_times_the_usual_rate_is_taken_and_said(tmp_path: Path) -> None:
    frames, source = frames_of(fill(tmp_path, range(1, 4)))
    assert [frame.seconds for frame in frames] == [Fraction(n, 25) for n in range(3)]
    assert "25 frames a second" in source.health.notes[0]


@pytest.mark.parametrize(
    ("said", "meant"),
    [(23.976, Fraction(24000, 1001)), (29.97, Fraction(30000, 1001)), (24, 24), (12.5, 12.5)],
)
def test_rates_are_taken_as_meant(said: float, meant: Fraction) -> None:
    assert exact_rate(said) == meant


@pytest.mark.parametrize("rate", [0, -1, 1001, float("nan"), float("inf")])
def test_rates_that_cannot_be_are_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="fps"):
        exact_rate(rate)


def test_a_film_takes_no_rate(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="own times"):
        open_source(make_clip(tmp_path / "a.mp4", frames=2), fps=24)


def test_a_missing_number_is_an_error_that_names_it(tmp_path: Path) -> None:
    pattern = fill(tmp_path, range(1, 9))
    for number in (3, 4, 6):
        (tmp_path / (PATTERN % number)).unlink()
    with pytest.raises(InputError, match=r"3 pictures are missing.*first is 0003\.png"):
        SequenceFile(pattern)


def test_a_wrong_pattern_is_answered_with_the_right_one(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 3))
    for wrong in ("%06d.png", "%d.png", "x%04d.png", "%04d.jpg"):
        with pytest.raises(NotAVideo, match=r"%04d\.png"):
            SequenceFile(tmp_path / wrong)
    with pytest.raises(NotAVideo, match="no folder"):
        SequenceFile(tmp_path / "none" / PATTERN)


def test_numbers_that_are_padded_otherwise_are_counted(tmp_path: Path) -> None:
    pattern = fill(tmp_path, range(1, 3))
    put(tmp_path / "3.png", moving_picture(SIZE, 1))
    frames, source = frames_of(pattern, fps=24)
    assert len(frames) == 2
    assert "1 picture " in source.health.notes[0]


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "gone"])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_picture_that_cannot_be_read_is_counted_and_the_others_keep_their_times(
    tmp_path: Path, damage: str, ending: str
) -> None:
    pattern = fill(tmp_path, range(1, 7), name=f"%04d{ending}")
    bad = tmp_path / f"0003{ending}"
    source = SequenceFile(pattern, fps=Fraction(10))
    if damage == "gone":
        bad.unlink()
    else:
        data = bad.read_bytes()
        bad.write_bytes({"cut": data[: len(data) // 2], "text": b"hello", "empty": b""}[damage])
    frames = list(source)
    assert [frame.pts for frame in frames] == [0, 1, 3, 4, 5]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert source.health.decode_failures == 1
    assert f"0003{ending}" in source.health.notes[0]


def test_the_first_picture_may_be_damaged_but_not_all(tmp_path: Path) -> None:
    pattern = fill(tmp_path, range(1, 4))
    (tmp_path / "0001.png").write_bytes(b"x")
    frames, source = frames_of(pattern, fps=10)
    assert [frame.pts for frame in frames] == [1, 2]
    assert source.health.decode_failures == 1
    for number in (2, 3):
        (tmp_path / (PATTERN % number)).write_bytes(b"x")
    with pytest.raises(CorruptInput, match="not one picture"):
        SequenceFile(pattern)


def test_too_many_damaged_in_a_row_end_it(tmp_path: Path) -> None:
    pattern = fill(tmp_path, range(1, 6))
    for number in (2, 3, 4):
        (tmp_path / (PATTERN % number)).write_bytes(b"x")
    source = SequenceFile(pattern, limits=Limits(max_decode_failures=3))
    with pytest.raises(CorruptInput, match="3 pictures in a row"):
        list(source)


def test_pictures_of_other_sizes_are_fitted_and_said(tmp_path: Path) -> None:
    pattern = fill(tmp_path, range(1, 4))
    put(tmp_path / "0002.png", np.full((48, 32, 3), 200, np.uint8))
    frames, source = frames_of(pattern, fps=24)
    assert {frame.size for frame in frames} == {Size(*SIZE)}
    assert frames[1].pixels[12, 16].tolist() == [200] * 3
    assert frames[1].pixels[12, 0].tolist() == [0] * 3
    assert "0002.png" in source.health.notes[0]


def test_depth_and_transparency_are_said(tmp_path: Path) -> None:
    deep = np.full((24, 32, 3), 257 * 100, np.uint16)
    assert cv2.imwrite(str(tmp_path / "0001.png"), deep)
    clear = np.full((24, 32, 4), 0, np.uint8)
    assert cv2.imwrite(str(tmp_path / "0002.png"), clear)
    frames, source = frames_of(tmp_path / PATTERN, fps=24)
    assert (frames[0].pixels == 100).all()
    assert (frames[1].pixels == 255).all()
    notes = " ".join(source.health.notes)
    assert "16 bits" in notes
    assert "white" in notes


def test_limits_hold(tmp_path: Path) -> None:
    pattern = fill(tmp_path, range(1, 6))
    with pytest.raises(LimitExceeded, match="pixels"):
        SequenceFile(pattern, limits=Limits(max_pixels=100))
    with pytest.raises(LimitExceeded, match="4 frames"):
        SequenceFile(pattern, limits=Limits(max_frames=4))
    with pytest.raises(LimitExceeded, match=r"0\.1 s"):
        SequenceFile(pattern, limits=Limits(max_seconds=0.1))
    piece = SequenceFile(pattern, end=Fraction(1, 10), limits=Limits(max_frames=3, max_seconds=0.1))
    assert len(list(piece)) == 3


def test_a_range_is_cut_out(tmp_path: Path) -> None:
    pattern = fill(tmp_path, range(1, 11))
    with SequenceFile(
        pattern, fps=Fraction(10), start=Fraction(2, 10), end=Fraction(5, 10)
    ) as source:
        assert [frame.pts for frame in source] == [2, 3, 4]
    with pytest.raises(UsageError, match="no frame lies"):
        list(SequenceFile(pattern, fps=Fraction(10), start=Fraction(9)))
    with pytest.raises(UsageError, match="later than start"):
        SequenceFile(pattern, start=Fraction(3), end=Fraction(2))


# Times


def test_times_beside_the_pictures_are_used(tmp_path: Path) -> None:
    pattern = fill(tmp_path, range(1, 5), stamps=stamps_of(0, 40, "90.5", 1000))
    for path in (pattern, tmp_path / "timestamps.txt"):
        frames, source = frames_of(path)
        assert [frame.seconds * 1000 for frame in frames] == [0, 40, Fraction("90.5"), 1000]
        assert [frame.duration for frame in frames[:3]] == [40_000, 50_500, 909_500]
        assert source.health.notes == ()
    frames, source = frames_of(pattern, fps=50)
    assert [frame.seconds for frame in frames] == [Fraction(n, 50) for n in range(4)]
    assert "not looked at" in source.health.notes[0]
    with pytest.raises(UsageError, match="--fps"):
        SequenceFile(tmp_path / "timestamps.txt", fps=Fraction(24))


def test_times_that_do_not_fit_the_pictures_are_refused(tmp_path: Path) -> None:
    for count in (1, 4, 5):
        pattern = fill(tmp_path, range(1, 3), stamps=stamps_of(*range(count)))
        with pytest.raises(InputError, match=f"{count} times for 2 pictures"):
            SequenceFile(pattern)
    (tmp_path / "timestamps.txt").write_text(f"{stamps_of(0, 1, 2)}# end: 3.0\n")
    with pytest.raises(InputError, match="3 times for 2 pictures"):
        SequenceFile(pattern)


def test_one_time_more_is_the_end_of_the_last_and_said(tmp_path: Path) -> None:
    frames, source = frames_of(fill(tmp_path, range(1, 3), stamps=stamps_of(0, 100, 350)))
    assert [frame.duration for frame in frames] == [100, 250]
    assert "one time more" in source.health.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# timestamp format v1\n0\n", "does not begin"),
        (stamps_of(0, 40, 40), "line 4"),
        (stamps_of(0, "soon"), "line 3"),
        (stamps_of(0, "nan"), "line 3"),
        (stamps_of(0, "1e9"), "line 3"),
    ],
)
def test_a_timestamps_file_that_is_wrong_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    pattern = fill(tmp_path, range(1, 3), stamps=text)
    for path in (pattern, tmp_path / "timestamps.txt"):
        with pytest.raises(InputError, match=message):
            SequenceFile(path)


def test_a_timestamps_file_with_pictures_of_two_kinds_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 3), stamps=stamps_of(0, 40))
    put(tmp_path / "other.png", moving_picture(SIZE, 1))
    with pytest.raises(NotAVideo, match="several kinds"):
        SequenceFile(tmp_path / "timestamps.txt")


@pytest.mark.parametrize("rate", [24, 25, 50, 60, 13, Fraction(24000, 1001), Fraction(30000, 1001)])
@pytest.mark.parametrize("digits", [0, 3, 6])
def test_even_times_are_known_for_even_however_they_are_rounded(
    tmp_path: Path, rate: Fraction, digits: int
) -> None:
    lines = [f"{float(1000 * n / rate):.{digits}f}" for n in range(200)]
    (tmp_path / "t.txt").write_text(stamps_of(*lines))
    clock = clock_of(read_stamps(tmp_path / "t.txt"))
    assert (clock.rate, clock.time_base) == (rate, 1 / Fraction(rate))
    assert clock.pts == tuple(range(200))


def test_uneven_times_are_kept_as_written(tmp_path: Path) -> None:
    times = [0, 33, 50, 117, 133, 1200]
    (tmp_path / "t.txt").write_text(stamps_of(*times))
    clock = clock_of(read_stamps(tmp_path / "t.txt"))
    assert clock.time_base == Fraction(1, 1000)
    assert list(clock.pts) == times


# Writing


def test_a_film_goes_into_pictures_and_back_with_its_times(tmp_path: Path) -> None:
    pts = [0, 1, 3, 4, 9, 10, 11]
    clip = make_clip(
        tmp_path / "in.mkv",
        pts=pts,
        time_base=Fraction(1, 30),
        size=SIZE,
        codec="ffv1",
        pixel_format="bgr0",
    )
    notes = convert(clip, tmp_path / "out" / "%06d.png")
    assert names(tmp_path / "out") == [*(f"{n:06}.png" for n in range(1, 8)), "timestamps.txt"]
    for number, picture in enumerate(read_frames(clip), 1):
        assert np.array_equal(get(tmp_path / "out" / f"{number:06}.png"), picture)
    assert notes == ()
    convert(tmp_path / "out" / "timestamps.txt", tmp_path / "back.mkv", codec="ffv1")
    assert len(read_frames(tmp_path / "back.mkv")) == 7
    for before, after in zip(read_frames(clip), read_frames(tmp_path / "back.mkv"), strict=True):
        assert np.array_equal(before, after)
    assert video_pts(tmp_path / "back.mkv") == video_pts(clip)


@pytest.mark.parametrize("start", [Fraction(0), Fraction(7, 5), Fraction(-1, 8)])
def test_times_come_back_within_a_tick(tmp_path: Path, start: Fraction) -> None:
    tick = Fraction(1, 90_000)
    pts = [round(start / tick) + n for n in (0, 3003, 6006, 9010, 50_000)]
    with open_video(make_clip(tmp_path / "in.mp4", size=SIZE, frames=2)) as video:
        info = video.info
    with SequenceWriter(tmp_path / "o" / "%d.png", info) as writer:
        for index, at in enumerate(pts):
            writer.write(Frame(moving_picture(SIZE, index), at, tick, 3003, index))
        writer.finish()
    frames, source = frames_of(tmp_path / "o" / "timestamps.txt")
    for frame, at in zip(frames, pts, strict=True):
        assert abs(frame.seconds - at * tick) < tick / 2
    assert source.info.duration_in_header is not None
    length = (pts[-1] + 3003 - pts[0]) * tick
    assert abs(source.info.duration_in_header - length) < tick


def test_a_range_begins_at_zero(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=20)
    convert(clip, tmp_path / "o" / "%d.png", start=0.2, end=0.4)
    frames, _ = frames_of(tmp_path / "o" / "timestamps.txt")
    assert [frame.seconds for frame in frames] == [Fraction(n, 25) for n in range(5)]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp"])
def test_every_kind_of_picture_can_be_written_and_read(tmp_path: Path, ending: str) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    convert(clip, tmp_path / "o" / f"%03d.{ending}")
    frames, _ = frames_of(tmp_path / "o" / f"%03d.{ending}")
    for frame, picture in zip(frames, read_frames(clip), strict=True):
        assert np.abs(frame.pixels.astype(int) - picture).mean() < 3


def test_quality_is_that_of_the_pictures(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    sizes = []
    for quality in (10, None, 100):
        folder = tmp_path / f"q{quality}"
        convert(clip, folder / "%d.jpg", quality=quality)
        sizes.append((folder / "1.jpg").stat().st_size)
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("%d.png", {"quality": 90}),
        ("%d.jpg", {"quality": 0}),
        ("%d.jpg", {"quality": 101}),
        ("%d.jpg", {"codec": "hevc"}),
        ("%d.jpg", {"preset": "fast"}),
        ("%d.jpg", {"audio": "aac"}),
        ("%d.jpg", {"audio": "loud"}),
    ],
)
def test_settings_that_pictures_do_not_have_are_refused(
    name: str, options: dict[str, object]
) -> None:
    usual = {"codec": "h264", "quality": None, "preset": None, "audio": "copy", "subtitles": "copy"}
    with pytest.raises(UsageError):
        options_for(Path(name), **{**usual, **options})  # type: ignore[arg-type]


def test_sound_that_is_left_out_is_said_unless_that_was_asked_for(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3, audio=True)
    assert "no sound" in convert(clip, tmp_path / "a" / "%d.png")[0]
    assert convert(clip, tmp_path / "b" / "%d.png", audio="none") == ()


def test_numbers_beyond_the_digits_are_written_whole(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=12)
    notes = convert(clip, tmp_path / "o" / "%01d.png")
    assert names(tmp_path / "o") == sorted([*(f"{n}.png" for n in range(1, 13)), "timestamps.txt"])
    assert "digits" in notes[0]
    frames, _ = frames_of(tmp_path / "o" / "timestamps.txt")
    assert len(frames) == 12


def test_a_shorter_run_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=9)
    output = tmp_path / "o" / "%03d.png"
    convert(clip, output)
    (tmp_path / "o" / "readme.md").write_text("mine")
    before = {path: path.read_bytes() for path in (tmp_path / "o").iterdir()}
    with pytest.raises(OutputExists, match="--overwrite"):
        convert(clip, output)
    assert {path: path.read_bytes() for path in (tmp_path / "o").iterdir()} == before
    convert(clip, output, overwrite=True, end=0.16)
    assert names(tmp_path / "o") == [
        *(f"{n:03}.png" for n in range(1, 5)),
        "readme.md",
        "timestamps.txt",
    ]
    assert len(frames_of(output)[0]) == 4


@pytest.mark.parametrize("stamped", [True, False])
def test_pictures_that_no_run_wrote_are_never_replaced(tmp_path: Path, stamped: bool) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    stamps = stamps_of(0, 40, 80) if stamped else None
    pattern = fill(tmp_path / "photos", range(1, 6), stamps=stamps)
    before = {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()}
    for name in (PATTERN, "%06d.png", "new_%d.jpg"):
        with pytest.raises(OutputExists, match="never replaced"):
            convert(clip, pattern.with_name(name), overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()} == before


def test_the_input_is_never_replaced(tmp_path: Path) -> None:
    pattern = fill(tmp_path / "in", range(1, 4), stamps=stamps_of(0, 40, 80))
    before = {path: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for source in (pattern, tmp_path / "in" / "timestamps.txt"):
        for output in (pattern, tmp_path / "in" / "x%d.jpg", tmp_path / "link" / PATTERN):
            with pytest.raises(OutputExists, match="input itself"):
                convert(source, output, overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "in").iterdir()} == before


def test_places_where_no_pictures_can_be_are_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    (tmp_path / "file").touch()
    for output, reason in {
        tmp_path / "missing" / "o" / "%d.png": "does not exist",
        tmp_path / "file" / "%d.png": "not a folder",
        tmp_path / "one.png": "one-%06d.png",
    }.items():
        with pytest.raises(OutputNotWritable, match=reason):
            convert(clip, output)
    assert names(tmp_path) == ["file", "in.mp4"]


@pytest.mark.parametrize("there", [False, True])
def test_a_broken_run_leaves_nothing(tmp_path: Path, there: bool) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=6)
    if there:
        (tmp_path / "o").mkdir()

    def fail(progress: Progress) -> None:
        if progress.frames_done == 4:
            assert unfinished(tmp_path / "o" / "%d.png").is_dir()
            raise RuntimeError("the net broke")

    with pytest.raises(RuntimeError, match="net broke"):
        convert(clip, tmp_path / "o" / "%d.png", progress=fail)
    assert names(tmp_path) == (["in.mp4", "o"] if there else ["in.mp4"])


def test_what_was_done_before_an_interrupt_is_kept_with_its_times(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=9)
    with open_video(clip) as video, SequenceWriter(tmp_path / "o" / "%d.png", video.info) as writer:
        for frame in video:
            writer.write(frame)
            if frame.index == 3:
                break
        report = writer.finish_early()
    assert report is not None
    assert report.path == str(tmp_path / "o.partial")
    assert names(tmp_path) == ["in.mp4", "o.partial"]
    assert names(tmp_path / "o.partial") == ["1.png", "2.png", "3.png", "4.png", "timestamps.txt"]
    assert len(frames_of(tmp_path / "o.partial" / "timestamps.txt")[0]) == 4
    with open_video(clip) as video, SequenceWriter(tmp_path / "o" / "%d.png", video.info) as writer:
        assert writer.finish_early() is None
    assert names(tmp_path) == ["in.mp4", "o.partial"]


def test_a_film_without_frames_makes_nothing(tmp_path: Path) -> None:
    with (
        open_video(make_clip(tmp_path / "in.mp4", frames=2)) as video,
        SequenceWriter(tmp_path / "o" / "%d.png", video.info) as writer,
        pytest.raises(OutputError, match="no frame"),
    ):
        writer.finish()
    assert names(tmp_path) == ["in.mp4"]


# Both together


def test_pictures_of_a_film_are_proved_to_be_its_pictures(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=12, rate=Fraction(30000, 1001), audio=True)
    pattern = tmp_path / "o" / "%03d.png"
    convert(clip, pattern)
    convert(pattern, tmp_path / "back.mkv")
    assert verify_video(clip, pattern).kept
    assert verify_video(clip, tmp_path / "o" / "timestamps.txt").kept
    assert verify_video(pattern, tmp_path / "back.mkv").kept
    left = [check.name for check in verify_video(clip, pattern).checks if not check.kept]
    assert left == ["streams"]
    data = (tmp_path / "o" / "005.png").read_bytes()
    (tmp_path / "o" / "005.png").write_bytes(data[:-40])
    found = verify_video(clip, pattern)
    assert [check.name for check in found.lost] == ["frames"]
    assert "frame 4 " in found.lost[0].detail
    (tmp_path / "o" / "005.png").write_bytes(data)
    stamps = (tmp_path / "o" / "timestamps.txt").read_text().splitlines()
    stamps[4] = f"{float(stamps[4]) + 3:.6f}"
    (tmp_path / "o" / "timestamps.txt").write_text("\n".join(stamps))
    assert [check.name for check in verify_video(clip, pattern).lost] == ["times"]
