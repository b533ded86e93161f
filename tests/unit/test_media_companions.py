"""What goes into an output beside pictures and sound: subtitles, chapters, covers, tags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition, Stream

from rtstyle.errors import UsageError
from rtstyle.media import EncodeOptions, VideoWriter, companions, open_video, verify_video
from rtstyle.media.tracks import AnyPacket
from rtstyle.types import SinkReport
from tests.clips import (
    Titles,
    audio_packets,
    chapters_of,
    make_clip,
    make_film,
    png_picture,
    subtitle_packets,
    video_pts,
)

FAST = EncodeOptions(preset="ultrafast")
EVENTS = ((200, 500, "One"), (900, 400, "Zwei"), (1500, 400, "Trois"))
CHAPTERS = ((0.0, 0.8, "Opening"), (0.8, 1.4, "Mitte ü"), (1.4, 2.0, "End"))
MARK = Disposition


def copy(
    source: Path,
    output: Path,
    options: EncodeOptions = FAST,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    frames: int | None = None,
) -> SinkReport:
    with (
        open_video(source, start=start, end=end) as video,
        VideoWriter(output, video.info, options, source=source, start=start, end=end) as writer,
    ):
        for frame in video:
            writer.write(frame)
            if frames is not None and frame.index + 1 == frames:
                report = writer.finish_early()
                assert report is not None
                return report
        return writer.finish()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mkv", frames=50, audio=True, audio_tracks=2)


def streams_of(path: Path) -> list[tuple[str, str | None, str | None, Disposition]]:
    """Kind, language, title and disposition of each stream that a viewer can choose."""

    def title(stream: Stream) -> str | None:
        return stream.metadata.get("title") or stream.metadata.get("name")

    with av.open(str(path)) as container:
        return [
            (stream.type, stream.language, title(stream), stream.disposition)
            for stream in container.streams
            if stream.type in ("video", "audio", "subtitle")
        ]


def film(path: Path, clip: Path) -> Path:
    return make_film(
        path,
        clip,
        titles=[
            Titles("subrip", EVENTS, "eng", "Plain", MARK.default),
            Titles("ass", EVENTS, "deu", "Für Gehörlose", MARK.forced | MARK.hearing_impaired),
        ],
        chapters=CHAPTERS,
        tags={"title": "A Film", "artist": "Somebody", "studio": "Ours", "comment": "x" * 50},
        fonts=[("a.ttf", b"\x00\x01font" * 99), ("b.ttf", b"other")],
        cover=png_picture(),
        picture={"language": "fra", "title": "The picture"},
        dispositions=[MARK.default | MARK.original, MARK.default, MARK.comment],
    )


def test_a_film_keeps_everything_in_mkv(tmp_path: Path, clip: Path) -> None:
    source, output = film(tmp_path / "film.mkv", clip), tmp_path / "out.mkv"
    report = copy(source, output)
    assert report.notes == ()
    assert subtitle_packets(output) == subtitle_packets(source)
    assert [len(stream) for stream in subtitle_packets(output)] == [3, 3]
    assert audio_packets(output) == audio_packets(source)
    assert chapters_of(output) == chapters_of(source)
    assert len(chapters_of(output)) == 3
    assert streams_of(output) == streams_of(source)
    with av.open(str(source)) as old, av.open(str(output)) as new:
        for key in ("title", "ARTIST", "STUDIO", "COMMENT"):
            assert new.metadata[key] == old.metadata[key]
        fonts = [(s.name, s.mimetype, s.data) for s in new.streams.attachments]
        assert fonts == [(s.name, s.mimetype, s.data) for s in old.streams.attachments]
        assert len(fonts) == 2
        cover = next(iter(new.demux(new.streams.video[1])))
        assert bytes(cover) == png_picture()


def test_mp4_says_what_it_cannot_hold(tmp_path: Path, clip: Path) -> None:
    source, output = film(tmp_path / "film.mkv", clip), tmp_path / "out.mp4"
    report = copy(source, output)
    notes = " ".join(report.notes)
    assert "subtitle 1 (subrip, eng) was made into mov_text" in notes
    assert "subtitle 2 (ass, deu) was made into mov_text" in notes
    said = "attachments a.ttf, b.ttf cannot be stored in mp4 and were left out; "
    assert any(note.startswith(said) and ".mkv" in note for note in report.notes)
    assert not any(word in notes for word in ("STUDIO", "ARTIST", "cover"))
    assert chapters_of(output) == chapters_of(source)
    kinds = [kind for kind, *_ in streams_of(output)]
    assert kinds == ["video", "audio", "audio", "subtitle", "subtitle", "video"]
    assert streams_of(output)[0][1:3] == ("fra", "The picture")
    assert MARK.comment & streams_of(output)[2][3]
    with av.open(str(output)) as new:
        assert new.metadata["title"] == "A Film"
        assert {"STUDIO", "artist"} <= new.metadata.keys()
        assert new.streams.video[1].disposition == MARK.attached_pic
        assert bytes(next(iter(new.demux(new.streams.video[1])))) == png_picture()


def test_mp4_to_mkv_and_back_keeps_cover_and_titles(tmp_path: Path, clip: Path) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "b.mkv"
    make_film(
        first, clip, cover=png_picture(), chapters=CHAPTERS, tags={"title": "A", "genre": "Short"}
    )
    third = tmp_path / "c.mp4"
    for report in (copy(first, second), copy(second, third)):
        assert all("moved picture and sound" in note for note in report.notes)
    late = video_pts(second)[0]
    for path in (second, third):
        starts = [start for start, *_ in chapters_of(path)]
        assert starts == [0, Fraction(4, 5) + late, Fraction(7, 5) + late]
        with av.open(str(path)) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
            assert (tags["title"], tags["genre"]) == ("A", "Short")
            assert len(container.streams.video) == 2


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_mp4_subtitles_stay_packet_for_packet(tmp_path: Path, clip: Path, name: str) -> None:
    source = make_film(
        tmp_path / "film.mp4", clip, titles=[Titles("mov_text", EVENTS, "eng", "Plain")]
    )
    report = copy(source, tmp_path / name)
    assert report.notes == ()
    texts = [(data, start) for data, start, _ in subtitle_packets(tmp_path / name)[0]]
    assert texts == [(data, start) for data, start, _ in subtitle_packets(source)[0]]
    assert b"\x00\x04Zwei" in dict(texts)


def test_mkv_says_that_it_holds_mov_text_in_another_form(tmp_path: Path, clip: Path) -> None:
    source = make_film(tmp_path / "film.mp4", clip, titles=[Titles("mov_text", EVENTS, "eng")])
    report = copy(source, tmp_path / "out.mkv")
    said = "subtitle 1 (mov_text, eng) was made into subrip, since matroska holds no other text: "
    assert any(note.startswith(said) for note in report.notes)
    assert len(audio_packets(tmp_path / "out.mkv")) == 2


def test_a_first_chapter_that_begins_late_is_kept_or_said(tmp_path: Path, clip: Path) -> None:
    late = ((0.4, 0.8, "Late"), (1.0, 2.0, "After a gap"))
    source = make_film(tmp_path / "film.mkv", clip, chapters=late)
    assert copy(source, tmp_path / "out.mkv").notes == ()
    assert chapters_of(tmp_path / "out.mkv") == chapters_of(source)
    report = copy(source, tmp_path / "out.mp4")
    assert any("0.000 s instead of 0.400 s" in note for note in report.notes)
    assert [start for start, *_ in chapters_of(tmp_path / "out.mp4")] == [0, 1]


def test_webm_says_what_it_cannot_hold(tmp_path: Path) -> None:
    silent = make_clip(tmp_path / "clip.mkv", frames=50)
    source, output = film(tmp_path / "film.mkv", silent), tmp_path / "out.webm"
    report = copy(source, output, EncodeOptions(codec="av1", preset="13"))
    assert sum(".mkv name" in note for note in report.notes) >= 4
    assert chapters_of(output) == chapters_of(source)


def test_a_range_cuts_subtitles_and_chapters(tmp_path: Path, clip: Path) -> None:
    source, output = film(tmp_path / "film.mkv", clip), tmp_path / "out.mkv"
    report = copy(source, output, start=Fraction(1), end=Fraction(8, 5))
    assert report.frames == 15
    for stream, old in zip(subtitle_packets(output), subtitle_packets(source), strict=True):
        assert stream == [
            (old[1][0], Fraction(0), Fraction(3, 10)),
            (old[2][0], Fraction(1, 2), Fraction(1, 10)),
        ]
    assert chapters_of(output) == [
        (Fraction(0), Fraction(2, 5), "Mitte ü"),
        (Fraction(2, 5), Fraction(3, 5), "End"),
    ]
    assert abs(audio_packets(output)[1][0][1]) < Fraction(3, 100)


def test_a_subtitle_that_stays_until_the_next_is_there_when_a_range_begins(
    tmp_path: Path, clip: Path
) -> None:
    # The first is replaced before the range, the second is on the screen when it begins.
    stays = [(100, 0, "a"), (300, 0, "b"), (1700, 0, "c")]
    source = make_film(tmp_path / "film.mkv", clip, titles=[Titles("hdmv_pgs_subtitle", stays)])
    copy(source, tmp_path / "out.mkv", start=Fraction(1))
    found = [(data, start) for data, start, _ in subtitle_packets(tmp_path / "out.mkv")[0]]
    assert [start for _, start in found] == [Fraction(0), Fraction(7, 10)]
    assert [b"b" in found[0][0], b"c" in found[1][0]] == [True, True]


def test_a_silent_film_keeps_subtitles_and_its_range_ends(tmp_path: Path) -> None:
    silent = make_clip(tmp_path / "clip.mkv", frames=50)
    source = make_film(tmp_path / "film.mkv", silent, titles=[Titles("subrip", EVENTS)])
    copy(source, tmp_path / "out.mkv")
    assert subtitle_packets(tmp_path / "out.mkv") == subtitle_packets(source)
    copy(source, tmp_path / "cut.mkv", end=Fraction(1))
    starts = [start for _, start, _ in subtitle_packets(tmp_path / "cut.mkv")[0]]
    assert starts == [Fraction(1, 5), Fraction(9, 10)]


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_an_early_end_cuts_chapters_and_subtitles(tmp_path: Path, clip: Path, name: str) -> None:
    source = film(tmp_path / "film.mkv", clip)
    report = copy(source, tmp_path / name, frames=25)
    kept = Path(report.path)
    assert [title for *_, title in chapters_of(kept)] == ["Opening", "Mitte ü"]
    assert chapters_of(kept)[-1][1] == 1
    for stream in subtitle_packets(kept):
        starts = [start for text, start, _ in stream if text != b"\0\0"]
        assert starts == [Fraction(1, 5), Fraction(9, 10)]
    with av.open(str(kept)) as container:
        assert container.duration is not None
        assert container.duration <= 1_310_000, "a subtitle written before may last longer"


def test_subtitles_far_ahead_in_the_file_do_not_hold_up_the_sound(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = film(tmp_path / "film.mkv", clip)
    seen: list[tuple[str, Fraction]] = []

    def early(
        self: companions.SourceCompanions, container: object, streams: object
    ) -> Iterator[AnyPacket]:
        assert self._container is not None
        packets = [p for p in self._container.demux(*self._sounds, *self._subtitles) if p.size]
        yield from sorted(packets, key=lambda p: p.stream.type != "subtitle")

    with (
        closing(
            companions.SourceCompanions(
                source, muxer="matroska", audio="copy", subtitles="copy", begin=None, end=None
            )
        ) as beside,
        av.open(str(tmp_path / "out.mkv"), "w") as output,
    ):
        output.add_stream("libx264", rate=25)
        monkeypatch.setattr(companions.SourceCompanions, "_packets", early)
        beside.attach(output, Fraction(0))
        for until in (Fraction(0), Fraction(1, 2), None):
            for packet in beside.packets(until):
                assert packet.pts is not None
                seen.append((packet.stream.type, packet.pts * packet.time_base))
    sound = [index for index, (kind, _) in enumerate(seen) if kind == "audio"]
    last = max(index for index, (kind, _) in enumerate(seen) if kind == "subtitle")
    assert sound[5] < last


def test_subtitles_can_be_left_out(tmp_path: Path, clip: Path) -> None:
    source = film(tmp_path / "film.mkv", clip)
    options = EncodeOptions(preset="ultrafast", subtitles="none")
    assert copy(source, tmp_path / "out.mkv", options).notes == ()
    assert subtitle_packets(tmp_path / "out.mkv") == []
    assert chapters_of(tmp_path / "out.mkv") == chapters_of(source)
    with pytest.raises(UsageError, match="copy or none"):
        EncodeOptions(subtitles="burn")


def test_the_rate_of_the_source_is_not_said_of_the_output(tmp_path: Path, clip: Path) -> None:
    source = make_film(tmp_path / "film.mkv", clip, picture={"BPS": "123", "NUMBER_OF_FRAMES": "9"})
    copy(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert not {"BPS", "NUMBER_OF_FRAMES"} & set(container.streams.video[0].metadata)


def test_a_timecode_is_kept_but_not_for_a_range(tmp_path: Path, clip: Path) -> None:
    source = make_film(tmp_path / "film.mov", clip, picture={"timecode": "01:00:00:00"})
    report = copy(source, tmp_path / "out.mov")
    assert report.notes == ()
    report = copy(source, tmp_path / "cut.mov", start=Fraction(1))
    assert any("timecode" in note for note in report.notes)
    with av.open(str(tmp_path / "out.mov")) as whole, av.open(str(tmp_path / "cut.mov")) as cut:
        assert whole.streams.video[0].metadata["timecode"] == "01:00:00:00"
        assert "timecode" not in cut.streams.video[0].metadata


@pytest.mark.assets
def test_two_sounds_and_two_subtitles_of_a_real_clip(assets: Path, tmp_path: Path) -> None:
    clip = assets / "clips" / "nasa_13013.mp4"
    report = copy(clip, tmp_path / "out.mp4")
    assert report.notes == ("1 video stream not carried over",)
    assert subtitle_packets(tmp_path / "out.mp4") == subtitle_packets(clip)
    assert len(subtitle_packets(clip)) == len(audio_packets(tmp_path / "out.mp4")) == 2
    assert audio_packets(tmp_path / "out.mp4") == audio_packets(clip)
    assert video_pts(tmp_path / "out.mp4") == video_pts(clip)
    report = copy(clip, tmp_path / "out.mkv")
    assert [note.split(",")[0] for note in report.notes if "subtitle" in note] == [
        f"subtitle {number} (mov_text" for number in (1, 2)
    ]
    made = subtitle_packets(tmp_path / "out.mkv")
    for stream, texts in zip(made, subtitle_packets(clip), strict=True):
        assert len(stream) == len([text for text, *_ in texts if text != b"\0\0"])


def test_chapters_move_with_what_matroska_makes_later(tmp_path: Path) -> None:
    """AAC begins before zero, where Matroska has no times."""
    clip = make_clip(tmp_path / "clip.mp4", frames=50, audio=True)
    source = make_film(tmp_path / "film.mp4", clip, chapters=CHAPTERS)
    output = tmp_path / "out.mkv"
    copy(source, output)
    late = video_pts(output)[0]
    assert late > Fraction(1, 100)
    for (start, end, title), (began, ended, kept) in zip(
        chapters_of(source), chapters_of(output), strict=True
    ):
        assert title == kept
        assert abs(began - start - (late if start else 0)) <= Fraction(1, 1000)
        assert abs(ended - end - late) <= Fraction(1, 1000)
    assert [c for c in verify_video(source, output).checks if c.name == "chapters" and c.kept]


def test_a_time_that_was_never_set_is_no_tag(tmp_path: Path, clip: Path) -> None:
    unset = {"creation_time": "1970-01-01T00:00:00.000000Z"}
    source = make_film(tmp_path / "film.mkv", clip, tags=unset)
    assert copy(source, tmp_path / "out.mp4").notes == ()
    assert [c.kept for c in verify_video(source, tmp_path / "out.mp4").checks if c.kind == "tags"]
    assert verify_video(source, tmp_path / "out.mp4").lost == ()
