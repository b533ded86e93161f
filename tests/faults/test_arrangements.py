"""Files that lie, or are linked, where a film in the making could be in their way.

Whatever stood in the folder before stands there afterwards, and is the same to the byte, the inode
and the time: inputs always, files of others always, the output unless ``--overwrite`` was given.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import Interrupted
from rtstyle.media import EncodeOptions, VideoWriter, open_video
from rtstyle.pipeline import Progress, stylize_video
from tests.arranged import FLAGS, QUICK, TOKEN, copy, link, run, soft, stranger, within
from tests.clips import make_clip, read_frames
from tests.snapshots import differences, snapshot

FRAMES = 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(
        tmp_path_factory.mktemp("clip") / "in.mp4", size=(32, 24), frames=FRAMES, audio=True
    )


@pytest.fixture(scope="module")
def film(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What comes out where nothing is in the way."""
    output = tmp_path_factory.mktemp("film") / "o.mp4"
    assert run(clip, "-o", output, *QUICK).exit_code == 0
    return output.read_bytes()


@pytest.fixture
def place(tmp_path: Path, clip: Path) -> Path:
    """A folder with a film ``src.mp4``."""
    folder = tmp_path / "place"
    folder.mkdir()
    shutil.copy(clip, folder / "src.mp4")
    return folder


@pytest.fixture(autouse=True)
def cannot_hang() -> Iterator[None]:
    with within(20):
        yield


@dataclass(frozen=True)
class Case:
    """``arrange`` is given a folder in which ``src.mp4`` is a film."""

    name: str
    arrange: Callable[[Path], object]
    code: int
    says: str = ""
    source: str = "src.mp4"
    output: str = "o.mp4"
    flags: str = "plain"
    written: str = "o.mp4"
    """The file that has the film, where the run succeeds."""
    more: tuple[str, ...] = ()


def one_file_two_names(place: Path) -> None:
    copy(place, "o.mp4")
    os.link(place / "o.mp4", place / "o.mp4.part")


def films_of_others(place: Path) -> None:
    for name in ("000000.mkv", "000001.mkv", "joined", "000000.json.new", "notes/a.txt", ".hidden"):
        stranger(place, f"o.mp4.parts/{name}")


def journal_of_others(place: Path, text: str) -> None:
    films_of_others(place)
    stranger(place, "o.mp4.parts/journal.json", text)


def link_to_films_of_others(place: Path) -> None:
    stranger(place, "far/000000.mkv")
    stranger(place, "far/000001.mkv")
    stranger(place, "far/journal.json", "{}")
    soft(place, "o.mp4.parts", "far")


def private_folder_of_others(place: Path) -> None:
    films_of_others(place)
    (place / "o.mp4.parts").chmod(0o700)


def linked_folder(place: Path) -> None:
    copy(place, "o.mp4.parts/000000.mkv")
    soft(place, "other", "o.mp4.parts")


def film_in_place_of_a_link(place: Path) -> None:
    copy(place, "far/p.mp4.parts/000000.mkv")
    soft(place, "o.mp4", "far/p.mp4")


def dangling(place: Path) -> None:
    names = ("o.mp4.part", f"o.mp4.{TOKEN}.part", "o.partial.mp4", ".o.mp4", "o.mp4.part.mp4")
    for number, name in enumerate(names):
        soft(place, name, f"nowhere-{number}")


def chain(place: Path) -> None:
    soft(place, "a", "src.mp4")
    soft(place, "b", "a")
    soft(place, "o.mp4", "b")


def link_out(place: Path) -> None:
    (place / "far").mkdir()
    stranger(place, "far/p.mp4.part")
    soft(place, "o.mp4", "far/p.mp4")


def unreadable_mode(place: Path) -> None:
    stranger(place, "o.mp4.part")
    for name in ("o.mp4.part", "src.mp4"):
        (place / name).chmod(0o444)


IN_THE_WAY = r"o\.mp4\.parts.*left as it is"
INPUT = "input itself"

CASES = [
    Case("input is the .part, no such style", lambda p: copy(p, "o.mp4.part"), 5, "nosuch",
         source="o.mp4.part", more=("--style", "nosuch", "--strength", "1")),
    Case("input is the .part", lambda p: copy(p, "o.mp4.part"), 0, source="o.mp4.part"),
    Case("input is the .part, overwrite", lambda p: copy(p, "o.mp4.part"), 0,
         source="o.mp4.part", flags="overwrite"),
    Case("the .part is a hard link of the input", lambda p: link(p, "o.mp4.part"), 0),
    Case("the .part is a symlink to the input", lambda p: soft(p, "o.mp4.part", "src.mp4"), 0),
    Case("the input is named by the .part", lambda p: soft(p, "o.mp4.part", "src.mp4"), 0,
         source="o.mp4.part"),
    Case("the .part is a stranger's", lambda p: stranger(p, "o.mp4.part"), 0),
    Case("the .part is a stranger's, overwrite", lambda p: stranger(p, "o.mp4.part"), 0,
         flags="overwrite"),
    Case("the .part is a stranger's, resume", lambda p: stranger(p, "o.mp4.part"), 0,
         flags="resume"),
    Case("a random .part is a stranger's", lambda p: stranger(p, f"o.mp4.{TOKEN}.part"), 0),
    Case("a random .part is the input", lambda p: copy(p, f"o.mp4.{TOKEN}.part"), 0,
         source=f"o.mp4.{TOKEN}.part"),
    Case("the .part is a pipe", lambda p: os.mkfifo(p / "o.mp4.part"), 0),
    Case("the .part is a folder", lambda p: stranger(p, "o.mp4.part/000000.mkv"), 0),
    Case("film and .part are one file", one_file_two_names, 4, "exists already"),
    Case("film and .part are one file, overwrite", one_file_two_names, 0, flags="overwrite"),
    Case("dangling links under all names", dangling, 0),
    Case("input and strangers are read-only", unreadable_mode, 0),
    Case("input is a segment", lambda p: copy(p, "o.mp4.parts/000000.mkv"), 4, INPUT,
         source="o.mp4.parts/000000.mkv"),
    Case("input is a segment, overwrite", lambda p: copy(p, "o.mp4.parts/000000.mkv"), 4, INPUT,
         source="o.mp4.parts/000000.mkv", flags="overwrite"),
    Case("input is a segment, resume", lambda p: copy(p, "o.mp4.parts/000003.mkv"), 4, INPUT,
         source="o.mp4.parts/000003.mkv", flags="resume"),
    Case("input is the joined film", lambda p: copy(p, "o.mp4.parts/joined"), 4, INPUT,
         source="o.mp4.parts/joined"),
    Case("input is a new journal", lambda p: copy(p, "o.mp4.parts/journal.json.new"), 4, INPUT,
         source="o.mp4.parts/journal.json.new"),
    Case("input is the journal", lambda p: copy(p, "o.mp4.parts/journal.json"), 4, INPUT,
         source="o.mp4.parts/journal.json", flags="overwrite"),
    Case("input lies deeper", lambda p: copy(p, "o.mp4.parts/sub/film.mkv"), 4, IN_THE_WAY,
         source="o.mp4.parts/sub/film.mkv", flags="overwrite"),
    Case("a segment is a hard link of the input", lambda p: link(p, "o.mp4.parts/000000.mkv"), 4,
         INPUT, flags="overwrite"),
    Case("input through a linked folder", linked_folder, 4, INPUT, source="other/000000.mkv"),
    Case("input through a linked name",
         lambda p: (copy(p, "o.mp4.parts/000000.mkv"), soft(p, "in.mkv", "o.mp4.parts/000000.mkv")),
         4, INPUT, source="in.mkv", flags="overwrite"),
    Case("output through a linked folder",
         lambda p: (copy(p, "real/o.mp4.parts/000000.mkv"), soft(p, "out", "real")), 4, INPUT,
         source="real/o.mp4.parts/000000.mkv", output="out/o.mp4", flags="overwrite"),
    Case("output is a link to where the input is a segment", film_in_place_of_a_link, 4, INPUT,
         source="far/p.mp4.parts/000000.mkv", flags="overwrite"),
    Case("output is a dangling link", link_out, 4, "exists already"),
    Case("output is a dangling link, overwrite", link_out, 0, flags="overwrite",
         written="far/p.mp4"),
    Case("output is a symlink to the input", lambda p: soft(p, "o.mp4", "src.mp4"), 4, INPUT,
         flags="overwrite"),
    Case("output is a hard link of the input", lambda p: link(p, "o.mp4"), 4, INPUT,
         flags="overwrite"),
    Case("output is a chain of links to the input", chain, 4, INPUT, flags="overwrite"),
    Case("input is a link to the output", lambda p: soft(p, "in.mp4", "src.mp4"), 4, INPUT,
         source="in.mp4", output="src.mp4", flags="overwrite"),
    Case("output is spelled otherwise", lambda p: (p / "sub").mkdir(), 4, INPUT,
         output="sub/../src.mp4", flags="both"),
    Case("output is the input, resume", lambda p: None, 4, INPUT, output="src.mp4",
         flags="resume"),
    Case("the .parts is a file", lambda p: stranger(p, "o.mp4.parts"), 4, IN_THE_WAY,
         flags="overwrite"),
    Case("the .parts is a pipe", lambda p: os.mkfifo(p / "o.mp4.parts"), 4, IN_THE_WAY,
         flags="both"),
    Case("the .parts is a dangling link", lambda p: soft(p, "o.mp4.parts", "nowhere"), 4,
         IN_THE_WAY, flags="overwrite"),
    Case("the .parts is the input", lambda p: copy(p, "o.mp4.parts"), 4, IN_THE_WAY,
         source="o.mp4.parts", flags="overwrite"),
    Case("the .parts is empty, and public", lambda p: (p / "o.mp4.parts").mkdir(0o755), 4,
         IN_THE_WAY),
    *(
        Case(f"{what}, {flag}", arrange, 4, IN_THE_WAY, flags=flag)
        for flag in FLAGS
        for what, arrange in {
            "films of others in .parts": films_of_others,
            "private films of others": private_folder_of_others,
            "link to films of others": link_to_films_of_others,
        }.items()
    ),
    *(
        Case(f"a stranger's journal {text[:20]!r}, {flag}",
             partial(journal_of_others, text=text), 4, IN_THE_WAY, flags=flag)
        for flag in ("overwrite", "both")
        for text in ("", "[]", '{"format": 1, "asked": {}}', "[" * 50_000,
                     '{"program": "other", "format": 2, "token": "' + TOKEN + '"}')
    ),
    Case("others' files in a folder for films", lambda p: stranger(p, "films/src.mp4.part"), 0,
         output="films", written="films/src.mp4"),
    Case("others' segments in a folder for films",
         lambda p: stranger(p, "films/src.mp4.parts/000000.mkv"), 4, "left as it is",
         output="films", flags="overwrite"),
    Case("the input by another name in a folder for films", lambda p: link(p, "films/src.mp4"), 4,
         "input", output="films", flags="overwrite"),
    Case("the report is a link to the input", lambda p: soft(p, "r.json", "src.mp4"), 2,
         "report would replace", flags="overwrite", more=("--report", "r.json")),
    Case("the report is a hard link of the input", lambda p: link(p, "r.json"), 2,
         "report would replace", flags="overwrite", more=("--report", "r.json")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_there_stays_as_it_is(
    place: Path, film: bytes, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    case.arrange(place)
    before = snapshot(place)
    monkeypatch.chdir(place)
    result = run(case.source, "-o", case.output, *QUICK, *FLAGS[case.flags], *case.more)
    written = case.written if case.code == 0 else ""
    free = [written] if case.code == 0 and "--overwrite" in FLAGS[case.flags] else []
    assert differences(before, snapshot(place), may_change=free, may_be_new=written) == []
    assert result.exit_code == case.code, result.output
    assert re.search(case.says, result.output)
    assert "unexpected" not in result.output
    if case.code == 0:
        assert (place / written).read_bytes() == film


class Killed(BaseException):
    """Ends a run as no handler expects."""


@pytest.fixture
def own(place: Path) -> Path:
    """The folder of a run of this program that was killed, with one file more: the next input."""

    def progress(now: Progress) -> None:
        if now.frames_done == 5:
            raise Killed

    with FakeStylizer() as stylizer, pytest.raises(Killed):
        stylize_video(
            place / "src.mp4",
            place / "o.mp4",
            None,
            stylizer=stylizer,
            segment_frames=2,
            progress=progress,
        )
    return place / "o.mp4.parts"


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("how", ["a copy", "a hard link", "reached by a link", "a segment"])
def test_an_input_within_the_work_of_an_earlier_run_is_refused(
    own: Path, monkeypatch: pytest.MonkeyPatch, flags: str, how: str
) -> None:
    place = own.parent
    source = Path("o.mp4.parts/000009.mkv")
    monkeypatch.chdir(place)
    if how == "a hard link":
        link(place, str(source))
        source = Path("src.mp4")
    elif how == "a segment":
        source = next(path for path in sorted(own.glob("*.mkv"))).relative_to(place)
    else:
        copy(place, str(source))
    if how == "reached by a link":
        soft(place, "in.mkv", str(source))
        source = Path("in.mkv")
    before = snapshot(place)
    result = run(source, "-o", "o.mp4", *QUICK, *FLAGS[flags])
    assert differences(before, snapshot(place)) == []
    assert result.exit_code == 4, result.output
    assert INPUT in result.output


def test_what_others_put_among_the_work_stays(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = own.parent
    monkeypatch.chdir(place)
    strangers = ("000001.mkv", "000002.json", "notes.txt", "joined", f"000000.{TOKEN}.mkv")
    there = [name for name in strangers if not (own / name).exists()]
    for name in there:
        stranger(own, name)
    stranger(place, "far.mkv")
    soft(own, "link.mkv", "../far.mkv")
    kept = [f"o.mp4.parts/{name}" for name in [*there, "link.mkv"]]
    before = snapshot(place)
    result = run("src.mp4", "-o", "o.mp4", *QUICK, "--overwrite")
    after = snapshot(place)
    assert result.exit_code == 0, result.output
    assert {name: after.get(name) for name in kept} == {name: before[name] for name in kept}
    assert after["src.mp4"] == before["src.mp4"]
    assert len(read_frames(place / "o.mp4")) == FRAMES


INTERRUPTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a stranger's": (lambda p: stranger(p, "o.partial.mp4"), "src.mp4"),
    "the input": (lambda p: copy(p, "o.partial.mp4"), "o.partial.mp4"),
    "a hard link of the input": (lambda p: link(p, "o.partial.mp4"), "src.mp4"),
    "a link to the input": (lambda p: soft(p, "o.partial.mp4", "src.mp4"), "src.mp4"),
    "a dangling link": (lambda p: soft(p, "o.partial.mp4", "nowhere"), "src.mp4"),
    "a folder": (lambda p: stranger(p, "o.partial.mp4/x"), "src.mp4"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("what", INTERRUPTED)
def test_partial_results_replace_nothing(place: Path, what: str, overwrite: bool) -> None:
    arrange, source = INTERRUPTED[what]
    arrange(place)
    before = snapshot(place)

    def progress(now: Progress) -> None:
        if now.frames_done == 3:
            signal.raise_signal(signal.SIGINT)

    with FakeStylizer() as stylizer, pytest.raises(Interrupted) as caught:
        stylize_video(
            place / source,
            place / "o.mp4",
            None,
            stylizer=stylizer,
            overwrite=overwrite,
            progress=progress,
        )
    assert differences(before, snapshot(place), may_be_new="o.partial-2.mp4") == []
    assert Path(caught.value.kept).name == "o.partial-2.mp4"
    assert len(read_frames(place / "o.partial-2.mp4")) == 3


RECORDED: dict[str, Callable[[Path], object]] = {
    "the .part is a stranger's": lambda p: stranger(p, "o.mkv.part"),
    "the .part is a hard link of a film": lambda p: link(p, "o.mkv.part"),
    "the .part is a link to a film": lambda p: soft(p, "o.mkv.part", "src.mp4"),
    "the .part is a dangling link": lambda p: soft(p, "o.mkv.part", "nowhere"),
    "the .part is a pipe": lambda p: os.mkfifo(p / "o.mkv.part"),
    "a random .part is a stranger's": lambda p: stranger(p, f"o.mkv.{TOKEN}.part"),
    "the .partial is a stranger's": lambda p: stranger(p, "o.partial.mkv"),
}


@pytest.mark.parametrize("what", RECORDED)
def test_recordings_leave_what_is_there(place: Path, what: str) -> None:
    RECORDED[what](place)
    before = snapshot(place)
    options = EncodeOptions(preset="ultrafast", audio="none", subtitles="none")
    with (
        open_video(place / "src.mp4") as video,
        VideoWriter(place / "o.mkv", video.info, options) as writer,
    ):
        for frame in video:
            writer.write(frame)
        writer.finish()
    assert differences(before, snapshot(place), may_be_new="o.mkv") == []
    assert len(read_frames(place / "o.mkv")) == FRAMES
