from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rtstyle.cli import demo as demo_module
from rtstyle.cli.main import main
from rtstyle.cli.sample import SAMPLE_RATE, sample_frames, sample_sound
from rtstyle.cli.sheet import before_after
from rtstyle.media import read_image
from rtstyle.types import Pixels, Size
from tests.clips import audio_packets, read_frames, video_pts
from tests.nets import invert_net, make_pack

SMALL = Size(64, 48)
FRAMES = 60
FILES = ["demo.mp4", "demo.png", "sample.mp4"]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return make_pack(tmp_path / "pack", name="negative", model=invert_net())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same scene, small and short, so that the demo takes a moment."""
    monkeypatch.setattr(demo_module, "sample_frames", lambda: sample_frames(FRAMES, size=SMALL))
    monkeypatch.setattr(
        demo_module, "sample_sound", lambda: sample_sound(float(FRAMES / SAMPLE_RATE))
    )


def run(pack: Path, folder: Path, *more: str) -> Result:
    arguments = ["demo", "--style", str(pack), "-o", str(folder), *more]
    return CliRunner().invoke(main, arguments)


def listing(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.usefixtures("small")
def test_the_demo_writes_a_clip_its_stylized_twin_and_a_comparison(
    pack: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    result = run(pack, folder)
    assert result.exit_code == 0, result.output
    assert listing(folder) == FILES
    sample, stylized = folder / "sample.mp4", folder / "demo.mp4"
    before, after = read_frames(sample), read_frames(stylized)
    assert len(before) == len(after) == FRAMES
    # The style inverts, so a frame and its twin add up to white.
    total = before[30].astype(int) + after[30].astype(int)
    assert abs(total.mean() - 255) < 4
    assert video_pts(sample) == video_pts(stylized)
    assert video_pts(sample)[1] == Fraction(1, 25)
    assert audio_packets(sample) == audio_packets(stylized)
    assert len(audio_packets(sample)) == 1
    picture = read_image(folder / "demo.png")
    assert picture.shape == (SMALL.height, 2 * SMALL.width + 4, 3)
    left, right = picture[:20, : SMALL.width].astype(int), picture[:20, SMALL.width + 4 :]
    assert abs((left + right).mean() - 255) < 6
    # At the same moment of the clip on both sides.
    distances = [float(np.abs(left - frame[:20]).mean()) for frame in before]
    assert distances.index(min(distances)) == 50


@pytest.mark.usefixtures("small")
def test_the_demo_says_backend_precision_speed_and_places(pack: Path, tmp_path: Path) -> None:
    result = run(
        pack,
        tmp_path / "out",
    )
    assert "backend: openvino" in result.output
    assert "fps" in result.output
    for name in FILES:
        assert str((tmp_path / "out" / name).resolve()) in result.output


@pytest.mark.usefixtures("small")
def test_a_second_demo_is_refused_until_it_may_overwrite(pack: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "demo.png").write_bytes(b"mine")
    result = run(pack, folder)
    assert result.exit_code == 4
    assert "demo.png" in result.output
    assert "--overwrite" in result.output
    assert listing(folder) == ["demo.png"]
    assert (folder / "demo.png").read_bytes() == b"mine"
    assert run(pack, folder, "--overwrite").exit_code == 0
    assert listing(folder) == FILES
    assert (folder / "demo.png").read_bytes() != b"mine"


def test_a_refused_demo_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    result = run(tmp_path / "no-such-style", folder)
    assert result.exit_code == 5
    assert listing(folder) == []


@pytest.mark.usefixtures("small")
def test_a_demo_that_fails_half_way_leaves_nothing_and_old_files_whole(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    assert run(pack, folder).exit_code == 0
    old = {name: (folder / name).read_bytes() for name in FILES}

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_module, "before_after", broken)
    assert run(pack, folder, "--overwrite").exit_code == 130
    assert {name: (folder / name).read_bytes() for name in listing(folder)} == old


def test_a_file_in_the_place_of_the_folder_is_refused(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    result = run(pack, tmp_path / "out")
    assert result.exit_code == 4
    assert "choose another" in result.output
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_under_a_demos_name_is_refused_even_with_overwrite(
    pack: Path, tmp_path: Path
) -> None:
    (tmp_path / "demo.png").mkdir()
    result = run(pack, tmp_path, "--overwrite")
    assert result.exit_code == 4
    assert "is a folder" in result.output


@pytest.mark.usefixtures("small")
def test_what_appears_while_a_demo_is_drawn_is_left_as_it_is(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    real = before_after

    def meanwhile(*pictures: Pixels) -> Pixels:
        (folder / "demo.mp4").write_bytes(b"mine")
        return real(*pictures)

    monkeypatch.setattr(demo_module, "before_after", meanwhile)
    result = run(pack, folder)
    assert result.exit_code == 4
    assert "demo.mp4 appeared meanwhile" in result.output
    assert (folder / "demo.mp4").read_bytes() == b"mine"
    assert not [name for name in listing(folder) if name.startswith(".")]
    monkeypatch.setattr(demo_module, "before_after", real)
    assert run(pack, folder, "--overwrite").exit_code == 0
    assert (folder / "demo.mp4").read_bytes() != b"mine"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_demo_replaces_no_link_and_no_pipe(pack: Path, tmp_path: Path, kind: str) -> None:
    place, victim = tmp_path / "demo.png", tmp_path / "victim"
    victim.write_bytes(b"mine")
    if kind == "link":
        place.symlink_to(victim)
    else:
        os.mkfifo(place)
    before = os.lstat(place)
    result = run(pack, tmp_path, "--overwrite")
    assert result.exit_code == 4
    assert os.path.samestat(os.lstat(place), before)
    assert victim.read_bytes() == b"mine"
