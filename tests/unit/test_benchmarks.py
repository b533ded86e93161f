from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import SizeType, benchmarks
from benchmarks.lanes import run_lane
from benchmarks.material import draw_clip, random_pack, width_of
from benchmarks.memory import Watch, folder_bytes
from benchmarks.memory import report as memory_report
from benchmarks.record import heading, table, write_record
from benchmarks.video import Lane, report, summarise
from rtstyle.errors import ModelError
from rtstyle.styles import find_style, load_pack
from rtstyle.types import Size
from tests.clips import read_frames
from tests.nets import identity_net, make_pack

SIZE = Size(64, 48)


def test_the_clip_has_as_many_frames_as_asked_for_beyond_the_drawn_ones(tmp_path: Path) -> None:
    frames = read_frames(draw_clip(tmp_path / "clip.mp4", frames=150, size=SIZE))
    assert len(frames) == 150
    # Back and forth: frame 101 is frame 97 again.
    assert abs(frames[101].astype(int) - frames[97]).mean() < 6


@pytest.fixture(scope="module")
def random_style(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pack of width 2 and its checkpoint."""
    folder = tmp_path_factory.mktemp("random")
    weights = folder / "weights.safetensors"
    return random_pack(folder / "pack", weights, width=2), weights


def test_the_random_net_is_a_style_of_the_width_asked_for(random_style: tuple[Path, Path]) -> None:
    assert width_of(find_style(random_style[0])) == 2


def test_a_style_of_another_family_is_refused(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", name="plain", model=identity_net())
    with pytest.raises(ModelError, match="plain"):
        width_of(load_pack(pack))


@pytest.mark.parametrize("net", ["--width 2", "--net fast --width 4"])
def test_every_lane_stylizes_every_frame_of_the_same_clip(net: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        benchmarks,
        shlex.split(f"video --frames 4 --size 64x48 --repeat 1 {net} --record {tmp_path}"),
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    (file,) = tmp_path.glob("video-*.json")
    record = json.loads(file.read_text())
    assert {name: runs[0]["frames"] for name, runs in record["runs"].items()} == dict.fromkeys(
        ("naive_torch", "naive_onnxruntime", "rtstyle_video", "net_alone"), 4
    )
    assert set(record["precision"].values()) >= {"fp32"}
    assert record["size"] == "64x48"
    for letter in "abcd":
        assert f"({letter}) " in result.output


def test_naive_and_whole_road_paint_the_same_picture(
    tmp_path: Path, random_style: tuple[Path, Path]
) -> None:
    pack, weights = random_style
    clip = draw_clip(tmp_path / "clip.mp4", frames=3, size=SIZE)
    run_lane("naive_torch", clip=str(clip), output=str(tmp_path / "a.mp4"), weights=str(weights))
    found = run_lane(
        "rtstyle_video", clip=str(clip), output=str(tmp_path / "c.mp4"), style=str(pack)
    )
    assert found["peak_bytes"] > 10 * 2**20
    assert found["seconds"] < found["seconds_with_start"]
    one, other = read_frames(tmp_path / "a.mp4"), read_frames(tmp_path / "c.mp4")
    # A net of random weights paints noise, which mp4v and h264 keep unlike: compare coarsely.
    coarse = [frame.reshape(12, 4, 16, 4, 3).mean((1, 3)) for frame in (one[1], other[1])]
    right = np.abs(coarse[0] - coarse[1]).mean()
    assert right < 12
    # Neither red and blue exchanged nor another frame's place.
    assert right < 0.5 * np.abs(coarse[0][..., ::-1] - coarse[1]).mean()


def test_a_lane_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="net_alone failed"):
        run_lane("net_alone", clip=str(tmp_path / "no.mp4"), style="no-such-style")


def lane(*fps: float, net: str) -> Lane:
    runs = [
        {"frames": 10, "seconds": 10 / f, "seconds_with_start": 20 / f, "net": net} for f in fps
    ]
    return Lane.of(runs)


def test_figures_are_medians_and_ratios_are_of_them() -> None:
    lanes = {
        "naive_torch": lane(2, 3, 100, net="fp32"),
        "naive_onnxruntime": lane(4, 4, 4, net="fp32"),
        "rtstyle_video": lane(1, 18, 18, net="openvino bf16"),
        "net_alone": lane(20, 20, 1, net="openvino bf16"),
    }
    figures = summarise(lanes, net="a net", size=SIZE, repeat=3)
    assert figures["fps"]["naive_torch"] == pytest.approx(3)
    assert figures["ratio_c_to_a"] == pytest.approx(6)
    assert figures["ratio_c_to_b"] == pytest.approx(4.5)
    assert figures["ratio_c_to_d"] == pytest.approx(0.9)
    assert figures["fps_c_with_start"] == pytest.approx(9)
    text = "\n".join(report(lanes, figures, "the command"))
    assert "$ the command" in text
    assert "openvino bf16" in text
    assert " 6.00 |" in text


def test_the_heading_names_the_machine() -> None:
    lines = list(heading("python -m benchmarks video"))
    assert lines[0] == "$ python -m benchmarks video"
    assert "cores" in lines[1]
    assert "numpy" in lines[2]


def test_a_table_is_markdown() -> None:
    assert table(("", "fps"), [("one", "2.5"), ("fourteen", "10")]) == [
        "|          | fps |",
        "| :------- | --: |",
        "| one      | 2.5 |",
        "| fourteen |  10 |",
    ]


def test_records_of_one_second_do_not_replace_each_other(tmp_path: Path) -> None:
    files = {write_record(tmp_path / "records", "video", "cmd", {"n": k}) for k in range(3)}
    assert sorted(json.loads(file.read_text())["n"] for file in files) == [0, 1, 2]


def test_memory_is_measured_at_both_lengths(
    tmp_path: Path, random_style: tuple[Path, Path]
) -> None:
    arguments = f"memory --frames 3 6 --size 64x48 --style {random_style[0]} --record {tmp_path}"
    result = CliRunner().invoke(benchmarks, shlex.split(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    (file,) = tmp_path.glob("memory-*.json")
    record = json.loads(file.read_text())
    assert record["frames"] == [3, 6]
    assert record["ratio"] == pytest.approx(record["peak_bytes"][1] / record["peak_bytes"][0])
    assert all(3 < held < 200 for held in record["open_files"])
    for disk, output in zip(record["disk_peak_bytes"], record["output_bytes"], strict=True):
        assert disk >= output > 500
    assert "times the memory" in result.output


def test_a_folder_is_weighed_with_what_lies_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "a").write_bytes(bytes(1000))
    (tmp_path / "below" / "b").write_bytes(bytes(500))
    watch = Watch(tmp_path)
    watch(os.getpid())
    (tmp_path / "a").unlink()
    watch(os.getpid())
    assert (watch.disk_bytes, folder_bytes(tmp_path)) == (1500, 500)
    assert watch.open_files is not None
    most = watch.open_files
    with (tmp_path / "c").open("wb"), (tmp_path / "d").open("wb"):
        watch(os.getpid())
    watch(os.getpid())
    assert watch.open_files == most + 2


def test_the_memory_report_shows_both_lengths() -> None:
    figures = {
        "net": "a net",
        "size": "64x48",
        "frames": [500, 3000],
        "peak_bytes": [100 * 2**20, 104 * 2**20],
        "open_files": [12, None],
        "output_bytes": [2**20, 6 * 2**20],
        "disk_peak_bytes": [2**20, 7 * 2**20],
        "ratio": 1.04,
    }
    text = "\n".join(memory_report(figures, "cmd"))
    assert "| 3000   |     104 MiB |    unknown | 6.0 MiB |" in text
    assert "1.040 times" in text


def test_sizes_are_read_and_nonsense_is_refused() -> None:
    assert SizeType().convert("640x360", None, None) == Size(640, 360)
    result = CliRunner().invoke(benchmarks, ["video", "--size", "0x3"])
    assert result.exit_code == 2
    assert "640x360" in result.output
