"""Being told to end by a terminal that is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from rtstyle.cli.interrupt import interruptible
from tests.clips import make_clip

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
ROOT = Path(__file__).resolve().parents[2]


def test_a_closed_terminal_is_an_interrupt() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with interruptible(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_live_run_finishes_its_file_when_the_terminal_is_closed(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "long.mp4", size=(64, 48), frames=900, rate=10)
    out = tmp_path / "out.mkv"
    words = ["live", "--camera", str(clip), "--style", "great-wave-32", "--output", str(out)]
    with subprocess.Popen(
        [sys.executable, "-m", "rtstyle.cli.main", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("out.mkv.*")) and run.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.0)
        run.send_signal(signal.SIGHUP)
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, said
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) >= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.mp4", "out.mkv"]


@pytest.mark.parametrize("ignored", [False, True], ids=["plain", "nohup"])
def test_a_web_server_ends_with_its_terminal_but_for_nohup(tmp_path: Path, ignored: bool) -> None:
    pytest.importorskip("aiohttp")
    pytest.importorskip("aiortc")
    first = ["import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"] if ignored else []
    program = "; ".join(
        [*first, "from rtstyle.cli.main import main", "main(['web', '--port', '0'])"]
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert "http://" in server.stdout.readline()
        assert len(list(tmp_path.iterdir())) == 1
        server.send_signal(signal.SIGHUP)
        if ignored:
            time.sleep(0.5)
            assert server.poll() is None
            server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0
    assert list(tmp_path.iterdir()) == []
