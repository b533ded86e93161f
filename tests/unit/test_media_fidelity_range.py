"""Outputs made of a range, and sound encoded anew: complete for what they should hold, or not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from av.packet import Packet
from av.stream import Stream

from rtstyle.backends.fake import FakeStylizer
from rtstyle.errors import UsageError
from rtstyle.media import verify_video
from rtstyle.pipeline import stylize_video
from rtstyle.types import Check, Fidelity
from tests.clips import Titles, make_clip, make_film
from tests.remux import later, remux

START, END = 0.7, 2.1
TEXTS = [(0, 200, "before"), (300, 900, "across"), (1200, 300, "within"), (1900, 900, "beyond")]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    clip = make_clip(tmp_path / "clip.mkv", frames=75, audio=True, audio_tracks=2)
    return make_film(
        tmp_path / "film.mkv",
        clip,
        titles=[Titles("subrip", TEXTS, language="eng")],
        chapters=[(0, 1, "One"), (1, 2, "Two"), (2.5, 3, "Three")],
    )


def cut(film: Path, output: Path) -> Path:
    stylize_video(film, output, None, stylizer=FakeStylizer(), start=START, end=END)
    return output


def of(found: Fidelity, name: str) -> Check:
    (check,) = (check for check in found.checks if check.name == name)
    return check


def lost(found: Fidelity) -> set[str]:
    return {check.name for check in found.lost}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_an_output_of_a_range_is_complete_for_it(film: Path, tmp_path: Path, suffix: str) -> None:
    output = cut(film, tmp_path / f"out{suffix}")
    found = verify_video(film, output, start=START, end=END)
    assert lost(found) == set(), found.lost
    assert of(found, "frames").detail == "35 in both"
    assert of(found, "chapters").detail == "2 chapters"
    assert of(found, "audio 2").detail.endswith(", the same in both")
    assert {"frames", "audio 1", "chapters"} <= lost(verify_video(film, output))


def test_a_text_shown_when_the_range_begins_is_part_of_it(film: Path, tmp_path: Path) -> None:
    output = cut(film, tmp_path / "out.mkv")
    found = verify_video(film, output, start=START, end=END)
    assert "subrip, eng: 3 packets" in of(found, "subtitle 1").detail
    assert of(found, "timing 1").kept, of(found, "timing 1").detail

    def drop(packet: Packet[Stream], index: int) -> Packet[Stream] | None:
        return None if packet.stream.type == "subtitle" and index == 0 else packet

    less = remux(output, tmp_path / "less.mkv", edit=drop)
    assert "subtitle 1" in lost(verify_video(film, less, start=START, end=END))


@pytest.mark.parametrize(
    ("kind", "drop", "said"),
    [
        ("video", lambda n: n == 34, {"frames"}),
        ("audio", lambda n: n == 0, {"audio 1", "audio 2"}),
        ("audio", lambda n: n > 60, {"audio 1", "audio 2"}),
    ],
)
def test_what_is_missing_from_a_range_is_found(
    film: Path, tmp_path: Path, kind: str, drop: Callable[[int], bool], said: set[str]
) -> None:
    output = cut(film, tmp_path / "out.mkv")

    def edit(packet: Packet[Stream], index: int) -> Packet[Stream] | None:
        return None if packet.stream.type == kind and drop(index) else packet

    less = remux(output, tmp_path / "less.mkv", edit=edit)
    assert lost(verify_video(film, less, start=START, end=END)) - {"chapters"} == said


def test_a_range_that_is_not_the_one_that_was_made_is_found(film: Path, tmp_path: Path) -> None:
    output = cut(film, tmp_path / "out.mkv")
    assert {"frames", "audio 1"} <= lost(verify_video(film, output, start=START, end=2.5))
    assert {"frames", "audio 1"} <= lost(verify_video(film, output, start=0.9, end=END))


def test_sound_that_moved_within_a_range_is_found(film: Path, tmp_path: Path) -> None:
    output = cut(film, tmp_path / "out.mkv")

    def shift(packet: Packet[Stream], index: int) -> Packet[Stream]:
        return later(packet, Fraction(1, 50)) if packet.stream_index == 1 else packet

    moved = remux(output, tmp_path / "moved.mkv", edit=shift)
    assert lost(verify_video(film, moved, start=START, end=END)) - {"chapters"} == {"sync 1"}


def test_a_track_that_is_silent_in_a_range_need_not_be_there(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=50, audio=True, audio_seconds=0.3)
    found = verify_video(clip, cut(clip, tmp_path / "out.mp4"), start=START, end=END)
    assert lost(found) == set()
    assert of(found, "audio 1").detail == "aac, eng: has nothing that could be kept"


def test_a_range_late_in_a_film_is_found_by_seeking(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "in.mkv",
        size=(16, 16),
        frames=1300,
        rate=5,
        audio=True,
        audio_codec="flac",
        options={"g": "50"},
    )
    output = tmp_path / "out.mkv"
    stylize_video(clip, output, None, stylizer=FakeStylizer(), start=250, end=255)
    found = verify_video(clip, output, start=250, end=255)
    assert lost(found) == set(), found.lost
    assert of(found, "frames").detail == "25 in both"


@pytest.mark.parametrize(("start", "end"), [(-1, None), (2, 1), (0, 0), (float("nan"), None)])
def test_a_range_that_holds_nothing_is_refused(film: Path, start: float, end: float | None) -> None:
    with pytest.raises(UsageError, match="start"):
        verify_video(film, film, start=start, end=end)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_sound_encoded_anew_fills_the_time_that_it_filled(
    tmp_path: Path, suffix: str, start: float
) -> None:
    clip = make_clip(
        tmp_path / "in.mkv", frames=50, audio=True, audio_codec="flac", audio_start=start
    )
    output = tmp_path / f"out{suffix}"
    stylize_video(clip, output, None, stylizer=FakeStylizer(), audio="aac")
    found = verify_video(clip, output)
    assert lost(found) == {"audio 1"}
    assert of(found, "length 1").kept, of(found, "length 1").detail
    part = tmp_path / f"part{suffix}"
    stylize_video(clip, part, None, stylizer=FakeStylizer(), audio="aac", start=START, end=1.6)
    assert lost(verify_video(clip, part, start=START, end=1.6)) == {"audio 1"}


def test_sound_encoded_anew_that_is_cut_or_has_a_hole_is_found(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=50, audio=True, audio_codec="flac")
    output = tmp_path / "out.mkv"
    stylize_video(clip, output, None, stylizer=FakeStylizer(), audio="aac")

    def without(first: int, last: int) -> set[str]:
        def edit(packet: Packet[Stream], index: int) -> Packet[Stream] | None:
            return None if packet.stream_index == 1 and first <= index < last else packet

        return lost(verify_video(clip, remux(output, tmp_path / "less.mkv", edit=edit)))

    assert "length 1" in without(80, 1000)
    assert "length 1" in without(30, 50)
    assert "length 1" not in without(1000, 1000)


def test_texts_in_another_form_are_compared_by_when_they_are_shown(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=75)
    texts = [(100, 500, "one"), (500, 500, "two"), (1800, 900, "three")]
    one = make_film(tmp_path / "in.mkv", clip, titles=[Titles("subrip", texts)])
    joined = [(100, 400, "one"), (500, 100, "one two"), (600, 400, "two"), (1800, 900, "three")]

    def against(name: str, shown: list[tuple[int, int, str]]) -> Fidelity:
        other = make_film(tmp_path / name, clip, titles=[Titles("mov_text", shown)])
        return verify_video(one, other)

    found = against("same.mp4", joined)
    assert lost(found) == set(), found.lost
    assert of(found, "subtitle 1").detail.startswith("encoded anew from subrip to mov_text")
    detail = "subtitle 1: 1.800 s with text, 1.800 s in the output"
    assert of(found, "texts 1").detail == detail
    assert lost(against("fewer.mp4", joined[:3])) == {"texts 1"}
    late = against("late.mp4", [(begin + 40, length, text) for begin, length, text in joined])
    assert lost(late) == {"texts 1"}
    assert "all are 40.00 ms later" in of(late, "texts 1").detail


def test_progress_is_told_in_pictures(film: Path) -> None:
    told: list[tuple[int, int | None]] = []
    verify_video(film, film, progress=lambda done, of_all: told.append((done, of_all)))
    assert told[-1][0] == 75
    assert [done for done, _ in told] == sorted(done for done, _ in told)
