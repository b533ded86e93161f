"""File systems without hard links (FAT, many network drives): every command still writes its files.

Each command runs in a process of its own, in which the calls that make links and that rename only
onto free names fail as such systems let them fail: by strace where it works, else by patching.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from rtstyle.media import write_image
from tests.clips import make_clip
from tests.nets import invert_net, make_pack

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = """
import ctypes, errno, os, sys
number = getattr(errno, sys.argv.pop(1))
def refused(*_, **__):
    raise OSError(number, os.strerror(number))
os.link = refused
import rtstyle.files
def answers(*_):
    ctypes.set_errno(number)
    return -1
rtstyle.files._exclusive_rename = lambda: answers
import runpy
runpy.run_module("rtstyle.cli.main", run_name="__main__")
"""


@functools.cache
def traced() -> bool:
    """Whether strace can make calls fail here."""
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "inject=link:error=EPERM", "true"]
    return subprocess.run(command, capture_output=True, timeout=20).returncode == 0


WAYS = ["patched EPERM", "patched EOPNOTSUPP", "patched ENOSYS", "traced EPERM"]
BEST = "traced EPERM" if traced() else "patched EPERM"


def rtstyle(way: str, *arguments: str | Path, cwd: Path) -> str:
    """Run the command where there are no hard links; its output, once it has succeeded."""
    how, number = way.split()
    given = [str(argument) for argument in arguments]
    command = [sys.executable, "-c", WITHOUT, number, *given]
    if how == "traced":
        if not traced():
            pytest.skip("strace cannot trace here")
        failing = f"inject=link,linkat,renameat2:error={number}"
        trace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=link,linkat,renameat2"]
        command = [*trace, "-e", failing, sys.executable, "-m", "rtstyle.cli.main", *given]
    # Nets this small lose more to waiting threads than they gain, above all traced ones.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return make_pack(tmp_path / "given" / "pack", name="negative", model=invert_net())


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "given" / "picture.png"
    file.parent.mkdir(exist_ok=True)
    write_image(file, np.full((48, 64, 3), 90, np.uint8))
    return file


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "here"
    folder.mkdir()
    yield folder
    parts = [path for path in folder.rglob("*") if path.name.endswith(".part")]
    assert not parts


@pytest.mark.parametrize("way", WAYS)
def test_a_picture(way: str, here: Path, pack: Path, picture: Path) -> None:
    rtstyle(way, "image", picture, "-o", "out.png", "--style", pack, cwd=here)
    assert (here / "out.png").stat().st_size > 0
    before = (here / "out.png").stat()
    rtstyle(way, "image", picture, "-o", "out.png", "--style", pack, "--overwrite", cwd=here)
    assert (here / "out.png").stat().st_ino != before.st_ino


def test_the_demo(here: Path, pack: Path) -> None:
    rtstyle(BEST, "demo", "--style", pack, cwd=here)
    assert sorted(path.name for path in here.iterdir()) == ["demo.mp4", "demo.png", "sample.mp4"]


def test_a_preview_a_film_and_its_report(here: Path, pack: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", audio=True)
    rtstyle(BEST, "video", clip, "--preview", "2", "--style", pack, "-o", "look.png", cwd=here)
    film = ("video", clip, "--style", pack, "-o", "out.mp4", "--report", "report.json")
    rtstyle(BEST, *film, cwd=here)
    found = sorted(path.name for path in here.iterdir())
    assert found == ["look.png", "out.mp4", "report.json"]


def test_styles(here: Path, picture: Path) -> None:
    onnx.save(onnx.load_from_string(invert_net()), str(here / "net.onnx"))
    sizes = ("--size-multiple", "1", "--layout", "nhwc", "--range", "0..255")
    rtstyle(BEST, "styles", "import", "net.onnx", "--as", "mine", *sizes, cwd=here)
    assert "mine" in rtstyle(BEST, "styles", "list", cwd=here)
    sheet = ("styles", "sheet", "--picture", picture, "--style", "mine", "-o", "sheet.png")
    rtstyle(BEST, *sheet, cwd=here)
    assert (here / "sheet.png").stat().st_size > 0
    rtstyle(BEST, "styles", "remove", "mine", cwd=here)
    assert "mine" not in rtstyle(BEST, "styles", "list", cwd=here)
