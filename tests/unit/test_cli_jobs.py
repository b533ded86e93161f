"""``rtstyle video --jobs``: films beside each other, in processes that may be killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rtstyle.backends import load_stylizer
from rtstyle.backends.openvino import OpenVinoStylizer
from rtstyle.cli.main import main
from rtstyle.errors import BackendOutOfMemory
from rtstyle.pipeline import Failed, Job, NotLoaded, Progress, SideBySide, side
from rtstyle.pipeline.worker import Word
from rtstyle.styles import find_style
from rtstyle.types import Size
from tests.clips import audio_packets, make_clip, read_frames, video_pts
from tests.nets import conv_net, make_pack

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 400
SLOW = ("--preset", "veryslow", "--strength", "0")
QUICK = ("--preset", "ultrafast", "--strength", "0")


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With SLOW it takes 5 seconds and more."""
    path = tmp_path_factory.mktemp("long") / "in.mp4"
    return make_clip(path, size=(320, 240), frames=FRAMES, audio=True)


@pytest.fixture
def films(long_film: Path, tmp_path: Path) -> Path:
    """A folder with the long film under two names."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(long_film, folder / name)
    return folder


def video(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["video", *map(str, arguments)])


@contextmanager
def begun(
    *arguments: object, limit: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], list[int]]]]:
    """The command in a session of its own, and how to list the processes in it."""

    def bound() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with subprocess.Popen(
        [sys.executable, "-m", "rtstyle.cli.main", "video", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=bound,
    ) as child:
        try:
            yield child, lambda: processes_of(child.pid)
        finally:
            for number in processes_of(child.pid):
                os.kill(number, signal.SIGKILL)


def processes_of(session: int) -> list[int]:
    """The processes of a session that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            told = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(told[3]) == session and told[0] != "Z":
            found.append(int(entry.name))
    return found


def holder_of(film: Path, numbers: Sequence[int]) -> int:
    """Which of the processes reads ``film``."""
    for number in numbers:
        for entry in Path(f"/proc/{number}/fd").iterdir():
            if os.path.realpath(entry) == str(film):
                return number
    raise AssertionError(f"nobody reads {film}")


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def in_work(folder: Path, *names: str) -> None:
    """Wait until films of these names are being encoded."""
    parts = [folder / f"{name}.parts" for name in names]
    until(lambda: all(any(f.stat().st_size for f in p.glob("000000.*.mkv")) for p in parts))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_films_and_the_report_are_those_of_one_after_another(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name, frames in (("a.mp4", 40), ("b.mkv", 5), ("d.avi", 9)):
        make_clip(source / name, frames=frames, audio=True)
    (source / "c.mp4").write_text("no film at all " * 50)
    pack = make_pack(tmp_path / "net", model=conv_net())
    records, told = [], []
    before = set(os.listdir("/proc/self/fd"))
    for jobs in (1, 3):
        out, report = tmp_path / f"out{jobs}", tmp_path / f"{jobs}.json"
        options = ["--style", pack, "--precision", "fp32", "--codec", "ffv1"]
        result = video(source, "-o", out, *options, "--jobs", jobs, "--report", report)
        assert result.exit_code == 3, result.output
        assert f"done: 3 of 4 videos -> {out}" in result.stdout
        assert result.stderr.splitlines()[-2] == "1 of 4 videos failed:"
        assert result.stderr.splitlines()[-1].startswith(f"  {source / 'c.mp4'}: ")
        records.append(json.loads(report.read_text("utf-8")))
        told.append(sorted(line.split(" -> ")[0] for line in result.stdout.splitlines()[:-1]))
    assert told[0] == told[1]
    one, side = ([(r["input"], r["state"], r.get("frames_out")) for r in rs] for rs in records)
    assert one == side
    assert [state for _, state, _ in side] == ["finished", "finished", "failed", "finished"]
    assert records[0][2]["error"] == records[1][2]["error"]
    assert names(tmp_path / "out1") == names(tmp_path / "out3") == ["a.mkv", "b.mkv", "d.mkv"]
    for name in names(tmp_path / "out1"):
        alone, beside = tmp_path / "out1" / name, tmp_path / "out3" / name
        assert video_pts(alone) == video_pts(beside)
        assert audio_packets(alone) == audio_packets(beside)
        for left, right in zip(read_frames(alone), read_frames(beside), strict=True):
            # Sums in another number of threads may round otherwise.
            assert np.abs(left.astype(int) - right.astype(int)).max() <= 1
    assert multiprocessing.active_children() == []
    # The one that multiprocessing keeps for its tracker.
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1


def test_a_process_that_is_killed_costs_its_own_film(films: Path, tmp_path: Path) -> None:
    make_clip(films / "c.mp4", frames=5)
    out, report = tmp_path / "out", tmp_path / "report.json"
    line = [films, "-o", out, "--strength", "0", "--preset", "slow", "--jobs", 2]
    with begun(*line, "--report", report) as (child, processes):
        # With the first 240 frames there is something to go on from.
        until(lambda: list((out / "a.mp4.parts").glob("000000.*.json")))
        os.kill(holder_of(films / "a.mp4", processes()), signal.SIGKILL)
        stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == 1, stderr
    assert "done: 2 of 3 videos" in stdout
    message = stderr.splitlines()[-1]
    assert message.startswith(f"  {films / 'a.mp4'}: its process was killed by signal 9 (Killed)")
    assert "240 frames are kept: the same command with --resume" in message
    states = [(r["state"], r.get("exit_code")) for r in json.loads(report.read_text("utf-8"))]
    assert states == [("failed", 1), ("finished", None), ("finished", None)]
    resumed = video(*line, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "240 frames of an earlier run were taken over" in resumed.stdout
    assert names(out) == ["a.mp4", "b.mp4", "c.mp4"]
    assert video_pts(out / "a.mp4") == video_pts(films / "a.mp4")


@pytest.mark.parametrize("whom", ["the terminal's group", "the parent alone"])
def test_an_interrupt_keeps_what_was_done_of_each(films: Path, tmp_path: Path, whom: str) -> None:
    shutil.copy(films / "a.mp4", films / "c.mp4")
    out, report = tmp_path / "out", tmp_path / "report.json"
    with begun(films, "-o", out, *SLOW, "--jobs", 2, "--report", report) as (child, processes):
        in_work(out, "a.mp4", "b.mp4")
        time.sleep(0.3)
        if whom == "the parent alone":
            os.kill(child.pid, signal.SIGTERM)
        else:
            os.killpg(child.pid, signal.SIGINT)
        _, stderr = child.communicate(timeout=30)
        until(lambda: not processes(), 5)
    assert child.returncode == 130, stderr
    assert names(out) == ["a.partial.mp4", "b.partial.mp4"]
    for name in ("a", "b"):
        kept = video_pts(out / f"{name}.partial.mp4")
        assert 0 < len(kept) < FRAMES
        assert kept == video_pts(films / f"{name}.mp4")[: len(kept)]
        told = f"{films / name}.mp4: interrupted after {len(kept)} of {FRAMES} frames; "
        assert sum(told in line for line in stderr.splitlines()) == 1
    assert stderr.splitlines()[-1] == (
        "rtstyle: interrupted; 0 videos finished, "
        "and the same command with --resume goes on with the rest"
    )
    assert "Traceback" not in stderr
    states = [record["state"] for record in json.loads(report.read_text("utf-8"))]
    assert states == ["interrupted", "interrupted", "not begun"]


def test_an_interrupt_of_processes_that_still_start_is_quiet(films: Path, tmp_path: Path) -> None:
    with begun(films, "-o", tmp_path / "out", *SLOW, "--jobs", 2) as (child, processes):
        until(lambda: len(processes()) >= 3)
        os.killpg(child.pid, signal.SIGINT)
        _, stderr = child.communicate(timeout=30)
    assert child.returncode == 130, stderr
    assert all(line.startswith(("file ", "rtstyle: ")) for line in stderr.splitlines()), stderr
    assert [name for name in names(tmp_path / "out") if "partial" not in name] == []


def test_the_second_interrupt_ends_all_at_once(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with begun(films, "-o", out, *SLOW, "--jobs", 2) as (child, processes):
        in_work(out, "a.mp4", "b.mp4")
        os.kill(child.pid, signal.SIGINT)
        # Handled one by one.
        time.sleep(0.01)
        os.kill(child.pid, signal.SIGINT)
        _, stderr = child.communicate(timeout=10)
        until(lambda: not processes(), 2)
    assert child.returncode == 130, stderr
    # What the first one saves may be whole before the second one comes.
    assert set(names(out)) <= {"a.partial.mp4", "b.partial.mp4"}
    assert f"{films / 'a.mp4'}: interrupted" in stderr


def test_a_parent_that_is_killed_leaves_no_process(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with begun(films, "-o", out, *SLOW, "--jobs", 2) as (child, processes):
        in_work(out, "a.mp4", "b.mp4")
        os.kill(child.pid, signal.SIGKILL)
        until(lambda: not processes(), 5)
    assert not [name for name in names(out) if name.endswith(("mp4", ".part"))]


def test_a_full_disk_lets_those_in_work_end_and_begins_no_other(
    films: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (24, 240, 320, 3), dtype=np.uint8)
    make_clip(films / "0.mp4", size=(320, 240), pictures=list(noise), frames=24)
    out, report = tmp_path / "out", tmp_path / "report.json"
    line = [films, "-o", out, "--strength", "0", "--preset", "fast", "--audio", "none"]
    with begun(*line, "--jobs", 2, "--report", report, limit=700_000) as (child, _):
        stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == 4, stderr
    states = [record["state"] for record in json.loads(report.read_text("utf-8"))]
    assert states == ["failed", "finished", "not begun"], stderr
    assert stdout.splitlines()[-1].endswith("; 1 not begun")


def test_a_process_that_hears_nothing_is_ended_by_force(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side, "_PATIENCE_SECONDS", 0.2)
    job = Job(films / "a.mp4", tmp_path / "out.mp4")
    options = {"style": "great-wave", "strength": 0.0}
    with (
        pytest.raises(KeyboardInterrupt),
        SideBySide([job], options, processes=1, stop=threading.Event()) as beside,
    ):
        for _, event in beside.events():
            if isinstance(event, Progress):
                [process] = multiprocessing.active_children()
                assert process.pid is not None
                os.kill(process.pid, signal.SIGSTOP)
                raise KeyboardInterrupt
    assert multiprocessing.active_children() == []


def test_a_style_that_cannot_be_loaded_ends_the_batch(films: Path, tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "net")
    (pack / "model.onnx").write_bytes(b"something else")
    result = video(films, "-o", tmp_path / "out", "--style", pack, "--jobs", 2)
    assert result.exit_code == 5, result.output
    assert names(tmp_path / "out") == []
    assert multiprocessing.active_children() == []


def test_where_a_process_cannot_be_started_the_others_do_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_clip(tmp_path / name, frames=3)
    start, calls = SideBySide._start, []

    def once(self: SideBySide) -> Any:  # noqa: ANN401 - a process
        calls.append(1)
        if len(calls) > 1:
            raise OSError(11, "Resource temporarily unavailable")
        return start(self)

    monkeypatch.setattr(SideBySide, "_start", once)
    result = video(
        tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", tmp_path / "out", *QUICK, "--jobs", 2
    )
    assert result.exit_code == 0, result.output
    assert "note: only 1 film at a time from here on: no process can be started" in result.stdout
    assert names(tmp_path / "out") == ["a.mp4", "b.mp4"]


class Ended:
    """A process that has ended well."""

    exitcode = 0

    def join(self, timeout: float | None = None) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("processes", [1, 2])
def test_a_net_that_finds_no_room_leaves_its_film_to_the_others(
    monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    done, full = Failed("done", 1), NotLoaded(BackendOutOfMemory("no room"))
    said: list[list[Word]] = [[full]] if processes == 1 else [[done, done], [full]]

    def start(self: SideBySide) -> Any:  # noqa: ANN401 - a process
        ours, theirs = multiprocessing.Pipe()
        for word in said.pop(0):
            theirs.send(word)
        # The other end stays open as long as the process is there.
        process = Ended()
        vars(process)["pipe"] = theirs
        worker = side._Process(cast(SpawnProcess, process), ours)
        self._working.append(worker)
        return worker

    monkeypatch.setattr(SideBySide, "_start", start)
    a, b = (Job(Path(name), Path("out") / name) for name in "ab")
    beside = SideBySide([a, b], {}, processes=processes, stop=threading.Event())
    if processes == 1:
        with pytest.raises(BackendOutOfMemory, match="no room"), beside:
            list(beside.events())
        return
    with beside:
        told = [(job.source.name, type(event).__name__) for job, event in beside.events()]
    assert told == [
        ("a", "Begun"),
        ("b", "Begun"),
        ("a", "Failed"),
        ("b", "Fewer"),
        ("b", "Begun"),
        ("b", "Failed"),
    ]


def test_one_film_needs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SideBySide, "_start", None)
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    for place in (tmp_path / "b.mp4", f"{tmp_path}/out/"):
        result = video(clip, "-o", place, *QUICK, "--jobs", 4)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "options", [("--jobs", "0"), ("--jobs", "65"), ("--jobs", "2", "--preview", "3")]
)
def test_what_cannot_be_is_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    result = video(clip, "-o", f"{tmp_path}/out/", *options)
    assert result.exit_code == 2
    assert "--jobs" in result.stderr
    assert names(tmp_path) == ["a.mp4"]


def test_nets_beside_each_other_are_bound_to_no_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of two processes would be bound to the same one, where the system allows it."""
    compiled, told = OpenVinoStylizer._compile, []

    def watched(self: OpenVinoStylizer, size: Size, hint: str) -> Any:  # noqa: ANN401 - a model
        model = compiled(self, size, hint)
        told.append(model.get_property("ENABLE_CPU_PINNING"))
        return model

    monkeypatch.setattr(OpenVinoStylizer, "_compile", watched)
    spec = find_style(make_pack(tmp_path / "net", model=conv_net()))
    with load_stylizer(spec, backend="openvino", threads=1) as stylizer:
        stylizer.warm_up(Size(64, 64), batch=2)
    assert told == [False, False]
