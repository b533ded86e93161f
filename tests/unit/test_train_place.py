"""A training writes into a folder of its own: what others have there, or what it reads, stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from rtstyle.errors import OutputExists, OutputNotWritable
from rtstyle.nets.animegan import AnimeGenerator
from rtstyle.train import JohnsonTrainer, JohnsonTraining
from rtstyle.train.checkpoint import save_weights
from rtstyle.train.teacher import Teacher
from tests.features import feature_file, photo_folder

NAMES = ["resume.pt", "checkpoint.safetensors", "losses.csv", "losses.png", "samples-000002.png"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder with photos, a painting and features."""
    folder = tmp_path / "given"
    folder.mkdir()
    photo_folder(folder / "photos")
    cv2.imwrite(str(folder / "painting.png"), np.full((64, 80, 3), 90, np.uint8))
    feature_file(folder).rename(folder / "features.safetensors")
    return folder


def johnson(given: Path, output: Path, *more: str) -> Result:
    arguments = [
        "train", "johnson",
        "--style-image", str(given / "painting.png"),
        "--photos", str(given / "photos"),
        "--features", str(given / "features.safetensors"),
        "-o", str(output),
        "--width", "4", "--iterations", "2", "--batch", "1", "--size", "64",
        "--style-size", "64", "--precision", "fp32",
    ]  # fmt: skip
    return CliRunner().invoke(main, [*arguments, *more])


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Inode and content of all that is below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (os.lstat(path).st_ino, data)
    return found


@pytest.mark.parametrize("name", [*NAMES, "pack/model.onnx", "pack/style.json"])
@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_a_stranger_s_files_stay(given: Path, tmp_path: Path, name: str, kind: str) -> None:
    output, victim = tmp_path / "run", tmp_path / "victim"
    victim.write_bytes(b"iteration of mine")
    place = output / name
    place.parent.mkdir(parents=True)
    if kind == "file":
        place.write_bytes(b"mine")
    elif kind == "link":
        place.symlink_to(victim)
    else:
        os.mkfifo(place)
    before = state(output)
    result = johnson(given, output)
    assert result.exit_code == 4, result.output
    assert "give another -o" in result.output
    assert "delete" not in result.output
    assert state(output) == before
    assert victim.read_bytes() == b"iteration of mine"


def test_a_run_is_gone_on_with_and_begun_anew_in_its_own_folder(
    given: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    assert johnson(given, output).exit_code == 0
    assert johnson(given, output).exit_code == 0
    (output / "resume.pt").unlink()
    (output / "notes.txt").write_text("mine")
    result = johnson(given, output)
    assert result.exit_code == 0, result.output
    assert (output / "notes.txt").read_text() == "mine"
    assert {*NAMES, "pack", "notes.txt"} == {path.name for path in output.iterdir()}


def test_a_run_writes_its_files_without_hard_links(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr("rtstyle.files._exclusive_rename", lambda: None)
    output = tmp_path / "run"
    for _ in range(2):
        result = johnson(given, output)
        assert result.exit_code == 0, result.output
        assert {*NAMES, "pack"} == {path.name for path in output.iterdir()}
    arguments = ["train", "smooth-edges", str(given / "photos"), "-o", str(tmp_path / "smooth")]
    assert CliRunner().invoke(main, arguments).exit_code == 0


@pytest.mark.parametrize("name", ["resume.pt", "losses.png", "pack/model.onnx"])
def test_a_link_among_a_run_s_files_is_not_replaced(given: Path, tmp_path: Path, name: str) -> None:
    output, victim = tmp_path / "run", tmp_path / "victim"
    assert johnson(given, output).exit_code == 0
    (output / name).rename(victim)
    (output / name).symlink_to(victim)
    before, data = state(output), victim.read_bytes()
    assert johnson(given, output).exit_code == 4
    assert state(output) == before
    assert victim.read_bytes() == data


@pytest.mark.parametrize("where", ["photos", "photos/run"])
def test_a_run_does_not_write_among_its_photos(given: Path, where: str) -> None:
    before = state(given)
    result = johnson(given, given / where)
    assert result.exit_code == 4
    assert "\n" not in result.output.strip()
    assert state(given) == before


@pytest.mark.parametrize("option", ["--initial", "--style-image", "--features"])
def test_what_a_run_reads_is_not_written_over(given: Path, tmp_path: Path, option: str) -> None:
    output = tmp_path / "run"
    assert johnson(given, output).exit_code == 0
    taken = {"--style-image": "losses.png", "--features": "samples-000002.png"}.get(option)
    if taken is not None:
        read = (
            given / {"--style-image": "painting.png", "--features": "features.safetensors"}[option]
        )
        (output / taken).unlink()
        (output / taken).hardlink_to(read)
    else:
        (output / "resume.pt").unlink()
    before = state(output)
    result = johnson(given, output, *(() if taken else (option, str(output))))
    assert result.exit_code == 4, result.output
    assert "\n" not in result.output.strip()
    assert state(output) == before


def test_what_appears_in_the_middle_of_a_run_stays(given: Path, tmp_path: Path) -> None:
    settings = JohnsonTraining(
        style_image=given / "painting.png",
        photos=given / "photos",
        features=given / "features.safetensors",
        output=tmp_path / "run",
        width=4,
        blocks=1,
        iterations=2,
        batch=1,
        size=64,
        style_size=64,
    )
    run = JohnsonTrainer(settings).run()
    next(run)
    (tmp_path / "run" / "resume.pt").write_bytes(b"mine")
    with pytest.raises(OutputExists, match=r"resume\.pt"):
        list(run)
    assert (tmp_path / "run" / "resume.pt").read_bytes() == b"mine"


def test_a_teacher_s_cache_follows_and_replaces_no_link(tmp_path: Path) -> None:
    save_weights(tmp_path / "net.safetensors", AnimeGenerator(4, 1), iteration=1)
    cache, victim = tmp_path / "cache", tmp_path / "victim"
    teacher = Teacher(tmp_path / "net.safetensors", cache)
    photos = np.full((1, 48, 48, 3), 90, np.uint8)
    teacher(photos)
    (kept,) = cache.iterdir()
    kept.rename(victim)
    kept.symlink_to(victim)
    data = victim.read_bytes()
    with pytest.raises(OutputNotWritable, match="cannot be written"):
        teacher(photos)
    assert kept.is_symlink()
    assert victim.read_bytes() == data


@pytest.mark.parametrize("where", [".", "smooth"])
def test_smooth_pictures_are_not_written_among_those_that_are_read(
    tmp_path: Path, where: str
) -> None:
    pictures = photo_folder(tmp_path / "anime", count=3)
    before = state(pictures)
    arguments = ["train", "smooth-edges", str(pictures), "-o", str(pictures / where)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 4, result.output
    assert state(pictures) == before


def test_smooth_pictures_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    pictures = photo_folder(tmp_path / "anime", count=3)
    (tmp_path / "file").touch()
    arguments = ["train", "smooth-edges", str(pictures), "-o", str(tmp_path / "file" / "smooth")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 4, result.output
    assert "\n" not in result.output.strip()
