"""``rtstyle image`` as a user meets it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.main import main
from rtstyle.media import read_image
from tests.clips import moving_picture
from tests.nets import make_pack

Run = Callable[..., Result]


def picture(path: Path, index: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(path.suffix, moving_picture((40, 30), index)[..., ::-1])
    assert ok
    path.write_bytes(data.tobytes())
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    pack = make_pack(tmp_path / "negative", name="negative")

    def call(*arguments: object) -> Result:
        line = ["image", *map(str, arguments), "--style", str(pack), "--backend", "onnxruntime"]
        return CliRunner().invoke(main, line)

    return call


def test_one_picture_to_a_file(run: Run, tmp_path: Path) -> None:
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    result = run(source, "-o", target)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].startswith("backend: onnxruntime fp32 on CPU (")
    assert result.stdout.splitlines()[1] == f"{source} -> {target}"
    assert np.array_equal(read_image(target), 255 - read_image(source))


@pytest.mark.parametrize("made", [True, False])
def test_several_pictures_to_a_folder_keep_their_names(
    run: Run, tmp_path: Path, made: bool
) -> None:
    names = ["one.png", "zwei größer.png", "-x.png"]
    sources = [picture(tmp_path / "in" / name, index) for index, name in enumerate(names)]
    folder = tmp_path / "painted"
    if made:
        folder.mkdir()
    result = run(*sources, "-o", folder)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for source in sources:
        assert np.array_equal(read_image(folder / source.name), 255 - read_image(source))


def test_one_picture_to_a_folder(run: Run, tmp_path: Path) -> None:
    source = picture(tmp_path / "in.png")
    assert run(source, "-o", f"{tmp_path}/painted/").exit_code == 0
    assert (tmp_path / "painted" / "in.png").is_file()


def test_a_picture_that_fails_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    sources = [picture(tmp_path / "in" / f"{index}.png", index) for index in range(4)]
    sources[1].write_text("no picture")
    sources[2].unlink()
    folder = tmp_path / "painted"
    result = run(*sources, "-o", folder)
    assert result.exit_code == 3
    assert sorted(path.name for path in folder.iterdir()) == ["0.png", "3.png"]
    told = result.stderr.splitlines()
    assert told[0] == "2 of 4 pictures failed:"
    assert "1.png" in told[1]
    assert "2.png" in told[2]
    assert len(told) == 3


def test_the_exit_code_is_that_of_the_first_failure(run: Run, tmp_path: Path) -> None:
    taken = picture(tmp_path / "painted" / "0.png")
    before = sha256(taken)
    sources = [picture(tmp_path / "in" / "0.png"), tmp_path / "in" / "none.png"]
    assert run(*sources, "-o", tmp_path / "painted").exit_code == 4
    assert run(*reversed(sources), "-o", tmp_path / "painted").exit_code == 3
    assert sha256(taken) == before


@pytest.mark.parametrize("other", ["b/x.png", "b/X.png", "a/x.png"])
def test_two_pictures_of_one_name_are_refused(run: Run, tmp_path: Path, other: str) -> None:
    sources = [picture(tmp_path / "a" / "x.png"), picture(tmp_path / other)]
    result = run(*sources, "-o", tmp_path / "painted")
    assert result.exit_code == 2
    assert "would both become" in result.stderr
    assert not (tmp_path / "painted").exists()


def test_several_pictures_do_not_go_into_one_file(run: Run, tmp_path: Path) -> None:
    sources = [picture(tmp_path / f"{index}.png") for index in range(2)]
    result = run(*sources, "-o", tmp_path / "out.png")
    assert result.exit_code == 2
    assert not (tmp_path / "out.png").exists()


def test_a_picture_that_is_there_is_replaced_only_when_told(run: Run, tmp_path: Path) -> None:
    source, target = picture(tmp_path / "in.png"), picture(tmp_path / "out.png", 5)
    before = sha256(target)
    result = run(source, "-o", target)
    assert (result.exit_code, result.stdout) == (4, "")
    assert sha256(target) == before
    assert run(source, "-o", target, "--overwrite").exit_code == 0
    assert np.array_equal(read_image(target), 255 - read_image(source))


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_a_picture_is_never_written_onto_itself(run: Run, tmp_path: Path, link: str) -> None:
    source, target = picture(tmp_path / "in.png"), tmp_path / "link.png"
    before = sha256(source)
    if link == "symbolic":
        target.symlink_to(source)
    elif link == "hard":
        target.hardlink_to(source)
    else:
        target = source
    result = run(source, "-o", target, "--overwrite")
    assert result.exit_code == 4
    assert "is the input itself" in result.stderr
    assert sha256(source) == before


@pytest.mark.parametrize("name", ["none/out.png", "out.xyz", "out", "in.png/out.png"])
def test_a_target_that_cannot_be_written_is_refused_before_the_style_is_read(
    tmp_path: Path, name: str
) -> None:
    source = picture(tmp_path / "in.png")
    line = ["image", str(source), "-o", str(tmp_path / name), "--style", "no-such-style"]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 4
    assert len(result.stderr.splitlines()) == 1
    assert name.partition("/")[0] in result.stderr


def test_a_bad_picture_is_refused_before_the_style_is_read(tmp_path: Path) -> None:
    line = ["image", str(tmp_path / "none.png"), "-o", str(tmp_path / "out.png")]
    result = CliRunner().invoke(main, [*line, "--style", "no-such-style"])
    assert result.exit_code == 3
    assert result.stderr.startswith("rtstyle: ")
    assert "none.png" in result.stderr


def test_strength_0_gives_the_picture_back(run: Run, tmp_path: Path) -> None:
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    assert run(source, "-o", target, "--strength", "0").exit_code == 0
    assert np.array_equal(read_image(target), read_image(source))
