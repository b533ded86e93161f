"""Files with thousands of tags: opened as quickly as others, and not one tag less."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from rtstyle.media import streams
from rtstyle.media.many_tags import Covered, crowd_of
from rtstyle.media.said import said_by, said_by_stream
from rtstyle.media.streams import open_container
from rtstyle.pipeline import stylize_video
from tests.clips import make_clip, make_film

COUNT = 5000
TAGS = {
    "title": "A film",
    "artist": "someone",
    **{f"KEY_{k:05}": f"wört {k}" for k in range(COUNT)},
}
PICTURE = {"title": "the picture", "language": "deu"}
TAGS_ID, SEGMENT, CUES = b"\x12\x54\xc3\x67", b"\x18\x53\x80\x67", b"\x1c\x53\xbb\x6b"
SEEK_HEAD, SEEK, SEEK_ID, SEEK_AT = b"\x11\x4d\x9b\x74", b"\x4d\xbb", b"\x53\xab", b"\x53\xac"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mkv", audio=True)


@pytest.fixture
def film(tmp_path: Path, clip: Path) -> Path:
    return make_film(tmp_path / "film.mkv", clip, tags=TAGS, picture=PICTURE)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many tags FFmpeg looked at each time a file was opened to be read."""
    found: list[int] = []
    real: Callable[..., Any] = av.open

    def counting(file: object, mode: str = "r", **options: Any) -> Any:  # noqa: ANN401
        container = real(file, mode, **options)
        if mode == "r":
            tags = [container.metadata, *(stream.metadata for stream in container.streams)]
            found.append(sum(len(said) for said in tags))
        return container

    monkeypatch.setattr(av, "open", counting)
    yield found


def plainly(path: Path) -> list[dict[str, str]]:
    """The tags of the file and of its streams, as FFmpeg alone reads them."""
    with av.open(f"file:{path}") as container:
        return [dict(container.metadata), *(dict(s.metadata) for s in container.streams)]


def ours(path: Path) -> list[dict[str, str]]:
    with open_container(path) as container:
        return [said_by(container), *(said_by_stream(s) for s in container.streams)]


def packets(container: av.container.InputContainer) -> list[tuple[int, int | None, bytes]]:
    return [(p.stream_index, p.pts, bytes(p)) for p in container.demux()]


def element(name: bytes, content: bytes) -> bytes:
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content


def at_the_end(path: Path) -> Path:
    """The same film with its tags behind its pictures, as other writers put them."""
    data = path.read_bytes()
    segment = data.index(SEGMENT)
    parts: dict[bytes, bytes] = {}
    place = segment + 12
    while place < len(data):
        length = 9 - data[place + 4].bit_length() if data[place] < 0x20 else 0
        if not length:  # Void, the only one here whose name has one byte
            length = 9 - data[place + 1].bit_length()
            size = int.from_bytes(data[place + 1 : place + 1 + length], "big")
            place += 1 + length + (size & 2 ** (7 * length) - 1)
            continue
        size = int.from_bytes(data[place + 4 : place + 4 + length], "big") & 2 ** (7 * length) - 1
        end = place + 4 + length + size
        name = data[place : place + 4]
        parts[name] = parts.get(name, b"") + data[place:end]
        place = end
    tags = parts.pop(TAGS_ID)
    del parts[SEEK_HEAD], parts[CUES]
    rest = b"".join(parts.values())
    index = len(
        element(SEEK_HEAD, element(SEEK, element(SEEK_ID, TAGS_ID) + element(SEEK_AT, bytes(8))))
    )
    at = element(SEEK_AT, (index + len(rest)).to_bytes(8, "big"))
    head = element(SEEK_HEAD, element(SEEK, element(SEEK_ID, TAGS_ID) + at))
    new = path.with_name("end.mkv")
    new.write_bytes(data[:segment] + element(SEGMENT, head + rest + tags))
    return new


def test_all_tags_are_told_and_packets_are_the_same(film: Path) -> None:
    assert len(crowd_of(film)) > COUNT
    assert ours(film) == plainly(film)
    with open_container(film) as container, av.open(f"file:{film}") as plain:
        assert len(container.metadata) < 100
        assert packets(container) == packets(plain)
        assert [s.duration for s in container.streams] == [s.duration for s in plain.streams]
        assert container.name == plain.name
        container.seek(200000)
        plain.seek(200000)
        assert packets(container) == packets(plain)


def test_tags_of_a_stream_are_told_too(tmp_path: Path, clip: Path) -> None:
    film = make_film(tmp_path / "film.mkv", clip, picture={**TAGS, **PICTURE})
    assert ours(film) == plainly(film)
    with open_container(film) as container:
        said = container.streams.video[0].metadata
        assert len(said) < 100
        # What is asked of a stream without reading all is still there.
        assert {key.lower() for key in said} >= {"duration", "title", "language"}


def test_a_changed_file_is_read_anew(film: Path, clip: Path) -> None:
    assert ours(film)[0]["KEY_00000"] == "wört 0"
    other = make_film(film.with_name("other.mkv"), clip, tags={k: f"{v}!" for k, v in TAGS.items()})
    os.replace(other, film)
    assert ours(film)[0]["KEY_00000"] == "wört 0!"


def test_files_with_few_tags_and_no_matroska_files_are_opened_as_ever(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> Covered:
        raise AssertionError("nothing is to be covered up")

    monkeypatch.setattr(streams, "covered", refused)
    few = make_film(tmp_path / "few.mkv", clip, tags=dict(list(TAGS.items())[:100]))
    film = make_clip(tmp_path / "film.mp4")
    for path in (few, film):
        assert ours(path) == plainly(path)


@pytest.mark.parametrize("cut", [40, 3000, 60000, -1000, -5])
def test_a_torn_file_is_read_as_far_as_it_goes(film: Path, cut: int) -> None:
    torn = film.with_name("torn.mkv")
    torn.write_bytes(film.read_bytes()[:cut])
    for path in (torn,):
        try:
            expected = plainly(path)
        except av.FFmpegError:
            with pytest.raises(Exception, match=r"torn\.mkv"):
                ours(path)
        else:
            assert ours(path) == expected


@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_conversion_reads_every_tag_once_and_keeps_it(
    tmp_path: Path, film: Path, seen: list[int], place: str
) -> None:
    source = film if place == "before" else at_the_end(film)
    assert plainly(source) == plainly(film)
    seen.clear()
    output = tmp_path / "out.mkv"
    report = stylize_video(source, output, "great-wave", strength=0)
    # Once of the source and once of the result; a few stay with each of a dozen openings.
    assert COUNT < sum(seen) < 2.5 * COUNT
    assert not report.notes
    kept = plainly(output)[0]
    wanted = {key.lower(): value for key, value in TAGS.items()}
    assert {key.lower(): value for key, value in kept.items()}.items() >= wanted.items()
