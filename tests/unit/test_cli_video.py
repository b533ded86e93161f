"""``rtstyle video`` as a user meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from click.testing import CliRunner, Result

from rtstyle.cli.interrupt import interruptible
from rtstyle.cli.main import main
from tests.clips import audio_packets, make_clip, read_frames, video_pts
from tests.nets import make_pack
from tests.unit.test_pipeline_run import cut_clip

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=12, audio=True)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return make_pack(tmp_path / "negative", name="negative")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["video", *map(str, arguments)])


def test_a_clip_becomes_a_stylized_clip(clip: Path, pack: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    result = run(clip, "-o", output, "--style", pack, "--backend", "onnxruntime")
    assert result.exit_code == 0, result.output
    first, *_, last = result.stdout.splitlines()
    assert first.startswith("backend: onnxruntime fp32 on CPU (")
    assert last.startswith("done: 12 frames in ")
    assert last.endswith(f" fps) -> {output}")
    assert result.stderr == ""
    assert video_pts(output) == video_pts(clip)
    assert audio_packets(output) == audio_packets(clip)


def test_depth_and_hdr_reach_the_conversion(tmp_path: Path, pack: Path) -> None:
    clip = make_clip(
        tmp_path / "in.mp4", frames=3, pixel_format="yuv420p10le", colour=(9, 9, 16, 1)
    )
    output = tmp_path / "out.mkv"
    common = (clip, "--style", pack, "--strength", 0, "--overwrite")
    for depth, stored in (("auto", 10), ("8", 8), ("10", 10)):
        result = run(*common, "-o", output, "--bit-depth", depth)
        assert result.exit_code == 0, result.output
        assert "note: the source is HDR (PQ, up to 1000 cd/m2); it is tone-mapped" in result.stdout
        with av.open(str(output)) as container:
            context = container.streams.video[0].codec_context
            assert context.pix_fmt == {8: "yuv420p", 10: "yuv420p10le"}[stored]
            assert context.color_trc == 1
    folder = run(*common, "-o", f"{tmp_path / 'films'}/", "--hdr", "refuse")
    alone = run(*common, "-o", tmp_path / "refused.mp4", "--hdr", "refuse")
    sheet = run(*common, "-o", tmp_path / "sheet.png", "--preview", "1", "--hdr", "refuse")
    assert [result.exit_code for result in (folder, alone, sheet)] == [3, 3, 3]
    assert "it is HDR (PQ); allow --hdr tonemap" in alone.stderr
    shown = run(*common, "-o", tmp_path / "sheet.png", "--preview", "1")
    assert shown.exit_code == 0, shown.output


def test_options_reach_the_conversion(clip: Path, pack: Path, tmp_path: Path) -> None:
    output, report_file = tmp_path / "out.mkv", tmp_path / "report.json"
    options = "--strength 0.5 --backend openvino --precision fp32 --codec ffv1 --audio none"
    result = run(
        *(clip, "-o", output, "--style", pack, *options.split()),
        *(
            "--subtitles",
            "none",
            "--start",
            "0:00.12",
            "--end",
            "0:00:00.32",
            "--report",
            report_file,
        ),
    )
    assert result.exit_code == 0, result.output
    report = json.loads(report_file.read_text(encoding="utf-8"))
    assert report["frames_out"] == 5
    assert (report["backend"]["name"], report["backend"]["precision"]) == ("openvino", "fp32")
    assert report["backend"]["requested"] == "openvino/fp32"
    assert report["style"] == "negative"
    assert audio_packets(output) == []
    # Half the picture and half its negative is grey.
    assert all(abs(float(frame.mean()) - 127.5) < 3 for frame in read_frames(output))


def test_a_loss_is_told_noted_and_exit_8(pack: Path, tmp_path: Path) -> None:
    cut, report_file = cut_clip(tmp_path, frames=60, share=0.8), tmp_path / "report.json"
    result = run(cut, "-o", tmp_path / "out.mp4", "--style", pack, "--report", report_file)
    assert result.exit_code == 8
    assert "note: only " in result.stdout
    report = json.loads(report_file.read_text(encoding="utf-8"))
    assert report["finished_with_loss"] is True
    assert report["notes"]


def test_help_explains_with_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "rtstyle video holiday.mp4 -o painted.mp4\n" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["in.mp4"],
        ["in.mp4", "-o", "out.mp4", "--strength", "1.5"],
        ["in.mp4", "-o", "out.mp4", "--backend", "abacus"],
        ["in.mp4", "-o", "out.mp4", "--start", "soon"],
        ["in.mp4", "-o", "out.mp4", "--style", "x", "--start", "3", "--end", "2"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_nothing_of_torch_is_loaded_by_a_conversion(clip: Path, pack: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from rtstyle.cli.main import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "sys.exit(', '.join({'torch', 'onnxscript'} & set(sys.modules)) or 0)"
    )
    line = ["video", clip, "-o", tmp_path / "out.mp4", "--style", pack]
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, line)], capture_output=True, text=True, cwd=ROOT
    )
    assert (ended.returncode, ended.stderr) == (0, "")


SLOW = """
import sys
from rtstyle.backends import FakeStylizer
from rtstyle.pipeline import brush
brush.load_stylizer = lambda spec, **options: FakeStylizer(spec, delay=0.05)
from rtstyle.cli.main import main
main(sys.argv[1:])
"""


def interrupted_run(folder: Path, numbers: list[int], *, pack: Path) -> tuple[int, str]:
    """Exit code and errors told, of a run that gets signals; it would take 20 seconds and more."""
    clip = make_clip(folder / "in.mp4", frames=400, audio=True)
    line = ["video", str(clip), "-o", str(folder / "out.mp4"), "--style", str(pack)]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as child:
        parts, deadline = folder / "out.mp4.parts", time.monotonic() + 30
        while not any(part.stat().st_size for part in parts.glob("000000.*.mkv")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)
        began = time.monotonic()
        for number in numbers:
            os.kill(child.pid, number)
            time.sleep(0.01)
        _, stderr = child.communicate(timeout=30)
        assert time.monotonic() - began < 3
        return child.returncode, stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_keeps_what_was_done(
    tmp_path: Path, pack: Path, number: int
) -> None:
    code, stderr = interrupted_run(tmp_path, [number], pack=pack)
    assert code == 130, stderr
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["in.mp4", "out.partial.mp4"]
    told = re.fullmatch(
        r"rtstyle: interrupted after (\d+) of 400 frames; "
        r"what was done is kept as out\.partial\.mp4",
        stderr.splitlines()[-1],
    )
    assert told is not None, stderr
    frames = int(told[1])
    assert 0 < frames < 400
    clip, kept = tmp_path / "in.mp4", tmp_path / "out.partial.mp4"
    assert video_pts(kept) == video_pts(clip)[:frames]
    sound = audio_packets(kept)[0]
    assert sound == audio_packets(clip)[0][: len(sound)]
    assert abs(sound[-1][1] - Fraction(frames, 25)) < Fraction(1, 25)


def test_two_signals_end_the_run_at_once(tmp_path: Path, pack: Path) -> None:
    code, stderr = interrupted_run(tmp_path, [signal.SIGINT] * 2, pack=pack)
    # A second signal that comes while Python ends does so the plain way.
    assert code in (130, -signal.SIGINT), stderr
    # What the first one saves may be whole before the second one comes.
    left = {path.name for path in tmp_path.glob("*.*")}
    assert left - {"out.partial.mp4"} == {"in.mp4"}
    assert stderr.splitlines()[-1].startswith("rtstyle: interrupted")
    assert "Traceback" not in stderr


def test_the_handler_of_the_signal_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
