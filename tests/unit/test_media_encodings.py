"""Text of any encoding in a film's tags survives byte for byte, and is no reason to fail."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from tests.beside import copy_with
from tests.clips import Titles, make_clip, make_film
from tests.nets import make_pack

WORDS = {
    "cp1251": "\u041f\u0440\u044b\u0436\u043e\u043a",
    "shift_jis": "\u6620\u753b\u30c6\u30b9\u30c8",
    "latin-1": "Gru\xdf \xfcber Z\xfcrich",
    "gbk": "\u7535\u5f71\u6d4b\u8bd5",
}
BROKEN = b"cut \xe2\x82 and \xff\xfe here"
RAW = [*(word.encode(encoding) for encoding, word in WORDS.items()), BROKEN]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return make_pack(tmp_path / "negative", name="negative")


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(main, [command, *map(str, arguments)])


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("raw", RAW, ids=[*WORDS, "broken"])
@pytest.mark.parametrize("suffixes", [(".avi", ".mkv"), (".mp4", ".mp4"), (".mkv", ".mov")])
def test_tags_titles_and_chapters_of_any_bytes_survive(
    tmp_path: Path, pack: Path, raw: bytes, suffixes: tuple[str, str]
) -> None:
    said = text(raw)
    film, output = tmp_path / f"in{suffixes[0]}", tmp_path / f"out{suffixes[1]}"
    codec = "mpeg4" if film.suffix == ".avi" else "libx264"
    plain = tmp_path / ("plain.avi" if film.suffix == ".avi" else "plain.mkv")
    clip = make_clip(plain, frames=50, audio=True, codec=codec, audio_codec="mp3")
    rich = film.suffix != ".avi"
    copy_with(
        clip,
        film,
        tags={"title": said, "artist": said},
        titles={1: said} if rich else {},
        chapters=[said, "Two"] if rich else [],
    )
    report = tmp_path / "report.json"
    result = run("video", film, "-o", output, "--style", pack, "--strength", 0, "--report", report)
    assert result.exit_code == 0, result.output
    json.loads(report.read_text("utf-8"))
    with av.open(str(output), metadata_errors="surrogateescape") as made:
        own = {key.lower(): value for key, value in made.metadata.items()}
        assert (own["title"], own["artist"]) == (said, said)
        if rich:
            tags = made.streams.audio[0].metadata
            assert said in (tags.get("title"), tags.get("name"))
            assert [c["metadata"]["title"] for c in made.chapters()] == [said, "Two"]
    assert output.read_bytes().count(raw) >= 2
    for more in ((), ("--json",)):
        assert run("verify", film, output, *more).exit_code == 0
    bare = copy_with(clip, tmp_path / f"bare{output.suffix}", tags={"title": "?", "artist": "?"})
    found = run("verify", film, bare, "--json")
    assert found.exit_code == 8
    (lost,) = (c for c in json.loads(found.stdout)["checks"] if c["name"] == "tags")
    assert not lost["kept"]


def test_names_of_attached_files_of_any_bytes_survive(tmp_path: Path, pack: Path) -> None:
    clip = make_clip(tmp_path / "plain.mkv", frames=5)
    holder, name = b"PLACEHOLDER.ttf", RAW[0] + b".ttf"
    film = make_film(tmp_path / "in.mkv", clip, fonts=[(holder.decode(), b"glyphs")])
    name += b"." * (len(holder) - len(name))
    film.write_bytes(film.read_bytes().replace(holder, name))
    output = tmp_path / "out.mkv"
    result = run("video", film, "-o", output, "--style", pack, "--strength", 0)
    assert result.exit_code == 0, result.output
    assert name in output.read_bytes()
    assert run("verify", film, output).exit_code == 0
    result = run("video", film, "-o", tmp_path / "out.mp4", "--style", pack, "--strength", 0)
    assert result.exit_code == 0, result.output
    assert "cannot be stored in mp4" in result.stdout


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_subtitles_of_any_bytes_survive_or_are_said_to_be_lost(
    tmp_path: Path, pack: Path, suffix: str
) -> None:
    clip = make_clip(tmp_path / "plain.mkv", frames=50)
    holder, raw = "PLACE", WORDS["cp1251"].encode("cp1251")[:5]
    titles = Titles("subrip", [(0, 900, holder), (1000, 900, "two")])
    film = make_film(tmp_path / "in.mkv", clip, titles=[titles])
    film.write_bytes(film.read_bytes().replace(holder.encode(), raw))
    output = tmp_path / f"out{suffix}"
    result = run("video", film, "-o", output, "--style", pack, "--strength", 0)
    found = run("verify", film, output)
    if raw in output.read_bytes():
        assert (result.exit_code, found.exit_code) == (0, 0)
    else:
        assert "1 damaged subtitle packet(s) were left out" in result.stdout
        assert (result.exit_code, found.exit_code) == (8, 8)
