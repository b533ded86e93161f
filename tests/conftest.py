"""What every test gets: a check for leaked threads and files, and the assets where they are."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests also import ONNX Runtime directly, which would report to its maker's server.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

ASSETS = Path(__file__).resolve().parents[2] / "shared" / "assets"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        missing = item.get_closest_marker("assets") is not None and not ASSETS.is_dir()
        if missing and os.environ.get("CI") != "true":
            item.add_marker(pytest.mark.skip(reason=f"no assets at {ASSETS}"))
        if item.get_closest_marker("gpu") is not None and not Path("/dev/nvidia0").exists():
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))


@pytest.fixture
def assets() -> Path:
    """The shared assets folder; tests that take it carry the marker ``assets``."""
    assert ASSETS.is_dir(), f"CI must have the assets at {ASSETS}"
    return ASSETS


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point a user's styles and caches to places of the test's own, so that it sees no others'."""
    home = tmp_path.with_name(f"{tmp_path.name}-user")
    monkeypatch.setenv("RTSTYLE_STYLES", str(home / "styles"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))


def _threads() -> set[threading.Thread]:
    # tqdm, which torch's exporter uses, keeps one watchdog for the life of the process.
    return {t for t in threading.enumerate() if t.name != "tqdm_monitor"}


def _open_files() -> set[str]:
    names: set[str] = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/", "/sys/")):
            names.add(target)
    return names


@pytest.fixture(autouse=True)
def no_leaks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that leaves a Python thread running, a file of its own open, or an ERROR log."""
    threads = _threads()
    yield
    deadline = time.monotonic() + 2.0
    while (left := _threads() - threads) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"threads left running: {left}"
    own = {name for name in _open_files() if name.startswith(str(tmp_path))}
    assert not own, f"files left open: {own}"
    errors = [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert not errors, f"logged errors: {errors}"
