"""The check of a finished conversion: right ones pass whatever was asked for, wrong ones do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from av.packet import Packet
from av.stream import Stream

from rtstyle.backends.fake import FakeStylizer
from rtstyle.media import open_video
from rtstyle.media.acceptance import Verdict, Written, check_conversion, stamp_of
from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.films import Announced, Film
from rtstyle.media.payload import Mishaps
from rtstyle.media.stretch import Stretch
from rtstyle.pipeline import stylize_video
from rtstyle.types import DEFAULT_LIMITS
from tests.clips import Titles, make_clip, make_film
from tests.remux import altered, later, remux

FRAMES = 50


@pytest.fixture
def film(tmp_path: Path) -> Path:
    clip = make_clip(tmp_path / "clip.mkv", frames=FRAMES, audio=True, audio_tracks=2)
    return make_film(
        tmp_path / "film.mkv",
        clip,
        titles=[Titles("subrip", [(0, 900, "one"), (1000, 500, "two")], language="eng")],
        chapters=[(0, 1, "One"), (1, 2, "Two"), (30, 31, "After the end")],
        tags={"title": "A film", "MADE_BY": "someone"},
        fonts=[("a.ttf", b"glyphs")],
    )


def convert(
    source: Path,
    output: Path,
    *,
    audio: str = "copy",
    subtitles: str = "copy",
    start: float | None = None,
    end: float | None = None,
) -> Path:
    stylize_video(
        source,
        output,
        None,
        stylizer=FakeStylizer(),
        preset="ultrafast",
        audio=audio,
        subtitles=subtitles,
        start=start,
        end=end,
    )
    return output


def written(source: Path, frames: int = FRAMES, **facts: object) -> Written:
    with open_video(source) as video:
        plain = Written(info=video.info, frames=frames, options=EncodeOptions())
    return replace(plain, **facts)  # type: ignore[arg-type]


def judge(source: Path, output: Path, frames: int = FRAMES, **facts: object) -> Verdict:
    return check_conversion(source, output, output, written(source, frames, **facts))


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.failures}


def without(kind: str, drop: Callable[[int], bool]) -> Callable[..., Packet[Stream] | None]:
    def edit(packet: Packet[Stream], index: int) -> Packet[Stream] | None:
        return None if packet.stream.type == kind and drop(index) else packet

    return edit


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("audio", ["copy", "aac", "none"])
def test_a_right_conversion_passes_without_a_word(
    film: Path, tmp_path: Path, suffix: str, audio: str
) -> None:
    output = convert(film, tmp_path / f"out{suffix}", audio=audio, subtitles="none")
    options = EncodeOptions(audio=audio, subtitles="none")
    verdict = judge(film, output, options=options)
    assert verdict.passed, verdict.failures
    assert verdict.sentences == ()


def test_a_range_is_checked_against_that_range(film: Path, tmp_path: Path) -> None:
    output = convert(film, tmp_path / "out.mp4", start=0.5, end=1.5)
    moved = Fraction(1, 2)
    stretch = Stretch(Fraction(1, 2), Fraction(3, 2))
    verdict = judge(film, output, 25, stretch=stretch, moved=moved)
    assert (failed(verdict), verdict.sentences) == (set(), ())
    assert "frames" in failed(judge(film, output, 25, moved=moved))


@pytest.mark.parametrize(
    ("kind", "drop", "named"),
    [
        ("video", lambda n: n == 49, {"frames"}),
        ("audio", lambda n: n == 30, {"audio 1", "audio 2"}),
        ("audio", lambda n: n >= 80, {"audio 1", "audio 2"}),
    ],
)
def test_a_lost_picture_or_sound_refuses_the_file(
    film: Path, tmp_path: Path, kind: str, drop: Callable[[int], bool], named: set[str]
) -> None:
    output = convert(film, tmp_path / "out.mkv")
    verdict = judge(film, remux(output, tmp_path / "less.mkv", edit=without(kind, drop)))
    assert failed(verdict) == named
    said = verdict.refusal("out.mkv", "out.mkv.part")
    assert said.startswith("out.mkv: the result is not whole: ")
    assert "it is kept as out.mkv.part: try " in said
    assert "\n" not in said


def test_sound_that_moved_or_changed_refuses_the_file(film: Path, tmp_path: Path) -> None:
    output = convert(film, tmp_path / "out.mkv")

    def shift(packet: Packet[Stream], index: int) -> Packet[Stream]:
        return later(packet, Fraction(1, 25)) if packet.stream_index == 1 else packet

    def change(packet: Packet[Stream], index: int) -> Packet[Stream]:
        return altered(packet) if (packet.stream_index, index) == (2, 9) else packet

    assert failed(judge(film, remux(output, tmp_path / "a.mkv", edit=shift))) == {"sync 1"}
    assert failed(judge(film, remux(output, tmp_path / "b.mkv", edit=change))) == {"audio 2"}
    assert failed(judge(film, remux(output, tmp_path / "c.mkv", without=[1]))) == {"audio 1"}


def test_sound_encoded_anew_that_ends_early_refuses_the_file(film: Path, tmp_path: Path) -> None:
    output = convert(film, tmp_path / "out.mkv", audio="aac")
    short = remux(output, tmp_path / "short.mkv", edit=without("audio", lambda n: n > 60))
    verdict = judge(film, short, options=EncodeOptions(audio="aac"))
    assert failed(verdict) == {"length 1", "length 2"}


def test_missing_text_files_and_labels_are_losses(film: Path, tmp_path: Path) -> None:
    output = convert(film, tmp_path / "out.mkv")
    edit = without("subtitle", lambda n: n == 1)
    bare = remux(output, tmp_path / "bare.mkv", edit=edit, without=[4])
    verdict = judge(film, bare)
    assert verdict.passed
    assert [loss.partition(":")[0] for loss in verdict.losses] == [
        "attachment 1",
        "subtitle 1",
        "chapters",
        "tags",
    ]
    assert verdict.notes == ()


def test_what_the_user_or_the_codec_chose_is_granted(tmp_path: Path) -> None:
    deep = make_clip(tmp_path / "deep.mkv", frames=5, pixel_format="yuv420p10le")
    assert judge(deep, convert(deep, tmp_path / "out.mp4"), 5) == Verdict()


def test_colours_are_those_that_the_writer_was_told(tmp_path: Path) -> None:
    wide = make_clip(tmp_path / "wide.mp4", frames=5, colour=(9, 9, 16, 1))
    plain = make_clip(tmp_path / "plain.mp4", frames=5, colour=(1, 1, 1, 1))
    with open_video(wide) as video:
        assert judge(wide, plain, 5, info=video.info) == Verdict()
    with open_video(wide, hdr="keep") as video:
        (loss,) = judge(wide, plain, 5, info=video.info).losses
    assert "matrix BT.2020 to matrix BT.709" in loss
    unsaid = make_clip(tmp_path / "unsaid.mp4", frames=5, colour=(1, 2, 2, 1))
    verdict = judge(plain, unsaid, 5)
    assert verdict.passed
    assert "primaries 1 to primaries unsaid" in verdict.losses[0]


def test_a_size_that_is_not_what_was_asked_for_refuses_the_file(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "one.mp4", frames=5)
    other = make_clip(tmp_path / "other.mp4", frames=5, size=(48, 64))
    assert "size" in failed(judge(one, other, 5))


def test_as_many_damaged_packets_may_be_missing_as_were_counted(film: Path, tmp_path: Path) -> None:
    output = convert(film, tmp_path / "out.mkv")

    def edit(packet: Packet[Stream], index: int) -> Packet[Stream] | None:
        return None if packet.stream_index == 1 and index in (10, 20) else packet

    less = remux(output, tmp_path / "less.mkv", edit=edit)
    assert judge(film, less, mishaps=Mishaps(left_out={"audio": 2})).passed
    assert failed(judge(film, less, mishaps=Mishaps(left_out={"audio": 1}))) == {"audio 1"}


def test_sound_that_had_to_be_moved_is_said_and_not_refused(film: Path, tmp_path: Path) -> None:
    output = convert(film, tmp_path / "out.mkv")

    def shift(packet: Packet[Stream], index: int) -> Packet[Stream]:
        return later(packet, Fraction(1, 25)) if packet.stream_index == 1 else packet

    moved = remux(output, tmp_path / "moved.mkv", edit=shift)
    verdict = judge(film, moved, mishaps=Mishaps(moved={"audio": 3}))
    assert verdict.passed
    assert "40.00 ms later" in verdict.losses[0]
    assert "packets with wrong timestamps were moved" in verdict.sentences[0]


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_source_is_no_fault_of_its_conversion(tmp_path: Path, seed: int) -> None:
    clip = make_clip(tmp_path / "whole.mkv", frames=FRAMES, audio=True, options={"g": "10"})
    broken = bytearray(clip.read_bytes())
    for place in range(len(broken) // 10 + 97 * seed, len(broken) * 9 // 10, 1999):
        broken[place] ^= 0x55
    clip = tmp_path / "broken.mkv"
    clip.write_bytes(broken)
    output = tmp_path / "out.mkv"
    report = stylize_video(clip, output, None, stylizer=FakeStylizer(), audio="aac")
    verdict = judge(clip, output, report.frames_out, options=EncodeOptions(audio="aac"))
    assert not failed(verdict) & {"frames", "times", "duration"}, verdict.failures


def test_a_source_that_changed_or_went_away_does_not_cost_the_result(
    film: Path, tmp_path: Path
) -> None:
    output = convert(film, tmp_path / "out.mkv")
    facts = written(film, stamp=stamp_of(film))
    assert check_conversion(film, output, output, facts) == Verdict()
    with film.open("ab") as file:
        file.write(b"more")
    (note,) = check_conversion(film, output, output, facts).notes
    assert note == "the result was not compared with the source: it has changed since it was opened"
    film.unlink()
    verdict = check_conversion(film, output, output, replace(facts, stamp=None))
    assert verdict.passed
    assert "no such file" in verdict.notes[0]
    fewer = check_conversion(film, output, output, replace(facts, frames=FRAMES + 1))
    assert failed(fewer) == {"frames"}


@pytest.mark.parametrize("pts", [[0, 40, 41, 900, 901], [0, 1, 40, 80, 1500], [7, 8, 9, 2000]])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_times_of_any_rate_pass(tmp_path: Path, pts: list[int], suffix: str) -> None:
    clip = make_clip(tmp_path / "in.mkv", pts=pts, time_base=Fraction(1, 1000), audio=True)
    verdict = judge(clip, convert(clip, tmp_path / f"out{suffix}"), len(pts))
    assert (failed(verdict), verdict.losses) == (set(), ())


def test_a_result_that_cannot_be_read_back_is_refused(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(convert(film, tmp_path / "whole.mp4").read_bytes()[:2000])
    verdict = judge(film, output)
    assert failed(verdict) == {"reading"}
    assert "cannot be read back" in verdict.refusal("out.mp4", "out.mp4.part")


def test_a_run_that_was_ended_early_is_checked_as_far_as_it_went(
    film: Path, tmp_path: Path
) -> None:
    output = convert(film, tmp_path / "out.mkv", end=1)
    assert judge(film, output, 25, stretch=Stretch(most=25), sound_ends=Fraction(1)).passed
    more = judge(film, output, 30, stretch=Stretch(most=30), sound_ends=Fraction(6, 5))
    assert {"frames", "audio 1", "audio 2"} <= failed(more)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "4", "b-pyramid": "normal"}),
        ("b.ts", "mpeg2video", {"bf": "2"}),
        ("c.mkv", "libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ],
)
def test_packets_announce_the_pictures_that_decode(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    clip = make_clip(tmp_path / name, frames=40, codec=codec, options=options)
    with open_video(clip) as video:
        zero = video.info.start_pts * video.info.time_base
    for stretch in (Stretch(), Stretch(Fraction(1, 2), Fraction(1))):
        with Film(clip, DEFAULT_LIMITS, stretch) as decoded:
            times = [moment.seconds for moment in decoded.moments()]
        announced = Announced(clip, zero, stretch)
        assert [moment.seconds for moment in announced.moments()] == times


def test_pictures_that_are_stored_and_never_shown_do_not_refuse_the_file(tmp_path: Path) -> None:
    hidden = {"auto-alt-ref": "1", "lag-in-frames": "16"}
    clip = make_clip(tmp_path / "in.mkv", frames=FRAMES, codec="libvpx", options=hidden)
    assert judge(clip, convert(clip, tmp_path / "out.mp4")) == Verdict()


def test_progress_is_against_what_was_written(film: Path, tmp_path: Path) -> None:
    output = convert(film, tmp_path / "out.mkv")
    told: list[tuple[int, int | None]] = []
    check_conversion(
        film, output, output, written(film), progress=lambda n, total: told.append((n, total))
    )
    assert told[-1] == (FRAMES, FRAMES)
