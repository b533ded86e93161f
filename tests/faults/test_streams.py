"""Standard streams that are closed, full or read by nobody never decide what becomes of the work.

Through the real command, since the streams of a test are no real ones.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import av
import pytest

from tests.clips import make_clip
from tests.command import shell_command
from tests.nets import make_pack

BROKEN = {
    "no stdout": '"$@" >&-',
    "no stderr": '"$@" 2>&-',
    "no stdin": '"$@" <&-',
    "none at all": '"$@" <&- >&- 2>&-',
    "full stdout": '"$@" >/dev/full',
    "full stderr": '"$@" 2>/dev/full',
    "both full": '"$@" >/dev/full 2>&1',
    "no reader": '"$@" 2>&1 | true',
    "ascii": 'PYTHONIOENCODING=ascii:strict "$@"',
    "code page": 'PYTHONIOENCODING=cp1252:strict "$@"',
}
each = pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)

HARD = ("none at all", "both full", "no reader", "ascii")
hard = pytest.mark.parametrize("line", [BROKEN[name] for name in HARD], ids=HARD)

STRANGE = "f\u00efl\u6c34m \u202e\x1b[31m\n.mp4"
"""A name that no code page holds and no terminal should be shown."""
BYTES = b"by\xfftes.mp4"

NET = ("--style", "negative", "--backend", "onnxruntime")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    make_clip(folder / "in.mp4", frames=4)
    make_pack(folder / "negative", name="negative")
    return folder


@pytest.fixture
def work(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path


def frames(film: Path) -> int:
    with av.open(str(film)) as container:
        return sum(1 for _ in container.decode(video=0))


def is_clean(said: bytes) -> bool:
    """Whether nothing in it moves a cursor."""
    return b"Traceback" not in said and b"\x1b" not in said and b"unexpected" not in said


@each
def test_a_film_is_finished_and_reported(work: Path, line: str) -> None:
    (work / "in.mp4").rename(work / STRANGE)
    done = shell_command(
        line, "video", STRANGE, "-o", "out.mp4", *NET, "--report", "report.json", folder=work
    )
    assert done.returncode == 0, done.stderr
    assert is_clean(done.stdout + done.stderr)
    assert frames(work / "out.mp4") == 4
    report = json.loads((work / "report.json").read_bytes())
    assert (report["frames_out"], report["input"]) == (4, STRANGE)


@pytest.mark.parametrize("jobs", [1, 2])
@hard
def test_a_batch_goes_on_to_its_end(work: Path, line: str, jobs: int) -> None:
    films = work / "films"
    films.mkdir()
    for name in (STRANGE.encode(), BYTES, b"last.mp4"):
        shutil.copy(work / "in.mp4", films / os.fsdecode(name))
    (films / "a-broken.mp4").write_bytes(b"no film")
    done = shell_command(
        line,
        *("video", "films", "-o", "out", *NET, "--jobs", jobs, "--report", "report.json"),
        folder=work,
    )
    assert done.returncode == 3, done.stderr
    assert is_clean(done.stdout + done.stderr)
    records = json.loads((work / "report.json").read_bytes())
    assert sorted(record["state"] for record in records) == ["failed", *["finished"] * 3]
    made = [work / "out" / name for name in (STRANGE, os.fsdecode(BYTES), "last.mp4")]
    assert [frames(film) for film in made] == [4, 4, 4]


@hard
def test_pictures_are_written(work: Path, line: str) -> None:
    from rtstyle.cli.sample import sample_picture
    from rtstyle.media import write_image

    write_image(work / "one.png", sample_picture()[:64, :64])
    write_image(work / "\u6c34\x1b[2J.png", sample_picture()[:64, :64])
    done = shell_command(
        line, "image", "one.png", "\u6c34\x1b[2J.png", "-o", "out/", *NET, folder=work
    )
    assert done.returncode == 0, done.stderr
    assert is_clean(done.stdout + done.stderr)
    assert len(list((work / "out").iterdir())) == 2


@hard
def test_verify_tells_its_verdict_by_its_exit_code(work: Path, line: str) -> None:
    short = make_clip(work / "short.mp4", frames=2)
    same = shell_command(line, "verify", "in.mp4", "in.mp4", folder=work)
    lost = shell_command(line, "verify", "in.mp4", short.name, folder=work)
    assert (same.returncode, lost.returncode) == (0, 8), (same.stderr, lost.stderr)
    assert is_clean(same.stdout + same.stderr + lost.stdout + lost.stderr)


def test_a_demo_is_drawn(work: Path) -> None:
    line = '"$@" <&- >&- 2>/dev/full'
    done = shell_command(line, "demo", "--style", "negative", "-o", "demo", folder=work)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (work / "demo").iterdir()) == [
        "demo.mp4",
        "demo.png",
        "sample.mp4",
    ]


LISTS = [
    ("styles", "list"),
    ("styles", "list", "--json"),
    ("doctor",),
    ("--help",),
    ("video", "--help"),
    ("verify", "in.mp4", "in.mp4", "--json"),
]


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
def test_what_is_only_said_has_an_exit_code_when_it_cannot_be(
    work: Path, arguments: tuple[str, ...]
) -> None:
    for line, code in (('"$@" >&-', 4), ('"$@" >/dev/full', 4), ('"$@" | true', 141)):
        done = shell_command(line, *arguments, folder=work)
        assert done.returncode == code, (line, done.stderr)
        lines = done.stderr.splitlines()
        assert len(lines) == (1 if code == 4 else 0)
        assert not lines or lines[0].startswith(b"rtstyle: standard output cannot be written")
    done = shell_command('"$@" <&- 2>/dev/full', *arguments, folder=work)
    assert (done.returncode, bool(done.stdout)) == (0, True)


@pytest.mark.parametrize("code", ["ascii", "cp1252", "utf-8"])
def test_json_is_json_in_any_code_page(work: Path, code: str) -> None:
    pack = make_pack(work / "styles" / "odd", name="odd")
    card = json.loads((pack / "style.json").read_text())
    (pack / "style.json").write_text(json.dumps({**card, "title": "\u6c34 \U0001f30a \u00ef"}))
    done = shell_command(
        f'PYTHONIOENCODING={code}:strict "$@"',
        *("styles", "list", "--json"),
        folder=work,
        variables={"RTSTYLE_STYLES": str(work / "styles")},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    titles = {style["name"]: style["title"] for style in json.loads(done.stdout.decode(code))}
    assert titles["odd"] == "\u6c34 \U0001f30a \u00ef"


def test_a_question_without_anybody_to_answer_it_is_a_refusal(work: Path) -> None:
    done = shell_command('"$@" <&-', "styles", "pull", "face-portrait-v2", folder=work)
    assert done.returncode == 2
    assert b"--accept-licence" in done.stderr


def test_no_message_gets_into_a_film_that_took_a_missing_stream_s_number(work: Path) -> None:
    """Where numbers 1 and 2 are free, the next file that is opened would be one of them."""
    ended = shell_command(
        '"$@" <&- >&- 2>&-', "video", "in.mp4", "-o", "whole.mp4", *NET, folder=work
    )
    plain = shell_command('"$@"', "video", "in.mp4", "-o", "plain.mp4", *NET, folder=work)
    assert (ended.returncode, plain.returncode) == (0, 0)
    assert (work / "whole.mp4").read_bytes() == (work / "plain.mp4").read_bytes()
