"""Subtitles that a container holds only in another form: the words and times are kept."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from rtstyle.media import EncodeOptions, VideoWriter, open_video, verify_video
from rtstyle.types import SinkReport
from tests.clips import Titles, make_clip, make_film

EVENTS = (
    (200, 500, "Plain & simple"),
    (900, 400, "One <i>two</i>\nthree"),
    (1500, 400, "Grüße, 世界"),
)
WORDS = ["Plain & simple", "One two\nthree", "Grüße, 世界"]
TIMES = [(200, 500), (900, 400), (1500, 400)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", frames=50)


def copy(
    source: Path,
    output: Path,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    frames: int | None = None,
) -> SinkReport:
    codec = "av1" if output.suffix == ".webm" else "h264"
    options = EncodeOptions(codec=codec, preset="10" if codec == "av1" else "ultrafast")
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


def shown(path: Path) -> list[tuple[int, int, str]]:
    """Start and length in milliseconds and the text of each subtitle, ASS's codes within it."""
    found = []
    with av.open(f"file:{path}") as container:
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            for one in packet.decode() if packet.size else ():
                assert isinstance(one, AssSubtitle)
                assert packet.pts is not None
                text = one.ass.split(b",", 8)[-1].decode().replace("\\N", "\n")
                tick = 1000 * packet.time_base
                found.append((round(packet.pts * tick), round((packet.duration or 0) * tick), text))
    return found


def words(path: Path) -> list[str]:
    texts = [text for *_, text in shown(path)]
    for code in ("{\\i1}", "{\\i0}", "{\\r}", "<i>", "</i>"):
        texts = [text.replace(code, "") for text in texts]
    return texts


@pytest.mark.parametrize(
    ("codec", "before", "after", "form"),
    [
        ("subrip", "in.mkv", "out.mp4", "mov_text"),
        ("subrip", "in.mkv", "out.mov", "mov_text"),
        ("subrip", "in.mkv", "out.webm", "webvtt"),
        ("mov_text", "in.mp4", "out.mkv", "subrip"),
        ("mov_text", "in.mp4", "out.webm", "webvtt"),
        ("webvtt", "in.mkv", "out.mp4", "mov_text"),
        ("ass", "in.mkv", "out.mp4", "mov_text"),
    ],
)
def test_text_is_made_into_the_form_that_is_held(
    tmp_path: Path, clip: Path, codec: str, before: str, after: str, form: str
) -> None:
    titles = Titles(codec, EVENTS, "eng", "Plain")
    source = make_film(tmp_path / before, clip, titles=[titles])
    output = tmp_path / after
    report = copy(source, output)
    with av.open(f"file:{output}") as container:
        stream = container.streams.subtitles[0]
        assert stream.codec_context.codec.canonical_name == form
        assert stream.language == "eng"
    assert words(output) == WORDS
    assert [(start, length) for start, length, _ in shown(output)] == TIMES
    assert [note for note in report.notes if f"({codec}, eng) was made into {form}" in note]
    assert verify_video(source, output).lost == ()


def test_italics_go_over(tmp_path: Path, clip: Path) -> None:
    source = make_film(tmp_path / "in.mkv", clip, titles=[Titles("subrip", EVENTS)])
    copy(source, tmp_path / "out.mp4")
    assert shown(tmp_path / "out.mp4")[1][2] == "One {\\i1}two{\\r}\nthree"


def test_texts_that_overlap_become_lines_of_one(tmp_path: Path, clip: Path) -> None:
    events = ((100, 900, "A"), (300, 200, "B"), (700, 600, "C"), (1500, 100, "D"), (1500, 300, "E"))
    source = make_film(tmp_path / "in.mkv", clip, titles=[Titles("subrip", events)])
    copy(source, tmp_path / "out.mp4")
    assert [one for one in shown(tmp_path / "out.mp4") if one[1]] == [
        (100, 200, "A"),
        (300, 200, "A\nB"),
        (500, 200, "A"),
        (700, 300, "A\nC"),
        (1000, 300, "C"),
        (1500, 100, "D\nE"),
        (1600, 200, "E"),
    ]


def test_ass_with_a_header_of_its_own(tmp_path: Path, clip: Path) -> None:
    """Styles of the header decide on italics as well as codes in the text do."""
    style = "Style: Sign,Arial,30,&H00FF00,&H0,&H0,&H0,0,1,0,0,100,100,0,0,1,1,0,8,10,10,10,1"
    plain = make_film(tmp_path / "srt.mkv", clip, titles=[Titles("subrip", EVENTS)])
    with av.open(f"file:{plain}") as container:
        context = container.streams.subtitles[0].codec_context
        context.open(strict=False)
        header = context.subtitle_header
    assert header is not None
    header = header.replace(b"[Events]", style.encode() + b"\r\n\r\n[Events]")
    source = tmp_path / "ass.mkv"
    with av.open(f"file:{clip}") as old, av.open(f"file:{source}", "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0])
        text = new.add_stream("ass")
        assert isinstance(text, SubtitleStream)
        text.codec_context.subtitle_header = header
        event = SubtitleSet.create(b"0,0,Sign,,0,0,0,,Open {\\b1}now{\\b0}", start=0, end=500)
        packet = text.codec_context.encode_subtitle(event)
        packet.stream, packet.time_base, packet.duration = text, Fraction(1, 1000), 500
        packet.pts = packet.dts = 400
        new.start_encoding()
        new.mux_one(packet)
        for one in old.demux(video=0):
            if one.size:
                one.stream = picture
                new.mux_one(one)
    copy(source, tmp_path / "out.mp4")
    ((start, length, shown_text),) = shown(tmp_path / "out.mp4")
    assert (start, length) == (400, 500)
    assert "now" in shown_text
    assert "Open" in shown_text
    assert "Sign" not in shown_text


def test_drawings_are_no_words(tmp_path: Path, clip: Path) -> None:
    events = ((100, 300, "{\\p1}m 0 0 l 9 9{\\p0}"), (600, 300, "{\\an8}Above"))
    source = make_film(tmp_path / "in.mkv", clip, titles=[Titles("ass", events)])
    copy(source, tmp_path / "out.mp4")
    assert [(start, text) for start, _, text in shown(tmp_path / "out.mp4")] == [(600, "Above")]


def test_a_range_cuts_them(tmp_path: Path, clip: Path) -> None:
    source = make_film(tmp_path / "in.mkv", clip, titles=[Titles("subrip", EVENTS)])
    copy(source, tmp_path / "out.mp4", start=Fraction(1), end=Fraction(8, 5))
    assert [(start, length) for start, length, _ in shown(tmp_path / "out.mp4")] == [
        (0, 300),
        (500, 100),
    ]


def test_an_early_end_cuts_them(tmp_path: Path, clip: Path) -> None:
    events = ((100, 1800, "A"), (200, 300, "B"))
    source = make_film(tmp_path / "in.mkv", clip, titles=[Titles("subrip", events)])
    kept = Path(copy(source, tmp_path / "out.mp4", frames=25).path)
    assert [one for one in shown(kept) if one[1]] == [
        (100, 100, "A"),
        (200, 300, "A\nB"),
        (500, 500, "A"),
    ]
