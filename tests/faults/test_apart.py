"""What a run reads is never written, and what it writes is written once, whatever it is called."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from rtstyle.cli.sample import sample_picture
from rtstyle.media import write_image
from tests.clips import make_clip
from tests.nets import make_pack

NET = ("--style", "negative", "--backend", "onnxruntime")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", frames=2)
    make_pack(tmp_path / "negative", name="negative")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub")
    return tmp_path


def refused(here: Path, codes: tuple[int, ...], *arguments: object) -> None:
    before = tree(here)
    result = run(*arguments)
    assert result.exit_code in codes, result.output
    assert len(result.stderr.splitlines()) == 1 and result.stdout == "", result.output
    assert "unexpected" not in result.stderr
    assert tree(here) == before


def picture(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_image(path, sample_picture()[:32, :32])
    return path


REPORTS = [
    "in.mp4",
    "./sub/../in.mp4",
    "link/../in.mp4",
    "hard.mp4",
    "soft.mp4",
    "out.mp4",
    "OUT.MP4",
    "sub/../out.mp4",
    "there.mp4",
    "negative/style.json",
    "negative/model.onnx",
    "style-link.json",
    "sub",
    "no-folder/r.json",
    "in.mp4/r.json",
    "pipe",
    "socket",
    "x" * 300,
    "",
]


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("report", REPORTS)
def test_a_report_replaces_nothing_of_the_run(here: Path, report: str, many: bool) -> None:
    os.link(here / "in.mp4", here / "hard.mp4")
    (here / "soft.mp4").symlink_to("in.mp4")
    (here / "style-link.json").symlink_to("negative/style.json")
    (here / "there.mp4").symlink_to("out.mp4")
    os.mkfifo(here / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:  # stands in for a device, which is the system's
        bound.bind("socket")
    output: tuple[object, ...] = ("-o", "out.mp4")
    if many:
        make_clip(here / "out.mp4", frames=2)
        report = report.replace("out.mp4", "made/out.mp4").replace("OUT.MP4", "MADE/Out.mp4")
        output = ("out.mp4", "-o", "made/")
        if report == "there.mp4":
            report = "out.mp4"
    refused(here, (2, 4), "video", "in.mp4", *output, *NET, "--report", report, "--overwrite")
    assert not (here / "made").exists()


def test_a_report_elsewhere_is_written(here: Path) -> None:
    result = run("video", "in.mp4", "-o", "out.mp4", *NET, "--report", "link/r.json")
    assert result.exit_code == 0, result.output
    assert json.loads((here / "sub" / "r.json").read_bytes())["frames_out"] == 2
    within = run("video", "in.mp4", "-o", "new/", *NET, "--report", "new/r.json")
    assert within.exit_code == 0, within.output
    assert (here / "new" / "r.json").is_file()


@pytest.mark.parametrize("report", ["shot/000001.png", "shot/timestamps.txt", "link/000002.png"])
def test_a_report_is_none_of_the_numbered_pictures_that_are_read(here: Path, report: str) -> None:
    for number in (1, 2):
        picture(here / "shot" / f"{number:06d}.png")
    (here / "shot" / "timestamps.txt").write_text("# timestamp format v2\n0\n40\n80\n")
    (here / "link").unlink()
    (here / "link").symlink_to("shot")
    refused(
        here,
        (2,),
        *("video", "shot/%06d.png", "-o", "out.mp4", *NET, "--report", report, "--overwrite"),
    )


@pytest.mark.parametrize("report", ["sub/000001.png", "link/timestamps.txt", "sub/000099.PNG"])
def test_a_report_is_none_of_the_numbered_pictures_that_are_written(
    here: Path, report: str
) -> None:
    refused(here, (2,), *("video", "in.mp4", "-o", "sub/%06d.png", *NET, "--report", report))


def test_an_output_is_no_file_of_the_style(here: Path) -> None:
    shutil.copy(here / "negative" / "model.onnx", here / "net.mp4")
    shutil.copy(here / "negative" / "model.onnx", here / "net.png")
    for name in ("demo.mp4", "demo.png"):
        shutil.copy(here / "negative" / "model.onnx", here / "sub" / name)
    os.link(here / "negative" / "style.json", here / "card.mp4")
    picture(here / "a.png")
    over = "--overwrite"
    for arguments in (
        ("video", "in.mp4", "-o", "net.mp4", "--style", "net.mp4", over),
        ("video", "in.mp4", "-o", "card.mp4", "--style", "negative", over),
        ("video", "in.mp4", "-o", "card.mp4", "--style", "negative/style.json", over),
        ("video", "in.mp4", "--preview", "1", "-o", "net.png", "--style", "net.png", over),
        ("image", "a.png", "-o", "net.png", "--style", "net.png", over),
        ("styles", "sheet", "-o", "net.png", "--style", "net.png", over),
        ("styles", "sheet", "-o", "sub/../a.png", "--picture", "a.png", over),
        ("demo", "-o", "link", "--style", "sub/demo.png", over),
        ("demo", "-o", "sub", "--style", "sub/demo.mp4", over),
        ("live", "--camera", "in.mp4", "--output", "net.mp4", "--style", "net.mp4", over),
        ("live", "--camera", "in.mp4", "--record", "net.mp4", "--style", "net.mp4", over),
        ("live", "--camera", "in.mp4", "--record", "sub/../in.mp4", over),
    ):
        refused(here, (4,), *arguments)


def test_a_batch_s_output_is_no_file_of_the_style(here: Path) -> None:
    shutil.copy(here / "negative" / "model.onnx", here / "sub" / "in.mp4")
    refused(here, (4,), "video", "in.mp4", "-o", "link/", "--style", "sub/in.mp4", "--overwrite")


NFC, NFD = (unicodedata.normalize(form, "Größe") for form in ("NFC", "NFD"))
TWINS = [("a", "A"), (NFC, NFD), (NFC.upper(), NFD), ("straße", "STRASSE"), ("a", "a")]


@pytest.mark.parametrize("command", ["video", "image"])
@pytest.mark.parametrize(("one", "other"), TWINS)
def test_two_inputs_whose_results_may_be_one_file(
    here: Path, command: str, one: str, other: str
) -> None:
    """On a file system of Windows or macOS the second would replace the first."""
    ending = "mp4" if command == "video" else "png"
    files = [here / "one" / f"{one}.{ending}", here / "two" / f"{other}.{ending}"]
    picture(here / "p.png")
    for file in files:
        file.parent.mkdir(exist_ok=True)
        shutil.copy(here / ("in.mp4" if command == "video" else "p.png"), file)
    refused(here, (2,), command, *files, "-o", "out/", *NET)
    refused(here, (2,), command, *files, "-o", "out/", *NET, "--overwrite")


@pytest.mark.parametrize("command", ["video", "image"])
def test_two_results_that_are_links_to_one_file(here: Path, command: str) -> None:
    ending = "mp4" if command == "video" else "png"
    source = here / "in.mp4" if command == "video" else picture(here / "in.png")
    for name in ("a", "b"):
        shutil.copy(source, here / f"{name}.{ending}")
        (here / "sub" / f"{name}.{ending}").symlink_to(f"real.{ending}")
    shutil.copy(source, here / "sub" / f"real.{ending}")
    refused(here, (2,), command, f"a.{ending}", f"b.{ending}", "-o", "link/", *NET, "--overwrite")


@pytest.mark.parametrize("command", ["video", "image"])
def test_a_result_that_is_another_s_input(here: Path, command: str) -> None:
    ending = "mp4" if command == "video" else "png"
    source = here / "in.mp4" if command == "video" else picture(here / "in.png")
    for name in ("a", "b"):
        shutil.copy(source, here / f"{name}.{ending}")
    os.link(here / f"b.{ending}", here / "sub" / f"a.{ending}")
    refused(here, (4,), command, f"a.{ending}", f"b.{ending}", "-o", "link/", *NET, "--overwrite")


@pytest.mark.parametrize("other", ["./x.mkv", "sub/../x.mkv", "X.MKV", "link/../x.mkv"])
def test_a_recording_and_an_output_that_are_one_file(here: Path, other: str) -> None:
    refused(here, (2,), "live", "--camera", "in.mp4", "--output", "x.mkv", "--record", other)


def test_a_recording_and_an_output_that_are_links_to_one_file(here: Path) -> None:
    make_clip(here / "x.mkv", frames=1)
    (here / "y.mkv").symlink_to("x.mkv")
    refused(
        here,
        (2,),
        *("live", "--camera", "in.mp4", "--output", "x.mkv", "--record", "y.mkv", "--overwrite"),
    )


def test_a_pack_does_not_replace_the_checkpoint_it_is_made_of(here: Path) -> None:
    photos = here / "photos"
    picture(photos / "a.png")
    refused(
        here,
        (4,),
        *("export", "onnx", "negative/model.onnx", "-o", "sub/../negative"),
        *("--photos", photos, "--overwrite"),
    )


@pytest.mark.parametrize("names", ["losses.png", "samples-000250.png"])
def test_training_does_not_replace_what_it_learns_from(here: Path, names: str) -> None:
    picture(here / "sub" / names)
    picture(here / "photos" / "a.png")
    (here / "vgg.safetensors").write_bytes(b"none")
    common = ("--photos", "photos", "--features", "vgg.safetensors", "-o", "link")
    refused(here, (4,), "train", "johnson", "--style-image", f"sub/{names}", *common)
    within = ("--photos", "photos", "--features", "vgg.safetensors", "-o", "sub/../photos")
    refused(here, (4,), "train", "johnson", "--style-image", "photos/a.png", *within)
