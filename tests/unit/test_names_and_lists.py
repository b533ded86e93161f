"""Names as long as the system allows, and lists of endings that hide nothing uncounted."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from rtstyle.cli.main import main
from rtstyle.errors import OutputNotWritable
from rtstyle.media import EncodeOptions, check_output, name_excess
from rtstyle.pipeline import plan_batch
from rtstyle.web.child import Order
from rtstyle.web.jobs import Job
from rtstyle.web.process import run_child
from rtstyle.web.schema import JobOptions
from rtstyle.web.spool import Upload
from tests.clips import make_clip, moving_picture
from tests.nets import make_pack
from tests.pictures import frames_of, moving

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    pack = make_pack(tmp_path / "negative", name="negative")

    def call(command: str, *arguments: object) -> Result:
        line = [command, *map(str, arguments), "--style", str(pack), "--backend", "onnxruntime"]
        return CliRunner().invoke(main, line)

    return call


def long_name(ending: str, size: int = 255) -> str:
    """A name of ``size`` bytes: Japanese, three bytes a character, filled up with x."""
    room = size - len(ending)
    return "長" * (room // 3) + "x" * (room % 3) + ending


@pytest.mark.parametrize("size", [230, 250, 252, 253, 255])
@pytest.mark.parametrize("ending", [".jpg", ".png", ".gif"])
def test_a_picture_of_a_long_name_is_painted(
    run: Run, tmp_path: Path, ending: str, size: int
) -> None:
    source, folder = tmp_path / long_name(ending, size), tmp_path / "out"
    folder.mkdir()
    Image.fromarray(moving_picture((40, 30), 1)).save(source)
    result = run("image", source, "-o", folder / source.name)
    assert result.exit_code == 0, result.output
    result = run("image", source, "-o", folder, "--overwrite")
    assert result.exit_code == 0, result.output
    assert os.listdir(folder) == [source.name]


@pytest.mark.parametrize("command", ["image", "video"])
def test_a_name_that_is_too_long_is_refused_before_anything_is_done(
    run: Run, tmp_path: Path, command: str
) -> None:
    if command == "image":
        source, ending = tmp_path / "in.png", ".png"
        Image.fromarray(moving_picture((40, 30), 1)).save(source)
    else:
        source, ending = make_clip(tmp_path / "in.mp4", frames=2), ".mp4"
    result = run(command, source, "-o", tmp_path / long_name(ending, 258))
    assert result.exit_code == 4
    assert "the name is too long by 3 bytes; choose a shorter one" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "backend" not in result.output


def test_how_much_a_name_is_too_long(tmp_path: Path) -> None:
    assert name_excess(tmp_path / long_name(".png", 255)) == 0
    assert name_excess(tmp_path / long_name(".png", 256)) == 1
    assert name_excess(tmp_path / "none" / "a.png") < 0
    with pytest.raises(OutputNotWritable, match="too long by 1 byte; choose"):
        check_output(tmp_path / long_name(".mp4", 256), source=None, overwrite=False)


def test_numbered_pictures_of_too_long_a_name_are_refused_at_once(run: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    pattern = tmp_path / "out" / f"{'x' * 248}-%06d.png"
    result = run("video", clip, "-o", pattern)
    assert result.exit_code == 4
    assert "the name is too long by 4 bytes" in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_named_after_a_film_is_cut_to_fit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    film = make_clip(films / long_name(".ts", 255), frames=2)
    monkeypatch.chdir(tmp_path)
    result = run("video", film, "--preview", "1")
    assert result.exit_code == 0, result.output
    sheets = list(tmp_path.glob("*-preview.png"))
    assert len(sheets) == 1
    (job,) = plan_batch([films], tmp_path / "out", EncodeOptions(), container="mkv").jobs
    assert job.target.suffix == ".mkv"
    assert name_excess(job.target) <= 0
    result = run("video", films, "-o", tmp_path / "out", "--container", "mkv")
    assert result.exit_code == 0, result.output
    assert os.listdir(tmp_path / "out") == [job.target.name]


def test_a_picture_that_becomes_another_kind_is_cut_to_fit(run: Run, tmp_path: Path) -> None:
    """One whose own kind cannot be written gets .png."""
    source = tmp_path / long_name(".jp", 255)
    source.write_bytes(b"")
    Image.fromarray(moving_picture((40, 30), 1)).save(source, "PNG")
    result = run("image", source, "-o", f"{tmp_path}/out/")
    assert result.exit_code == 0, result.output
    (made,) = os.listdir(tmp_path / "out")
    assert made.endswith(".png")
    assert len(os.fsencode(made)) <= 255


def test_a_download_of_the_page_has_a_name_that_can_be_saved(tmp_path: Path) -> None:
    options = JobOptions(kind="image", upload="0" * 32, style="great-wave")
    upload = Upload("0" * 32, "長" * 119 + ".png", tmp_path / "a.png", 1, True)
    job = Job("1" * 32, options, upload, tmp_path / "b.png")
    assert len(job.result_name.encode()) <= 255
    assert job.result_name.endswith("-great-wave.png")


def test_a_report_of_too_long_a_name_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    report = tmp_path / long_name(".json", 256)
    result = run("video", clip, "-o", tmp_path / "o.mp4", "--report", report)
    assert result.exit_code == 4
    assert "the name is too long by 1 byte" in result.stderr
    assert not (tmp_path / "o.mp4").exists()


def test_a_batch_counts_what_it_leaves_aside(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    (folder / "more").mkdir(parents=True)
    make_clip(folder / "a.mp4", frames=2)
    for name in ("b.gif", "c.GIF", "more/d.webp", "notes", ".hidden.gif"):
        (folder / name).write_bytes(b"x")
    result = run("video", folder, "-o", tmp_path / "out", "--report", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    (note,) = [line for line in result.stdout.splitlines() if "left aside" in line]
    assert note.startswith(f"note: 4 files in {str(folder)!r} left aside, since their names do not")
    assert "(2 .gif, 1 without an ending, 1 .webp); name one itself to convert it" in note
    assert len(json.loads((tmp_path / "r.json").read_text())) == 1


def test_a_folder_of_films_alone_says_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    make_clip(tmp_path / "films" / "a.mp4", frames=2)
    result = run("video", tmp_path / "films", "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "left aside" not in result.output


def test_the_pages_process_paints_all_frames_and_tells_what_is_otherwise(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "negative", name="negative")
    source = moving(tmp_path / "in.gif")
    for ending, lossy, count in ((".png", False, 4), (".webp", False, 4), (".jpg", True, 1)):
        order = Order("image", str(source), str(tmp_path / f"out{ending}"), str(pack))
        said = asyncio.run(run_child(order))
        assert said["word"] == "done", said
        assert said["lossy"] == lossy
        assert len(frames_of(tmp_path / f"out{ending}")) == count
        assert any("only the first is painted" in note for note in said["notes"]) == lossy
