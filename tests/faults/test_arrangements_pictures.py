"""Files that lie, or are linked, where numbered pictures in the making could be in their way."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import Interrupted
from rtstyle.pipeline import Progress, stylize_video
from tests.arranged import FLAGS, TOKEN, copy, link, run, soft, stranger, within
from tests.clips import make_clip, moving_picture
from tests.snapshots import differences, snapshot

FRAMES = 4
NAMES = [f"{number:06d}.png" for number in range(1, FRAMES + 1)]
STAMPS = "timestamps.txt"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", size=(32, 24), frames=FRAMES)


@pytest.fixture
def place(tmp_path: Path, clip: Path) -> Path:
    """A folder with a film ``src.mp4``, and pictures in ``in``."""
    folder = tmp_path / "place"
    folder.mkdir()
    shutil.copy(clip, folder / "src.mp4")
    draw(folder / "in")
    return folder


@pytest.fixture(autouse=True)
def cannot_hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Nothing here asks what a power cut leaves, and it waits for what the whole machine writes.
    monkeypatch.setattr(os, "sync", lambda: None)
    with within(10):
        yield


def draw(folder: Path) -> None:
    """Pictures as from a camera, without a file of times."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        assert cv2.imwrite(str(folder / name), moving_picture((32, 24), number))


def made_before(folder: Path) -> None:
    """Pictures that a run of this program has made, with their times."""
    result = run(folder.parent / "src.mp4", "-o", folder / "%06d.png", "--strength", "0")
    assert result.exit_code == 0, result.output


def moved_in(place: Path) -> None:
    """The input's pictures lie in what looks like an unfinished output."""
    shutil.move(place / "in", place / "d" / "%06d.png.part")


def times_elsewhere(place: Path) -> None:
    made_before(place / "out")
    (place / "far").mkdir()
    shutil.move(place / "out" / STAMPS, place / "far" / STAMPS)
    soft(place, f"out/{STAMPS}", f"../far/{STAMPS}")


def times_from_a_pipe(place: Path) -> None:
    (place / "out").mkdir()
    os.mkfifo(place / "out" / STAMPS)


def also_links_of_the_input(place: Path) -> None:
    """The output of an earlier run, in which pictures are those of the input."""
    made_before(place / "out")
    for name in NAMES:
        (place / "out" / name).unlink()
        os.link(place / "in" / name, place / "out" / name)


def also_symlinks_to_the_input(place: Path) -> None:
    made_before(place / "out")
    for name in NAMES:
        (place / "out" / name).unlink()
        soft(place, f"out/{name}", f"../in/{name}")


def and_a_folder(place: Path) -> None:
    made_before(place / "out")
    (place / "out" / NAMES[2]).unlink()
    stranger(place, f"out/{NAMES[2]}/film.mp4")


def and_a_picture(place: Path, name: str) -> None:
    made_before(place / "out")
    stranger(place, f"out/{name}")


def a_finished_one(place: Path) -> None:
    made_before(place / "out")


@dataclass(frozen=True)
class Case:
    """``arrange`` is given a folder with a film ``src.mp4`` and pictures in ``in``."""

    name: str
    arrange: Callable[[Path], object]
    code: int
    says: str = ""
    source: str = "in/%06d.png"
    output: str = "out/%06d.png"
    flags: str = "plain"
    replaced: tuple[str, ...] = ()
    """What is this program's own, and replaced as asked."""


OWN = tuple(f"out/{name}" for name in (*NAMES, STAMPS))
SAME = "folder of the input"
OTHERS = "never replaced"

CASES = [
    Case("input lies in the .part of the output", moved_in, 0, source="d/%06d.png.part/%06d.png",
         output="d/%06d.png"),
    Case("input lies in the .part of the output, overwrite", moved_in, 0,
         source="d/%06d.png.part/%06d.png", output="d/%06d.png", flags="overwrite"),
    Case("the .part is a stranger's",
         lambda p: [stranger(p, f"out/%06d.png.part/{name}") for name in (*NAMES, STAMPS)], 0),
    Case("the .part is a link to the input's folder",
         lambda p: soft(p, "out/%06d.png.part", "../in"), 0, flags="overwrite"),
    Case("the .part is a dangling link", lambda p: soft(p, "out/%06d.png.part", "nowhere"), 0),
    Case("the .part is a file", lambda p: stranger(p, "out/%06d.png.part"), 0),
    Case("a random .part is a stranger's",
         lambda p: stranger(p, f"out/%06d.png.{TOKEN}.part/000001.png"), 0),
    Case("a random .part is a link to the input's folder",
         lambda p: soft(p, f"out/%06d.png.{TOKEN}.part", "../in"), 0, flags="overwrite"),
    *(
        case
        for flag in ("plain", "overwrite")
        for case in (
            Case(f"output is the input's folder, {flag}", lambda p: None, 4, SAME,
                 output="in/%06d.png", flags=flag),
            Case(f"output is the input's folder, by other names, {flag}", lambda p: None, 4, SAME,
                 output="in/x%04d.jpg", flags=flag),
            Case(f"output is the input's folder through a link, {flag}",
                 lambda p: soft(p, "out", "in"), 4, SAME, flags=flag),
            Case(f"input's folder through a link, {flag}", lambda p: soft(p, "link", "in"), 4,
                 SAME, source="link/%06d.png", output="in/%06d.png", flags=flag),
            Case(f"output within the input's folder, {flag}", lambda p: None, 0,
                 output="in/out/%06d.png", flags=flag),
            Case(f"output around the input's folder, {flag}",
                 lambda p: draw(p / "out" / "in"), 0, source="out/in/%06d.png", flags=flag),
            Case(f"pictures of others, {flag}", lambda p: draw(p / "out"), 4, OTHERS, flags=flag),
            Case(f"links to the input's pictures, {flag}",
                 lambda p: [soft(p, f"out/{name}", f"../in/{name}") for name in NAMES], 4,
                 "reads|never replaced", flags=flag),
            Case(f"hard links of the input's pictures, {flag}",
                 lambda p: [link(p, f"out/{name}", f"in/{name}") for name in NAMES], 4,
                 "reads|never replaced", flags=flag),
            Case(f"times of others, {flag}", lambda p: stranger(p, f"out/{STAMPS}"), 4,
                 "no times", flags=flag),
            Case(f"times are a dangling link, {flag}",
                 lambda p: soft(p, f"out/{STAMPS}", "nowhere"), 4, "", flags=flag),
            Case(f"times are a pipe, {flag}", times_from_a_pipe, 4, "", flags=flag),
            Case(f"times are a folder, {flag}", lambda p: stranger(p, f"out/{STAMPS}/x"), 4, "",
                 flags=flag),
            Case(f"a folder called like a picture, {flag}",
                 lambda p: stranger(p, f"out/{NAMES[0]}/film.mp4"), 4, OTHERS, flags=flag),
        )
    ),
    Case("the output of an earlier run", a_finished_one, 4, "exist already"),
    Case("the output of an earlier run, overwrite", a_finished_one, 0, flags="overwrite",
         replaced=OWN),
    Case("among them a picture of others", lambda p: and_a_picture(p, "holiday.jpg"), 4, OTHERS,
         flags="overwrite"),
    Case("among them a file of others", lambda p: and_a_picture(p, "notes.txt"), 0,
         flags="overwrite", replaced=OWN),
    Case("among them links of the input", also_links_of_the_input, 4, "reads", flags="overwrite"),
    Case("among them symlinks to the input", also_symlinks_to_the_input, 4, "reads",
         flags="overwrite"),
    Case("among them a folder", and_a_folder, 4, "", flags="overwrite"),
    Case("their times are kept elsewhere", times_elsewhere, 0, flags="overwrite", replaced=OWN),
    Case("the output's folder is a dangling link", lambda p: soft(p, "out", "nowhere"), 4, "",
         flags="overwrite"),
    Case("the output's folder is a file", lambda p: stranger(p, "out"), 4, "not a folder",
         flags="overwrite"),
    Case("a film from pictures, the output a link to one",
         lambda p: soft(p, "o.mp4", f"in/{NAMES[0]}"), 4, "reads|input", output="o.mp4",
         flags="overwrite"),
    Case("a film from pictures, the output a hard link of one",
         lambda p: link(p, "o.mp4", f"in/{NAMES[1]}"), 4, "reads|input", output="o.mp4",
         flags="overwrite"),
    Case("a film from pictures, the .part a hard link of one",
         lambda p: link(p, "o.mp4.part", f"in/{NAMES[1]}"), 0, output="o.mp4"),
    Case("a film from pictures among its segments",
         lambda p: shutil.move(p / "in", p / "o.mp4.parts"), 0, source="o.mp4.parts/%06d.png",
         output="o.mp4", flags="overwrite"),
    Case("a film from pictures, the output a link to their times",
         lambda p: (stranger(p, f"in/{STAMPS}", "# timestamp format v2\n0\n40\n80\n120\n"),
                    soft(p, "o.mp4", f"in/{STAMPS}")), 4, "reads|input", output="o.mp4",
         flags="overwrite"),
    Case("the input's times are a pipe", lambda p: os.mkfifo(p / "in" / STAMPS), 0,
         f"no {STAMPS}"),
    Case("the input's times are a pipe, and named", lambda p: os.mkfifo(p / "in" / STAMPS), 3,
         "regular file", source=f"in/{STAMPS}"),
    Case("a picture of the input is a pipe", lambda p: os.mkfifo(p / "in" / "000005.png"), 8,
         r"000005\.png"),
    Case("pictures from a film that is called like one",
         lambda p: copy(p, f"out/{NAMES[0]}"), 4, "", source=f"out/{NAMES[0]}",
         flags="overwrite"),
    Case("pictures from a film within their folder", lambda p: copy(p, "out/film.mp4"), 0,
         source="out/film.mp4", flags="overwrite"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_there_stays_as_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    case.arrange(place)
    before = snapshot(place)
    monkeypatch.chdir(place)
    result = run(case.source, "-o", case.output, "--strength", "0", *FLAGS[case.flags])
    after = snapshot(place)
    made = made_by(case) if case.code in (0, 8) else set()
    assert differences(before, after, may_change=[*case.replaced, *made - set(before)]) == []
    assert result.exit_code == case.code, result.output
    assert re.search(case.says, result.output)
    assert "unexpected" not in result.output
    assert made <= set(after)


def made_by(case: Case) -> set[str]:
    """All that a run that succeeds has made."""
    if not case.output.endswith(".png"):
        return {case.output}
    folder = Path(case.output).parent
    parents = {str(path) for path in (folder, *folder.parents) if str(path) != "."}
    return parents | {str(folder / name) for name in (*NAMES, STAMPS)}


KEPT: dict[str, Callable[[Path], object]] = {
    "a stranger's": lambda p: stranger(p, "out.partial/000001.png"),
    "an empty folder": lambda p: (p / "out.partial").mkdir(),
    "a file": lambda p: stranger(p, "out.partial"),
    "a link to the input's folder": lambda p: soft(p, "out.partial", "in"),
    "a dangling link": lambda p: soft(p, "out.partial", "nowhere"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("what", KEPT)
def test_partial_results_replace_nothing(place: Path, what: str, overwrite: bool) -> None:
    KEPT[what](place)
    before = snapshot(place)

    def progress(now: Progress) -> None:
        if now.frames_done == 2:
            signal.raise_signal(signal.SIGINT)

    with FakeStylizer() as stylizer, pytest.raises(Interrupted) as caught:
        stylize_video(
            place / "in" / "%06d.png",
            place / "out" / "%06d.png",
            None,
            stylizer=stylizer,
            overwrite=overwrite,
            progress=progress,
        )
    assert Path(caught.value.kept).name == "out.partial-2"
    kept = {"out.partial-2", *(f"out.partial-2/{name}" for name in (*NAMES[:2], STAMPS))}
    after = snapshot(place)
    assert differences(before, after, may_change=kept) == []
    assert kept <= set(after)


@pytest.mark.parametrize("how", ["soft", "hard"])
def test_a_contact_sheet_does_not_replace_its_film(
    place: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.chdir(place)
    if how == "soft":
        soft(place, "sheet.png", "src.mp4")
    else:
        link(place, "sheet.png")
    before = snapshot(place)
    result = run("src.mp4", "-o", "sheet.png", "--strength", "0", "--preview", "1", "--overwrite")
    assert differences(before, snapshot(place)) == []
    assert result.exit_code == 4, result.output
