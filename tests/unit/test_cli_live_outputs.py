"""Where ``rtstyle live`` sends pictures when something is missing, breaks or is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from click.testing import CliRunner

from rtstyle.cli.main import main
from rtstyle.errors import (
    CameraError,
    DiskFull,
    OutputError,
    OutputNotWritable,
)
from rtstyle.live import Beside, OrElse, record_to
from rtstyle.media import CAPTURE_CLOCK
from rtstyle.types import Frame
from tests.clips import make_clip, moving_picture
from tests.helpers import all_unfinished, unfinished

STYLE = ("--style", "great-wave-32")
WAIT = 120.0
ROOT = str(Path(__file__).resolve().parents[2])


def frame(number: int = 0) -> Frame:
    picture = moving_picture((32, 24), number)
    return Frame(picture, number * 4 * 10**7, CAPTURE_CLOCK, None, number)


class Sink:
    """Shows, until told to fail."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails, self.shown, self.aborted = fails, 0, False

    @property
    def began(self) -> bool:
        return self.shown > 0

    def show(self, frame: Frame) -> None:
        if self.fails is not None:
            raise self.fails
        self.shown += 1

    def finish(self) -> str:
        return f"{self.shown} shown"

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", size=(64, 48), frames=10, rate=10)


def live(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["live", *map(str, words)])
    return result.exit_code, result.output


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


@contextmanager
def running(*words: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "rtstyle.cli.main", "live", *map(str, words)],
            env={**os.environ, "PYTHONPATH": ROOT},
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
        ) as run,
    ):
        try:
            yield run
        finally:
            run.kill()


class NoDriver:
    def Camera(self, **settings: object) -> object:  # noqa: N802
        raise RuntimeError("no driver, as asked. See elsewhere.")


def test_without_a_driver_the_pictures_get_an_address(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtstyle.live.virtual._pyvirtualcam", NoDriver)
    code, said = live("--camera", clip, *STYLE, "--output", "virtualcam")
    assert code == 0, said
    assert "warning: no virtual camera opens (no driver, as asked); " in said
    assert re.search(r"pictures are at http://127\.0\.0\.1:\d+/[\w-]{22,}", said)
    assert re.search(r"note: instead of a virtual camera: http://\S+: \d+ frames offered", said)


def test_without_pyvirtualcam_as_well(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    code, said = live("--camera", clip, *STYLE, "--output", "virtualcam")
    assert code == 0, said
    assert 'warning: a virtual camera needs pyvirtualcam: pip install "rtstyle[camera]"' in said
    assert "pictures are at http://127.0.0.1:" in said


def test_without_both_it_is_an_error_with_both_remedies(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.setattr("rtstyle.live.virtual._pyvirtualcam", NoDriver)
    code, said = live("--camera", clip, *STYLE, "--output", "virtualcam")
    assert code == 7, said
    assert "no virtual camera opens" in said
    assert "pictures over http need aiohttp" in said
    code, said = live("--camera", clip, *STYLE, "--output", "mjpeg")
    assert code == 4, said
    assert "need aiohttp" in said


def test_a_virtual_camera_that_goes_away_is_stood_in_for_once() -> None:
    camera, stand_in = Sink(), Sink()
    reasons: list[str] = []

    def replace(error: CameraError) -> Sink:
        reasons.append(str(error))
        return stand_in

    sink = OrElse(lambda: camera, replace)
    sink.show(frame())
    camera.fails = CameraError("it went away")
    sink.show(frame())
    sink.show(frame())
    assert (camera.shown, stand_in.shown, reasons) == (1, 2, ["it went away"])
    assert camera.aborted
    assert sink.finish() == "instead of a virtual camera: 2 shown"
    stand_in.fails = CameraError("this too")
    with pytest.raises(CameraError, match="this too"):
        sink.show(frame())


@pytest.mark.parametrize(
    ("output", "code", "told"),
    [
        ("http://0.0.0.0:8090", 2, "--insecure"),
        ("https://127.0.0.1", 2, "cannot serve there"),
        ("http://127.0.0.1/short", 2, "22 characters"),
    ],
)
def test_addresses_that_must_not_be_served_are_refused(output: str, code: int, told: str) -> None:
    got, said = live("--output", output)
    assert got == code, said
    assert told in said


@pytest.mark.parametrize(
    "words", [("--output", "none", "--insecure"), ("--output", "mjpeg", "--bitrate", "900")]
)
def test_options_that_say_nothing_here_are_refused(words: tuple[str, ...]) -> None:
    code, said = live(*words)
    assert code == 2, said
    assert "leave it out" in said


def test_a_recording_that_no_crash_survives_is_warned_of(tmp_path: Path) -> None:
    code, said = live("--camera", "97", "--output", "none", "--record", tmp_path / "a.mp4")
    assert code == 7, said
    assert "after a crash nothing of it can be played" in said
    code, said = live("--camera", "97", "--output", "none", "--record", tmp_path / "a.mkv")
    assert "after a crash" not in said


def test_a_receiver_that_was_never_there_is_an_error(clip: Path) -> None:
    code, said = live("--camera", clip, *STYLE, "--output", "tcp://127.0.0.1:9?key=secret")
    assert code == 4, said
    assert "tcp://127.0.0.1:9: cannot send there" in said
    assert "secret" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupt_ends_a_run_that_is_watched(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "long.mp4", size=(64, 48), frames=900, rate=10)
    log = tmp_path / "log"
    with running("--camera", clip, *STYLE, "--output", "mjpeg", log=log) as run:
        until(lambda: b"Ctrl-C ends it" in log.read_bytes())
        found = re.search(r"http://\S+", log.read_text())
        assert found is not None
        with av.open(found[0], timeout=(WAIT, WAIT)) as player:
            pictures = player.decode(video=0)
            assert next(pictures).width == 64
            assert next(pictures).width == 64
            run.send_signal(signal.SIGINT)
            assert run.wait(WAIT) == 0, log.read_text()
    said = log.read_text()
    assert "1 viewer at a time at most" in said
    assert "Traceback" not in said


def packets_of(film: Path) -> int:
    with av.open(str(film)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_recording_leaves_plays_and_is_not_recorded_over(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "long.mp4", size=(96, 64), frames=900, rate=20)
    tape = tmp_path / "tape.mkv"
    words = ("--camera", clip, *STYLE, "--output", "none", "--record", tape)
    with running(*words, log=tmp_path / "log") as run:
        until(lambda: any(part.stat().st_size > 20_000 for part in all_unfinished(tape)))
        run.kill()
        run.wait(WAIT)
    assert not tape.exists()
    part = unfinished(tape)
    kept = packets_of(part)
    assert kept > 3
    short = make_clip(tmp_path / "short.mp4", size=(64, 48), frames=5, rate=10)
    code, said = live("--camera", short, *STYLE, "--output", "none", "--record", tape)
    assert code == 0, said
    assert f"what an earlier run left unfinished is kept as {part.name}" in said
    assert packets_of(part) == kept
    assert 1 <= packets_of(tape) <= 5


def test_two_recordings_do_not_share_a_tape(tmp_path: Path) -> None:
    tape = tmp_path / "a.mkv"
    busy, second = record_to(str(tape)), record_to(str(tape))
    busy.show(frame())
    until(lambda: bool(all_unfinished(tape)))
    second.show(frame())
    with pytest.raises(OutputError, match="another run is writing it"):
        second.finish()
    busy.abort()


def test_a_recording_beside_a_show_ends_alone() -> None:
    told: list[str] = []
    sink = Sink()
    beside = Beside(sink, told.append)
    beside.show(frame())
    sink.fails = DiskFull("tape.mkv: no room left")
    for _ in range(3):
        beside.show(frame())
    assert told == ["the recording ended: tape.mkv: no room left; the show goes on without"]
    assert beside.trouble == "not recorded: tape.mkv: no room left"
    assert beside.finish() == (
        "the recording ended early: tape.mkv: no room left; 3 frames are not in it"
    )


def test_a_recording_whose_end_fails_does_not_hide_the_report() -> None:
    class Fragile(Sink):
        def finish(self) -> str:
            raise DiskFull("tape.mkv: no room left")

    fragile = Fragile()
    beside = Beside(fragile, lambda line: None)
    beside.show(frame())
    assert beside.finish() == "the recording ended early: tape.mkv: no room left"
    assert beside.failure
    with pytest.raises(DiskFull):
        Beside(Fragile(), lambda line: None).finish()


@pytest.mark.parametrize("error", [OutputNotWritable("no"), DiskFull("no")])
def test_a_recording_that_cannot_begin_is_an_error(error: OutputError) -> None:
    with pytest.raises(type(error)):
        Beside(Sink(error), lambda line: None).show(frame())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
def test_a_full_disk_ends_the_recording_and_not_the_show(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", size=(320, 240), frames=120, rate=20)
    tape = tmp_path / "tape.mkv"
    limited = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))\n"
        "from rtstyle.cli.main import main\n"
        "main()\n"
    )
    words = ["live", "--camera", str(clip), *STYLE, "--output", "mjpeg", "--record", str(tape)]
    run = subprocess.run(
        [sys.executable, "-c", limited, *words],
        env={**os.environ, "PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=2 * WAIT,
    )
    assert run.returncode == 8, run.stdout + run.stderr
    assert "note: the recording ended early: tape.mkv: no room left" in run.stdout
    assert f"what was written is kept as {unfinished(tape).name}" in run.stdout
    assert packets_of(unfinished(tape)) > 0
    shown = re.search(r"(\d+) of (\d+) pictures shown", run.stdout)
    assert shown is not None
    assert shown[2] == "120"
