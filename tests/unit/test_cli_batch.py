"""``rtstyle video`` with many films: where each goes, what fails, what is left alone."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rtstyle.backends import FakeStylizer
from rtstyle.cli.main import main
from rtstyle.errors import DiskFull
from rtstyle.pipeline import brush, stylize_video
from tests.clips import make_clip, read_frames, video_pts
from tests.nets import make_pack
from tests.unit.test_pipeline_run import cut_clip

Run = Callable[..., Result]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[FakeStylizer]:
    """Every net that was loaded; all of them are fakes."""
    made: list[FakeStylizer] = []

    def load(spec: Any, **options: object) -> FakeStylizer:  # noqa: ANN401 - a spec
        del options
        made.append(FakeStylizer(spec))
        return made[-1]

    monkeypatch.setattr(brush, "load_stylizer", load)
    return made


@pytest.fixture
def run(tmp_path: Path, loads: list[FakeStylizer]) -> Run:
    pack = make_pack(tmp_path / "negative", name="negative")

    def call(*arguments: object) -> Result:
        line = ["video", *map(str, arguments), "--style", str(pack), "--codec", "h264"]
        return CliRunner().invoke(main, line)

    return call


def films(folder: Path, *names: str, frames: int = 3) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_clip(path, frames=frames, size=(32, 24))
    return folder


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_folder_is_mirrored_with_one_net(
    run: Run, tmp_path: Path, loads: list[FakeStylizer]
) -> None:
    source = films(tmp_path / "in", "a.mp4", "b/c.MOV.mkv", "b/d.avi", "e/f/g.mov", ".h/i.mp4")
    (source / "notes.txt").write_text("no film")
    (source / "._a.mp4").write_bytes(b"what macOS leaves")
    result = run(source, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    # AVI is read, but not written.
    assert tree(tmp_path / "out") == ["a.mp4", "b/c.MOV.mkv", "b/d.mkv", "e/f/g.mov"]
    assert video_pts(tmp_path / "out" / "e" / "f" / "g.mov") == video_pts(source / "e/f/g.mov")
    assert len(loads) == 1
    assert loads[0].closed
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"note: 1 file in {str(source)!r} left aside")
    assert lines[1].startswith("backend: ")
    assert lines[3].startswith(f"file 2 of 4: {source / 'b/c.MOV.mkv'} -> ")
    assert lines[-1] == f"done: 4 of 4 videos -> {tmp_path / 'out'}"


def test_results_inside_the_source_folder_are_not_converted_again(run: Run, tmp_path: Path) -> None:
    source = films(tmp_path / "in", "a.mp4")
    for _ in range(2):
        assert run(source, "-o", source / "out", "--overwrite").exit_code == 0
    assert tree(source) == ["a.mp4", "out/a.mp4"]
    same = run(source, "-o", source, "--overwrite")
    assert same.exit_code == 2
    assert "the folder of the films itself" in same.stderr


@pytest.mark.parametrize(
    ("codec", "options", "name"),
    [
        ("h264", (), "a.mp4"),
        ("h264", ("--container", "mov"), "a.mov"),
        ("ffv1", (), "a.mkv"),
    ],
)
def test_the_container_follows_the_film_the_codec_or_the_wish(
    run: Run, tmp_path: Path, codec: str, options: tuple[str, ...], name: str
) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    (tmp_path / "out").mkdir()
    # The last --codec on a line counts, so run()'s own stands before the test's.
    line = ["video", str(clip), "-o", str(tmp_path / "out"), *options, "--codec", codec]
    result = CliRunner().invoke(main, [*line, "--style", str(tmp_path / "negative")])
    assert result.exit_code == 0, result.output
    assert tree(tmp_path / "out") == [name]


def test_a_failure_in_the_middle_stops_nothing(run: Run, tmp_path: Path) -> None:
    source = films(tmp_path / "in", "a.mp4", "c.mp4")
    (source / "b.mp4").write_text("no film at all " * 50)
    report = tmp_path / "report.json"
    result = run(source, tmp_path / "no-such.mp4", "-o", f"{tmp_path}/out/", "--report", report)
    assert result.exit_code == 3
    assert tree(tmp_path / "out") == ["a.mp4", "c.mp4"]
    assert "done: 2 of 4 videos" in result.stdout
    told = result.stderr.splitlines()
    assert told[-3] == "2 of 4 videos failed:"
    assert told[-2].startswith(f"  {source / 'b.mp4'}: ")
    assert "is not a video file" in told[-2]
    assert "no such file" in told[-1]
    records = json.loads(report.read_text(encoding="utf-8"))
    assert [r["state"] for r in records] == ["finished", "failed", "finished", "failed"]
    assert (records[0]["frames_out"], records[1]["exit_code"]) == (3, 3)
    assert records[2]["output"] == str(tmp_path / "out" / "c.mp4")


def test_an_unexpected_error_costs_one_film(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, output: Path, **options: Any) -> object:  # noqa: ANN401 - any option
        if source.name == "a.mp4":
            raise ZeroDivisionError("a defect")
        return stylize_video(source, output, **options)

    monkeypatch.setattr("rtstyle.cli.video.stylize_video", fail)
    result = run(films(tmp_path / "in", "a.mp4", "b.mp4"), "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError: a defect" in result.stderr
    assert tree(tmp_path / "out") == ["b.mp4"]


def test_a_full_disk_ends_the_batch(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*paths: Path, **options: object) -> object:
        raise DiskFull("no room left")

    monkeypatch.setattr("rtstyle.cli.video.stylize_video", fail)
    report = tmp_path / "report.json"
    source = films(tmp_path / "in", "a.mp4", "b.mp4", "c.mp4")
    result = run(source, "-o", tmp_path / "out", "--report", report)
    assert result.exit_code == 4
    assert result.stdout.splitlines()[-1].endswith("; 2 not begun")
    states = [record["state"] for record in json.loads(report.read_text(encoding="utf-8"))]
    assert states == ["failed", "not begun", "not begun"]


def test_losses_alone_are_8_and_a_failure_outweighs_them(run: Run, tmp_path: Path) -> None:
    cut = cut_clip(tmp_path, frames=60, share=0.8)
    whole = make_clip(tmp_path / "fine.mp4", frames=3)
    result = run(cut, whole, "-o", tmp_path / "out")
    assert result.exit_code == 8
    assert f"note: {cut}: only " in result.stdout
    assert "1 with loss of frames" in result.stdout
    result = run(cut, tmp_path / "none.mp4", "-o", tmp_path / "out", "--overwrite")
    assert result.exit_code == 3


def test_what_is_there_is_refused_before_anything_starts(
    run: Run, tmp_path: Path, loads: list[FakeStylizer]
) -> None:
    source, out = films(tmp_path / "in", "a.mp4", "b.mp4"), tmp_path / "out"
    out.mkdir()
    (out / "b.mp4").write_bytes(b"precious")
    refused = run(source, "-o", out)
    assert refused.exit_code == 4
    assert str(out / "b.mp4") in refused.stderr
    assert "--skip-existing" in refused.stderr
    assert (tree(out), loads) == (["b.mp4"], [])
    report = tmp_path / "report.json"
    skipped = run(source, "-o", out, "--skip-existing", "--report", report)
    assert skipped.exit_code == 0, skipped.output
    assert (out / "b.mp4").read_bytes() == b"precious"
    assert "done: 1 of 1 video -> " in skipped.stdout
    assert "; 1 skipped, being there already" in skipped.stdout
    records = json.loads(report.read_text(encoding="utf-8"))
    assert {Path(r["input"]).name: r["state"] for r in records} == {
        "a.mp4": "finished",
        "b.mp4": "skipped",
    }
    again = run(source, "-o", out, "--skip-existing")
    assert (again.exit_code, len(loads)) == (0, 1)
    assert run(source, "-o", out, "--overwrite").exit_code == 0
    assert len(read_frames(out / "b.mp4")) == 3


def test_clashes_are_refused_and_repetition_is_not(run: Run, tmp_path: Path) -> None:
    one, two = films(tmp_path / "one", "a.mp4"), films(tmp_path / "two", "A.mp4")
    clash = run(one, two, "-o", tmp_path / "out")
    assert clash.exit_code == 2
    assert "would both become" in clash.stderr
    films(one, "a.mkv")
    assert run(one, "-o", tmp_path / "out", "--container", "mkv").exit_code == 2
    assert not (tmp_path / "out").exists()
    twice = run(one / "a.mp4", one, "-o", tmp_path / "out")
    assert twice.exit_code == 0, twice.output
    assert tree(tmp_path / "out") == ["a.mkv", "a.mp4"]


def test_no_input_is_ever_an_output(run: Run, tmp_path: Path) -> None:
    source, out = films(tmp_path / "in", "sub/a.mp4"), films(tmp_path / "out", "sub/a.mp4")
    before = (out / "sub" / "a.mp4").read_bytes()
    for option in ("--overwrite", "--skip-existing"):
        result = run(source, out / "sub" / "a.mp4", "-o", out, option)
        assert result.exit_code == 4
        assert "is an input itself" in result.stderr
    assert tree(out) == ["sub/a.mp4"]
    assert (out / "sub" / "a.mp4").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["in", "-o", "out", "--overwrite", "--skip-existing"], 2),
        (["in", "-o", "out", "--start", "3", "--end", "2"], 2),
        (["in", "-o", "out", "--quality", "99"], 2),
        (["in", "-o", "out", "--container", "webm"], 4),
        (["in", "-o", "none/out"], 4),
        (["in", "-o", "in/a.mp4/"], 4),
        (["in", "-o", "out", "--report", "in/a.mp4"], 2),
        (["in/a.mp4", "in/a.mp4", "-o", "out.mp4"], 2),
        (["in/a.mp4", "-o", "b.mp4", "--skip-existing"], 2),
        (["in/a.mp4", "-o", "b.mp4", "--container", "mp4"], 2),
        (["empty", "-o", "out"], 3),
    ],
)
def test_what_cannot_be_is_refused_first(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loads: list[FakeStylizer],
    arguments: list[str],
    code: int,
) -> None:
    films(tmp_path / "in", "a.mp4")
    (tmp_path / "empty").mkdir()
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert (tree(tmp_path), loads) == (before, [])


def test_an_unknown_style_leaves_no_folder(tmp_path: Path) -> None:
    source = films(tmp_path / "in", "a.mp4")
    line = ["video", str(source), "-o", str(tmp_path / "out"), "--style", "no-such-style"]
    assert CliRunner().invoke(main, line).exit_code == 5
    assert not (tmp_path / "out").exists()


def test_an_interrupt_keeps_what_is_finished_and_the_partial_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = films(tmp_path / "in", "a.mp4", "b.mp4", "c.mp4", frames=30)

    def convert(source: Path, output: Path, **options: Any) -> object:  # noqa: ANN401 - any option
        def progress(now: Any) -> None:  # noqa: ANN401 - Progress
            if source.name == "b.mp4" and now.frames_done == 10:
                signal.raise_signal(signal.SIGINT)

        return stylize_video(source, output, **{**options, "progress": progress})

    monkeypatch.setattr("rtstyle.cli.video.stylize_video", convert)
    report, out = tmp_path / "report.json", tmp_path / "out"
    result = run(source, "-o", out, "--report", report)
    assert result.exit_code == 130
    assert tree(out) == ["a.mp4", "b.partial.mp4"]
    assert len(read_frames(out / "b.partial.mp4")) == 10
    assert result.stderr.splitlines()[-1] == (
        "rtstyle: file 2 of 3: interrupted after 10 of 30 frames; what was done is kept as "
        "b.partial.mp4; 1 video finished, and the same command with --resume goes on with the rest"
    )
    states = [record["state"] for record in json.loads(report.read_text(encoding="utf-8"))]
    assert states == ["finished", "interrupted", "not begun"]
    monkeypatch.setattr("rtstyle.cli.video.stylize_video", stylize_video)
    assert run(source, "-o", out, "--resume").exit_code == 0
    assert tree(out) == ["a.mp4", "b.mp4", "b.partial.mp4", "c.mp4"]
