"""``rtstyle video`` and ``rtstyle verify`` say the same of the same two files: what the one calls
done with a loss the other calls lost, and what the one passes without it the other calls kept."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from av.stream import Disposition
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from rtstyle.media import streams
from tests.beside import captioned, copy_with, without_packets
from tests.clips import Titles, audio_packets, make_clip, make_film, png_picture, video_pts
from tests.nets import make_pack
from tests.remux import AnyPacket, altered, remux

Maker = Callable[[Path], Path]

TEXTS = Titles("subrip", [(0, 900, "one"), (1000, 500, "two")], language="eng", title="Words")
FORCED = Titles("ass", [(0, 900, "one")], marks=Disposition.forced | Disposition.lyrics)


def film(folder: Path) -> Path:
    clip = make_clip(folder / "clip.mkv", frames=50, audio=True, audio_tracks=2)
    return make_film(
        folder / "film.mkv",
        clip,
        titles=[TEXTS, FORCED],
        chapters=[(0.5, 1, "One"), (1, 2, "Two"), (30, 31, "After the end")],
        tags={"title": "A film", "MADE_BY": "someone"},
        fonts=[("a.ttf", b"glyphs")],
        cover=png_picture(),
        picture={"language": "de-AT", "title": "The picture"},
        dispositions=[Disposition.default, Disposition(0), Disposition.default | Disposition.dub],
    )


def untitled(folder: Path) -> Path:
    clip = make_clip(folder / "clip.mkv", frames=75, audio=True)
    return copy_with(clip, folder / "film.mkv", chapters=[None, "Two", None])


def late_chapter(folder: Path) -> Path:
    clip = make_clip(folder / "clip.mkv", frames=50)
    return make_film(folder / "film.mkv", clip, chapters=[(1, 2, "Late")])


def damaged_sound(folder: Path) -> Path:
    clip = make_clip(folder / "clip.mp4", frames=50, audio=True)

    def edit(packet: AnyPacket, index: int) -> AnyPacket:
        return altered(packet) if packet.stream.type == "audio" and index == 20 else packet

    return remux(clip, folder / "film.mkv", edit=edit)


def damaged_picture(folder: Path) -> Path:
    clip = make_clip(folder / "clip.mp4", frames=50, audio=True)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 300] = bytes(300)
    (folder / "film.mp4").write_bytes(data)
    return folder / "film.mp4"


def uneven(folder: Path) -> Path:
    stamps = [0, 1, 2, 5, 9, 9001, 9002, 20000]
    return make_clip(folder / "film.mkv", pts=stamps, time_base=Fraction(1, 90000))


def silent(folder: Path) -> Path:
    clip = make_clip(folder / "film.ts", frames=25, audio=True, audio_tracks=2, audio_codec="mp2")
    return without_packets(clip, 0x102)


def begins_late(folder: Path) -> Path:
    """Its second sound begins long after what is looked at when a file is opened."""
    clip = make_clip(folder / "clip.mkv", frames=600, audio=True, audio_tracks=2, audio_codec="mp2")
    film = make_film(folder / "film.ts", clip)
    return without_packets(film, 0x102, keep=lambda n: n > 5000)


MAKERS: dict[str, Maker] = {
    "rich": film,
    "untitled": untitled,
    "late_chapter": late_chapter,
    "damaged_sound": damaged_sound,
    "damaged_picture": damaged_picture,
    "uneven": uneven,
    "silent": silent,
    "begins_late": begins_late,
    "captions": lambda f: captioned(make_clip(f / "c.ts", frames=9), f / "film.ts"),
    "deep": lambda f: make_clip(f / "film.mkv", frames=5, pixel_format="yuv422p12le", codec="ffv1"),
    "wide": lambda f: make_clip(f / "film.mkv", frames=5, colour=(9, 9, 14, 1)),
    "hdr": lambda f: make_clip(
        f / "film.mkv", frames=5, colour=(9, 9, 16, 1), pixel_format="yuv420p10le"
    ),
    "squeezed": lambda f: make_clip(f / "film.mp4", frames=5, pixel_aspect=Fraction(16, 11)),
    "turned": lambda f: make_clip(f / "film.mp4", frames=5, rotation=90),
    "pcm": lambda f: make_clip(f / "film.mov", frames=25, audio=True, audio_codec="pcm_s16le"),
    "eac3": lambda f: make_clip(f / "film.mkv", frames=25, audio=True, audio_codec="eac3"),
    "late_sound": lambda f: make_clip(f / "film.mp4", frames=50, audio=True, audio_start=0.4),
    "early_sound": lambda f: make_clip(
        f / "film.mkv", frames=50, audio=True, audio_codec="libopus"
    ),
    "avi": lambda f: make_clip(
        f / "film.avi", frames=25, audio=True, codec="mpeg4", audio_codec="mp3"
    ),
}


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(tmp_path_factory.mktemp("pack") / "negative", name="negative")


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(main, [command, *map(str, arguments)])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("kind", list(MAKERS))
def test_a_run_and_verify_give_one_verdict(
    tmp_path: Path, pack: Path, kind: str, suffix: str
) -> None:
    source = MAKERS[kind](tmp_path)
    output = tmp_path / f"out{suffix}"
    made = run("video", source, "-o", output, "--style", pack, "--strength", 0)
    if made.exit_code == 4:
        # Refused before a picture was read: there is nothing to compare.
        assert "cannot hold the source's" in made.stderr
        assert not output.exists()
        return
    found = run("verify", source, output)
    assert made.exit_code == found.exit_code, f"{made.output}\n{found.output}"
    if found.exit_code == 0:
        return
    lost = found.stdout.splitlines()[-1].removeprefix("lost: ").split(", ")
    for name in lost:
        assert f"not in the output as it should be: {name}: " in made.stdout


def test_a_sound_that_begins_late_is_found(tmp_path: Path, pack: Path) -> None:
    source, output = begins_late(tmp_path), tmp_path / "out.mkv"
    made = run("video", source, "-o", output, "--style", pack, "--strength", 0)
    assert made.exit_code == 0, made.output
    first, second = audio_packets(output)
    assert len(first) == 1000
    assert 100 < len(second) < 500


def test_a_sound_that_begins_too_late_is_a_loss_to_both_and_costs_nothing_else(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_FURTHER", {})
    source, output = begins_late(tmp_path), tmp_path / "out.mkv"
    made = run("video", source, "-o", output, "--style", pack, "--strength", 0)
    found = run("verify", source, output)
    assert (made.exit_code, found.exit_code) == (8, 8)
    assert "audio 2: mp3, deu: is not in the output; where the file begins" in made.stdout
    assert len(video_pts(output)) == 600
    assert [len(packets) for packets in audio_packets(output)] == [1000]
