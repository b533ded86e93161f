"""What of a file is in another: whatever is done to a copy is found, and nothing else is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.packet import Packet
from av.stream import Disposition, Stream

from rtstyle.backends.fake import FakeStylizer
from rtstyle.errors import CorruptInput, NotAVideo, NoVideoStream, UsageError
from rtstyle.media import verify_video
from rtstyle.pipeline import stylize_video
from rtstyle.types import Check, Fidelity
from tests.clips import make_clip, make_sound
from tests.remux import altered, later, remux


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=25, audio=True, audio_tracks=2)


def of(found: Fidelity, name: str) -> Check:
    (check,) = (check for check in found.checks if check.name == name)
    return check


def lost(found: Fidelity) -> set[str]:
    return {check.name for check in found.lost}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_copy_keeps_everything(clip: Path, tmp_path: Path, suffix: str) -> None:
    # QuickTime knows German by its older code only.
    languages = {2: "ger"} if suffix == ".mov" else {}
    found = verify_video(clip, remux(clip, tmp_path / f"out{suffix}", languages=languages))
    assert found.kept, found.lost
    assert all(check.kept for check in found.checks)
    assert of(found, "frames").detail == "25 in both"
    assert "packets, the same in both" in of(found, "audio 2").detail
    assert of(found, "streams").detail == "1 picture, 2 audio"


def test_a_file_is_like_itself(clip: Path) -> None:
    found = verify_video(clip, clip)
    assert all(check.kept for check in found.checks)
    assert "largest difference 0.00 ms" in of(found, "times").detail


@pytest.mark.parametrize("number", [1, 12, 24])
def test_a_dropped_frame_is_named_and_is_no_drift(tmp_path: Path, number: int) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=25, options={"g": "1", "bf": "0"})

    def drop(packet: Packet[Stream], index: int) -> Packet[Stream] | None:
        return None if index == number else packet

    found = verify_video(clip, remux(clip, tmp_path / "out.mp4", edit=drop))
    assert "frames" in lost(found)
    assert "25 in the input, 24 in the output" in of(found, "frames").detail
    missing = f"first missing: frame {number} at {number / 25:.3f} s"
    assert missing in of(found, "frames").detail
    assert of(found, "times").kept


def test_an_added_frame_is_found(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "in.mp4", pts=[0, 1, 3, 4], time_base=Fraction(1, 25))
    other = make_clip(tmp_path / "out.mp4", pts=[0, 1, 2, 3, 4], time_base=Fraction(1, 25))
    found = verify_video(one, other)
    assert lost(found) == {"frames"}
    assert "first added: frame 2 at 0.080 s" in of(found, "frames").detail


def test_a_variable_rate_that_was_made_constant_is_found(tmp_path: Path) -> None:
    stamps = [0, 1, 31, 32, 62, 63, 120]
    tick = Fraction(1, 60)
    one = make_clip(tmp_path / "in.mp4", pts=stamps, time_base=tick, rate=60)
    same = make_clip(tmp_path / "same.mkv", pts=stamps, time_base=tick, rate=60)
    assert verify_video(one, same).kept
    even = make_clip(tmp_path / "even.mp4", pts=range(0, 121, 20), time_base=tick, rate=3)
    assert {"frames", "times"} & lost(verify_video(one, even))


def test_one_frame_that_moved_is_named(tmp_path: Path) -> None:
    tick = Fraction(1, 1000)
    one = make_clip(tmp_path / "in.mp4", pts=[0, 40, 80, 120, 160], time_base=tick)
    other = make_clip(tmp_path / "out.mp4", pts=[0, 40, 95, 120, 160], time_base=tick)
    found = verify_video(one, other)
    assert lost(found) == {"times"}
    assert "largest difference 15.00 ms" in of(found, "times").detail
    assert "frame 2 at 0.080 s" in of(found, "times").detail


def test_a_late_start_that_was_lost_is_found(tmp_path: Path) -> None:
    tick = Fraction(1, 1000)
    late = make_clip(tmp_path / "in.mp4", pts=[1075 + 40 * n for n in range(10)], time_base=tick)
    assert verify_video(late, remux(late, tmp_path / "same.mkv")).kept
    early = make_clip(tmp_path / "out.mp4", pts=[40 * n for n in range(10)], time_base=tick)
    found = verify_video(late, early)
    assert lost(found) == {"start"}
    assert "1075.00 ms earlier" in of(found, "start").detail


def test_a_clock_that_starts_anywhere_may_start_at_zero(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "in.ts",
        pts=range(250, 275),
        time_base=Fraction(1, 25),
        audio=True,
        audio_codec="mp2",
        audio_start=10,
        audio_seconds=1,
    )
    output = tmp_path / "out.mp4"
    report = stylize_video(clip, output, None, stylizer=FakeStylizer())
    found = verify_video(clip, output)
    assert lost(found) == set(), report.notes
    assert "the input does not begin at zero" in of(found, "start").detail


@pytest.mark.parametrize("seconds", [Fraction(1, 50), Fraction(-1, 50)])
def test_sound_that_moved_against_the_picture_is_found(
    clip: Path, tmp_path: Path, seconds: Fraction
) -> None:
    start = make_clip(tmp_path / "late.mkv", frames=25, audio=True, audio_start=0.5)

    def shift(packet: Packet[Stream], index: int) -> Packet[Stream]:
        return later(packet, seconds) if packet.stream_index == 1 else packet

    found = verify_video(start, remux(start, tmp_path / "out.mkv", edit=shift))
    assert lost(found) == {"sync 1"}
    direction = "later" if seconds > 0 else "earlier"
    assert f"20.00 ms {direction} against the picture" in of(found, "sync 1").detail
    assert of(found, "audio 1").kept


def test_one_changed_sound_packet_is_named(clip: Path, tmp_path: Path) -> None:
    def change(packet: Packet[Stream], index: int) -> Packet[Stream]:
        return altered(packet) if (packet.stream_index, index) == (2, 7) else packet

    found = verify_video(clip, remux(clip, tmp_path / "out.mkv", edit=change))
    assert lost(found) == {"audio 2"}
    assert "changed from packet 7 at 0.128 s on" in of(found, "audio 2").detail


@pytest.mark.parametrize(
    ("drop", "said"),
    [
        (lambda n: n == 4, "changed from packet 4 at 0.064 s on"),
        (lambda n: n >= 20, "lacks packet 20 at"),
    ],
)
def test_missing_sound_packets_are_found(
    clip: Path, tmp_path: Path, drop: Callable[[int], bool], said: str
) -> None:
    def edit(packet: Packet[Stream], index: int) -> Packet[Stream] | None:
        return None if packet.stream_index == 1 and drop(index) else packet

    found = verify_video(clip, remux(clip, tmp_path / "out.mkv", edit=edit))
    assert lost(found) == {"audio 1"}
    assert said in of(found, "audio 1").detail


def test_a_missing_track_is_named_and_the_other_still_compared(clip: Path, tmp_path: Path) -> None:
    found = verify_video(clip, remux(clip, tmp_path / "out.mkv", without=[1]))
    assert lost(found) == {"audio 1"}
    assert of(found, "audio 1").detail == "aac, eng: is not in the output"
    assert of(found, "audio 2").kept
    assert of(found, "streams").detail == "1 picture, 2 to 1 audio"
    assert verify_video(clip, tmp_path / "out.mkv", allow=["audio"]).kept


def test_sound_encoded_anew_is_told_from_changed_sound(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=25, audio=True, audio_codec="flac")
    output = tmp_path / "out.mkv"
    stylize_video(clip, output, None, stylizer=FakeStylizer(), audio="aac")
    found = verify_video(clip, output)
    assert of(found, "audio 1").detail == "encoded anew from flac to aac"
    assert "audio 1" in lost(found)
    assert of(found, "sync 1").kept, of(found, "sync 1").detail


def test_pcm_is_the_same_however_it_is_cut_into_packets(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mov", frames=25, audio=True, audio_codec="pcm_s16le")
    copy = remux(clip, tmp_path / "out.mkv")
    assert verify_video(clip, copy).kept


def test_broadcast_headers_of_aac_are_no_change(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.ts", frames=25, audio=True)
    output = tmp_path / "out.mp4"
    stylize_video(clip, output, None, stylizer=FakeStylizer())
    assert lost(verify_video(clip, output)) == set()


def test_subtitles_are_compared_and_explained_where_they_cannot_be(tmp_path: Path) -> None:
    bare = make_clip(tmp_path / "bare.mkv", frames=25)
    clip = remux(bare, tmp_path / "in.mkv", subtitles=[(0.1, "Hello"), (0.5, "Good bye")])
    same = verify_video(clip, remux(clip, tmp_path / "same.mkv"))
    assert same.kept
    assert "subrip: 2 packets" in of(same, "subtitle 1").detail
    other = remux(bare, tmp_path / "out.mkv", subtitles=[(0.1, "Hello"), (0.5, "Good buy")])
    found = verify_video(clip, other)
    assert lost(found) == {"subtitle 1"}
    assert "changed from packet 1 at 0.500 s on" in of(found, "subtitle 1").detail
    late = remux(bare, tmp_path / "late.mkv", subtitles=[(0.1, "Hello"), (0.52, "Good bye")])
    assert lost(verify_video(clip, late)) == {"timing 1"}
    left = verify_video(clip, remux(bare, tmp_path / "out.mp4"))
    assert left.kept
    assert of(left, "subtitle 1") == Check(
        "subtitle 1",
        kept=False,
        detail="subrip: cannot be stored in mp4; an .mkv name keeps it",
        required=False,
    )
    assert lost(verify_video(clip, remux(bare, tmp_path / "none.mkv"))) == {"subtitle 1"}


def test_attachments_are_compared_byte_for_byte(tmp_path: Path) -> None:
    bare = make_clip(tmp_path / "bare.mkv", frames=5)
    clip = remux(bare, tmp_path / "in.mkv", attachments={"a.ttf": b"glyphs"})
    same = remux(bare, tmp_path / "same.mkv", attachments={"a.ttf": b"glyphs"})
    assert verify_video(clip, same).kept
    other = remux(bare, tmp_path / "out.mkv", attachments={"a.ttf": b"glyph!"})
    assert lost(verify_video(clip, other)) == {"attachment 1"}
    left = verify_video(clip, remux(bare, tmp_path / "out.mp4"))
    assert left.kept
    assert not of(left, "attachment 1").kept


def test_chapters_tags_languages_titles_and_dispositions(clip: Path, tmp_path: Path) -> None:
    first, second = (0.0, 0.5, "One"), (0.5, 1.0, "Two")
    rich = remux(
        clip,
        tmp_path / "rich.mkv",
        chapters=[first, second],
        tags={"title": "A film", "MADE_BY": "someone"},
        titles={1: "Comments"},
        dispositions={1: Disposition.default, 2: Disposition.comment},
    )

    def against(name: str, **changes: object) -> set[str]:
        kept = {
            "chapters": [first, second],
            "tags": {"title": "A film", "MADE_BY": "someone"},
            "titles": {1: "Comments"},
            "dispositions": {1: Disposition.default, 2: Disposition.comment},
        }
        return lost(verify_video(rich, remux(clip, tmp_path / name, **{**kept, **changes})))  # type: ignore[arg-type]

    assert against("same.mkv") == set()
    assert against("a.mkv", chapters=[first]) == {"chapters"}
    assert against("b.mkv", chapters=[first, (0.5, 1.0, "Too")]) == {"chapters"}
    assert against("c.mkv", chapters=[first, (0.6, 1.0, "Two")]) == {"chapters"}
    assert against("d.mkv", tags={"title": "A film"}) == {"tags"}
    assert against("e.mkv", titles={}) == {"titles"}
    assert against("f.mkv", languages={2: "fra"}) == {"languages"}
    assert against("g.mkv", dispositions={1: Disposition.default}) == {"dispositions"}


def test_tags_that_mp4_has_no_name_for_are_missed_too(clip: Path, tmp_path: Path) -> None:
    rich = remux(clip, tmp_path / "in.mkv", tags={"title": "A film", "MADE_BY": "someone"})
    found = verify_video(rich, remux(clip, tmp_path / "out.mp4", tags={"title": "A film"}))
    assert [check.detail for check in found.lost] == ["made_by: 'someone' to none"]
    assert lost(verify_video(rich, remux(clip, tmp_path / "bare.mp4"))) == {"tags"}


def test_languages_have_two_codes(clip: Path, tmp_path: Path) -> None:
    clip = remux(clip, tmp_path / "in.mkv", languages={2: "deu"})
    assert verify_video(clip, remux(clip, tmp_path / "out.mkv", languages={2: "ger"})).kept


@pytest.mark.parametrize(
    ("colour", "said"),
    [
        ((6, 1, 1, 1), "matrix BT.709 to matrix BT.601"),
        ((1, 1, 1, 2), "limited range to full range"),
    ],
)
def test_a_changed_colour_tag_is_found(
    tmp_path: Path, colour: tuple[int, int, int, int], said: str
) -> None:
    one = make_clip(tmp_path / "in.mp4", frames=3, colour=(1, 1, 1, 1))
    other = make_clip(tmp_path / "out.mp4", frames=3, colour=colour)
    found = verify_video(one, other)
    assert lost(found) == {"colour"}
    assert said in of(found, "colour").detail


def test_rotation_that_is_applied_is_kept_and_one_that_is_lost_is_not(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3, rotation=90, pixel_aspect=Fraction(4, 3))
    output = tmp_path / "out.mp4"
    stylize_video(clip, output, None, stylizer=FakeStylizer())
    found = verify_video(clip, output)
    assert lost(found) == set()
    assert of(found, "size").detail == "48x64, turned by 90 degrees"
    assert of(found, "aspect").detail == "pixels 3:4"
    lying = verify_video(clip, remux(clip, tmp_path / "lying.mp4", rotation=0))
    assert {"size", "aspect"} <= lost(lying)


def test_depth_that_was_lost_is_told(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "in.mp4", frames=3, pixel_format="yuv420p10le")
    other = make_clip(tmp_path / "out.mp4", frames=3)
    found = verify_video(one, other)
    assert lost(found) == {"depth"}
    assert of(found, "depth").detail == "10 to 8 bits"
    assert verify_video(other, one).kept


def test_a_truncated_output_lacks_its_end(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=100, audio=True, options={"g": "10"})
    cut = tmp_path / "out.mkv"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert {"frames", "duration", "audio 1"} <= lost(verify_video(clip, cut))
    gone = tmp_path / "out.mp4"
    whole = remux(clip, tmp_path / "whole.mp4").read_bytes()
    gone.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((NotAVideo, CorruptInput)):
        verify_video(clip, gone)


def test_files_that_are_no_videos_are_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAVideo, match=r"no\.mp4.*no such file"):
        verify_video(clip, tmp_path / "no.mp4")
    with pytest.raises(NoVideoStream, match=r"sound\.m4a"):
        verify_video(clip, make_sound(tmp_path / "sound.m4a"))


def test_an_unknown_check_to_allow_is_refused_with_those_there_are(clip: Path) -> None:
    with pytest.raises(UsageError, match=r"no check named 'sound'; take frames, .*, audio"):
        verify_video(clip, clip, allow=["sound"])


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(frames: int) -> int:
        clip = make_clip(tmp_path / f"{frames}.mkv", size=(16, 16), frames=frames, audio=True)
        tracemalloc.start()
        try:
            verify_video(clip, clip)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)
    assert peak(800) < peak(100) + 50_000


@pytest.mark.assets
def test_real_clips_through_the_whole_path(assets: Path, tmp_path: Path) -> None:
    for name, suffix, gone in [
        ("pancake.mkv", ".mp4", set()),
        ("chaplin.mp4", ".mkv", set()),
        ("video_90.mov", ".mp4", set()),
        # Tagged as transparent, as browsers do, but it is not.
        ("no_duration.webm", ".mkv", set()),
        ("transparent.webm", ".mp4", {"transparency"}),
        ("h264_10bits.mp4", ".mp4", set()),
    ]:
        output = tmp_path / f"out{suffix}"
        stylize_video(
            assets / "clips" / name,
            output,
            None,
            stylizer=FakeStylizer(),
            preset="ultrafast",
            overwrite=True,
        )
        found = verify_video(assets / "clips" / name, output)
        core = {c.name for c in found.checks if not c.kept} - {"languages", "dispositions"}
        assert core == gone, (name, found.lost)


@pytest.mark.assets
def test_two_tracks_each_of_sound_and_subtitles(assets: Path, tmp_path: Path) -> None:
    clip = assets / "clips" / "nasa_13013.mp4"
    copy = remux(clip, tmp_path / "out.mp4", without=[3])
    found = verify_video(clip, copy)
    assert lost(found) == set()
    assert not of(found, "picture 2").kept
    assert of(found, "subtitle 2").kept
    with av.open(str(clip)) as container:
        assert len(container.streams.subtitles) == 2
