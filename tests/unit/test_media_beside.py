"""What a film says beside its samples comes out of ``rtstyle video``, or is said to be left out;
``rtstyle verify`` looks for it too."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from rtstyle.backends.fake import FakeStylizer
from rtstyle.cli.main import main
from rtstyle.media.boxes import store_in_index
from rtstyle.pipeline import stylize_video
from tests.beside import (
    atom,
    box,
    captioned,
    copy_with,
    element,
    marked,
    side_data,
    sphere_boxes,
    stored_editions,
    with_editions,
    without_packets,
)
from tests.clips import audio_packets, make_clip, make_film, read_frames, video_pts
from tests.nets import make_pack
from tests.remux import remux

TURNS = {
    (1, 0, 0, 1): lambda p: p,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda p: np.rot90(p, 2),
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (0, -1, 1, 0): lambda p: np.rot90(p, 1),
    (0, 1, 1, 0): lambda p: p.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda p: np.rot90(p, 2).transpose(1, 0, 2),
}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return make_pack(tmp_path / "negative", name="negative")


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(main, [command, *map(str, arguments)])


def paint(clip: Path, output: Path, pack: Path, *more: object) -> Result:
    """At strength 0, so that the pictures are the source's."""
    return run("video", clip, "-o", output, "--style", pack, "--strength", 0, *more)


def judged(clip: Path, output: Path) -> dict[str, str]:
    """Of ``rtstyle verify`` the first word by the second."""
    lines = run("verify", clip, output).stdout.splitlines()[:-1]
    return {words[1]: words[0] for words in (line.split() for line in lines)}


@pytest.mark.parametrize("matrix", list(TURNS))
def test_turned_and_mirrored_films_come_out_as_players_show_them(
    tmp_path: Path, pack: Path, matrix: tuple[int, int, int, int]
) -> None:
    plain = make_clip(tmp_path / "plain.mp4", frames=2)
    clip = tmp_path / "in.mp4"
    a, b, c, d = (65536 * number for number in matrix)
    with av.open(str(plain)) as old, av.open(str(clip), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux_one(packet)
    output = tmp_path / "out.mkv"
    result = paint(clip, output, pack, "--codec", "ffv1")
    assert result.exit_code == 0, result.output
    for seen, stored in zip(read_frames(output), read_frames(plain), strict=True):
        wanted = TURNS[matrix](stored).astype(float)
        assert seen.shape == wanted.shape
        assert np.abs(seen - wanted).mean() < 2
    assert run("verify", clip, output).exit_code == 0


def test_closed_captions_are_in_the_same_pictures_of_the_output(tmp_path: Path, pack: Path) -> None:
    options = {"bf": "2"}
    clip = make_clip(tmp_path / "plain.ts", frames=20, audio=True, options=options)
    clip = captioned(clip, tmp_path / "in.ts")
    wanted = [said["A53_CC"] for said in side_data(clip)]
    assert len(wanted) == 20
    assert len(set(wanted)) > 3
    for name, codec in (("out.mkv", "h264"), ("out.mp4", "h264"), ("hevc.mp4", "hevc")):
        output = tmp_path / name
        result = paint(clip, output, pack, "--codec", codec)
        assert result.exit_code == 0, result.output
        assert [said.get("A53_CC") for said in side_data(output)] == wanted
        assert judged(clip, output)["captions"] == "kept"
    bare = remux(make_clip(tmp_path / "bare.ts", frames=20, audio=True), tmp_path / "bare.mkv")
    assert judged(clip, bare)["captions"] == "LOST"


def test_closed_captions_stay_with_their_pictures_across_segments_and_in_a_range(
    tmp_path: Path,
) -> None:
    clip = captioned(make_clip(tmp_path / "plain.ts", frames=25), tmp_path / "in.ts")
    wanted = [said["A53_CC"] for said in side_data(clip)]
    output = tmp_path / "out.mkv"
    stylize_video(clip, output, None, stylizer=FakeStylizer(), segment_frames=6)
    assert [said.get("A53_CC") for said in side_data(output)] == wanted
    part = tmp_path / "part.mkv"
    report = stylize_video(
        clip, part, None, stylizer=FakeStylizer(), start=Fraction(1, 5), end=Fraction(3, 5)
    )
    assert [said.get("A53_CC") for said in side_data(part)] == wanted[5:15]
    assert not report.finished_with_loss


def test_a_codec_without_a_place_for_captions_says_so(tmp_path: Path, pack: Path) -> None:
    clip = captioned(make_clip(tmp_path / "plain.ts", frames=6), tmp_path / "in.ts")
    output = tmp_path / "out.webm"
    result = paint(clip, output, pack, "--codec", "vp9", "--preset", 8)
    assert result.exit_code == 0, result.output
    assert "captions: 6 pictures with closed captions, none in the output" in result.stdout
    assert "h264 or hevc" in result.stdout
    assert judged(clip, output)["captions"] == "left"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize(
    ("layout", "projection"),
    [(2, b""), (1, box(b"cbmp", bytes(4) + bytes(8)))],
    ids=["equirectangular", "cubemap"],
)
def test_spheres_and_stereo_are_said_in_the_output(
    tmp_path: Path, pack: Path, suffix: str, layout: int, projection: bytes
) -> None:
    plain = make_clip(tmp_path / "plain.mp4", frames=4)
    plain = make_film(tmp_path / "in.mp4", plain, picture={"title": "Round"})
    clip = marked(plain, sphere_boxes(layout, projection, (90 << 16, -(5 << 16), 1 << 15)))
    first = side_data(clip)[0]
    assert {"SPHERICAL", "STEREO3D"} <= first.keys()
    output = tmp_path / f"out{suffix}"
    codec = ("--codec", "vp9", "--preset", 8) if suffix == ".webm" else ()
    result = paint(clip, output, pack, *codec)
    assert result.exit_code == 0, result.output
    said = side_data(output)[0]
    assert (said["SPHERICAL"], said["STEREO3D"][:8]) == (first["SPHERICAL"], first["STEREO3D"][:8])
    with av.open(str(output)) as made:
        tags = made.streams.video[0].metadata
        assert "Round" in (tags.get("title"), tags.get("name"))
    found = judged(clip, output)
    assert (found["sphere"], found["stereo"]) == ("kept", "kept")
    bare = remux(tmp_path / "plain.mp4", tmp_path / "bare.mp4")
    found = judged(clip, bare)
    assert (found["sphere"], found["stereo"]) == ("LOST", "LOST")


def test_stereo_that_the_container_has_no_word_for_is_named(tmp_path: Path, pack: Path) -> None:
    clip = make_clip(tmp_path / "plain.mkv", frames=3)
    clip = make_film(tmp_path / "in.mkv", clip, picture={"stereo_mode": "right_left"})
    output = tmp_path / "out.mp4"
    result = paint(clip, output, pack)
    assert result.exit_code == 0, result.output
    assert "stereo: side by side, the right one first is not said in the output" in result.stdout
    assert judged(clip, output)["stereo"] == "left"


def test_pixels_that_change_their_shape_midway_are_fitted_and_named(
    tmp_path: Path, pack: Path
) -> None:
    shapes = (Fraction(12, 11), Fraction(16, 11))
    parts = [
        make_clip(
            tmp_path / f"{number}.ts",
            size=(176, 144),
            codec="mpeg2video",
            pixel_aspect=shape,
            pts=[25 * number + index for index in range(25)],
            time_base=Fraction(1, 25),
            options={"bf": "0", "g": "5", "b": "900000"},
            pictures=[np.full((144, 176, 3), 200, np.uint8)] * 25,
        )
        for number, shape in enumerate(shapes)
    ]
    clip = tmp_path / "in.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    output = tmp_path / "out.mkv"
    result = paint(clip, output, pack, "--codec", "ffv1")
    assert result.exit_code == 0, result.output
    assert "the shape of the pixels changes from 12:11 to 16:11 at " in result.stdout
    frames = read_frames(output)
    assert len(frames) == 50
    assert frames[24].min() > 150
    assert frames[25][:18].max() < 60
    assert frames[25][-18:].max() < 60
    assert frames[25][20:-20].min() > 150
    assert run("verify", clip, output).exit_code == 0


def editions(more: bytes = b"") -> bytes:
    """Ordered: the second second, then the first."""
    ordered = element(0x45DD, b"\1") + element(0x45DB, b"\1")
    chapters = atom(1, 1, 2, "Then") + atom(2, 0, 1, "Before")
    return element(0x45B9, ordered + chapters) + more


@pytest.fixture
def ordered(tmp_path: Path) -> Path:
    clip = make_clip(tmp_path / "plain.mkv", frames=50, audio=True)
    film = make_film(tmp_path / "in.mkv", clip, chapters=[(0, 1, "x" * 900)])
    cuts = element(0x45B9, atom(3, 0, 2, "All", atom(4, 0, 1, "A part")))
    return with_editions(film, editions(cuts))


def test_ordered_chapters_and_editions_are_carried_as_they_are(
    ordered: Path, tmp_path: Path, pack: Path
) -> None:
    output = tmp_path / "out.mkv"
    result = paint(ordered, output, pack)
    assert result.exit_code == 0, result.output
    assert len(stored_editions(ordered)) == 2
    assert stored_editions(output) == stored_editions(ordered)
    assert judged(ordered, output)["editions"] == "kept"
    assert run("verify", ordered, output).exit_code == 0
    bare = remux(ordered, tmp_path / "bare.mkv", chapters=[(1, 2, "Then")])
    assert judged(ordered, bare)["editions"] == "LOST"


def test_ordered_chapters_that_cannot_be_carried_are_named(
    ordered: Path, tmp_path: Path, pack: Path
) -> None:
    for name, more in (("out.mp4", ()), ("part.mkv", ("--start", "0.2", "--end", "1.5"))):
        result = paint(ordered, tmp_path / name, pack, *more)
        assert result.exit_code == 0, result.output
        assert "its chapters are ordered, so that players show its parts in" in result.stdout
        assert "it has 2 editions of chapters to choose from" in result.stdout
        found = run("verify", ordered, tmp_path / name, *more)
        assert found.exit_code == 0, found.output
        assert "left  editions" in found.stdout


@pytest.mark.parametrize("codec", ["ac3", "mp2", "aac"])
@pytest.mark.parametrize("dead", [0x101, 0x102])
def test_a_sound_without_a_packet_costs_no_other(
    tmp_path: Path, pack: Path, codec: str, dead: int
) -> None:
    clip = make_clip(tmp_path / "in.ts", frames=25, audio=True, audio_tracks=2, audio_codec=codec)
    packets = audio_packets(clip)
    without_packets(clip, dead)
    output = tmp_path / "out.mkv"
    result = paint(clip, output, pack)
    assert result.exit_code == 0, result.output
    assert f"sound {dead - 0x100} (" in result.stdout
    assert "is announced, but nothing of it was found where the file begins" in result.stdout
    (kept,) = audio_packets(output)
    wanted = packets[1 if dead == 0x101 else 0]
    assert len(kept) == len(wanted)
    if codec != "aac":
        assert [digest for digest, _ in kept] == [digest for digest, _ in wanted]
    assert run("verify", clip, output).exit_code == 0


TELEPHONE = {
    "com.apple.quicktime.location.ISO6709": "+48.2082+016.3738/",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.creationdate": "2024-05-01T12:00:00+0200",
    "MADE_BY": "s\xf6meone",
}


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_tags_without_a_name_in_mp4_stay_beside_the_ordinary_ones(
    tmp_path: Path, pack: Path, suffix: str
) -> None:
    clip = make_clip(tmp_path / "plain.mov", frames=6, audio=True)
    ordinary = {"title": "A day", "artist": "Me", "comment": "by the sea"}
    options = {"movflags": "use_metadata_tags"}
    clip = copy_with(clip, tmp_path / "in.mov", tags=TELEPHONE | ordinary, options=options)
    output = tmp_path / f"out{suffix}"
    result = paint(clip, output, pack)
    assert result.exit_code == 0, result.output
    assert "note: tags" not in result.stdout
    with av.open(str(output)) as made:
        assert (TELEPHONE | ordinary).items() <= made.metadata.items()
    written = output.read_bytes()
    # As players other than FFmpeg look for them.
    assert written.count(b"\xa9nam") == written.count(b"\xa9ART") == 1
    assert judged(clip, output)["tags"] == "kept"
    assert run("verify", clip, output).exit_code == 0
    # Matroska's keys are of large letters, which telephones and their programs do not know.
    between, again = tmp_path / "between.mkv", tmp_path / f"again{suffix}"
    assert paint(clip, between, pack).exit_code == 0
    assert paint(between, again, pack).exit_code == 0
    with av.open(str(again)) as made:
        assert TELEPHONE.keys() <= made.metadata.keys()
    assert run("verify", between, again).exit_code == 0


@pytest.mark.parametrize("flags", ["", "faststart"])
def test_an_index_grows_wherever_it_is(tmp_path: Path, flags: str) -> None:
    plain = make_clip(tmp_path / "plain.mp4", frames=30, audio=True)
    options = {"movflags": flags} if flags else {}
    path = copy_with(plain, tmp_path / "in.mp4", options=options)
    before = read_frames(path), audio_packets(path), video_pts(path)
    assert store_in_index(path, tags={"a.key": "v" * 5000}, pictures=b"", quicktime=False)
    with av.open(str(path)) as made:
        assert made.metadata["a.key"] == "v" * 5000
    after = read_frames(path), audio_packets(path), video_pts(path)
    assert all((a == b).all() for a, b in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:200])
    assert not store_in_index(cut, tags={"a": "b"}, pictures=b"", quicktime=False)
    assert cut.read_bytes() == path.read_bytes()[:200]
