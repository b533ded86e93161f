"""Looks at one part of an installation at a time, in a process that can be ended.

Libraries that find too little memory, or a driver that does not answer, wait for ever inside native
code, where no Ctrl-C reaches them, or take the process down with them. So whoever asks waits here,
in Python, for a process that looks, and no longer than there is patience for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from rtstyle.cli import diagnosis
from rtstyle.cli.diagnosis import Problem

Load = Callable[[str], ModuleType]
"""What imports a module by its name."""

PARTS = ("media", "hardware", "openvino", "onnxruntime", "tensorrt")
"""What can be looked at, each by a process of its own."""
BACKENDS = PARTS[2:]
EACH_SECONDS, ALL_SECONDS = 12.0, 24.0
_AT_A_TIME = 2
_POLL_SECONDS = 0.02
_CHILD = (
    "import json,sys;sys.path[:]=json.loads(sys.argv[1]);import rtstyle.cli.checkup as c;c.main()"
)


@dataclass(frozen=True, slots=True)
class Look:
    """What was found of one part."""

    found: Mapping[str, Any] | None
    """As ``look`` gives it; None where there was no answer."""
    reason: str = ""
    """Why there was none, as a clause."""


def look(part: str, load: Load = importlib.import_module) -> dict[str, Any]:
    """What is there of ``part``, in what JSON can hold.

    ``problems``: rows of what cannot be imported. ``codecs``, ``hardware``: encoders by codec.
    ``backends`` and ``processor``: the fields of their dataclasses. For a backend's name its own
    status only, for ``backends`` that of all.
    """
    if part == "media":
        problems = broken_imports(load)
        media = None if problems else _attempt(load, "rtstyle.media")
        codecs = media.encoders() if media else {}
        return {"problems": [dataclasses.asdict(p) for p in problems], "codecs": codecs}
    if part == "hardware":
        media = _attempt(load, "rtstyle.media")
        return {"hardware": media.hardware_encoders() if media else {}}
    backends = _attempt(load, "rtstyle.backends")
    if backends is None:
        return {"backends": [], "processor": None}
    if part == "backends":
        statuses = backends.available_backends()
    else:
        statuses = (importlib.import_module(f"rtstyle.backends.{part}").status(),)
    return {
        "backends": [dataclasses.asdict(status) for status in statuses],
        "processor": dataclasses.asdict(backends.processor_features()),
    }


def broken_imports(load: Load) -> list[Problem]:
    """Base packages that are installed and yet cannot be imported."""
    # Before PyAV, as OpenCV's windows hang where its libxcb comes second (opencv#29195).
    for name in ("numpy", "cv2", "av"):
        try:
            load("rtstyle.media" if name == "av" else name)
        except ImportError as error:
            return [diagnosis.import_problem(name, error, pip=diagnosis.pip_line())]
    return []


def _attempt(load: Load, module: str) -> ModuleType | None:
    try:
        return load(module)
    except ImportError:
        return None


def main() -> None:
    """The process: prints what it finds of the part that its second argument names."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        found = look(sys.argv[2])
    except Exception as error:  # told to whoever asked, who has no other way to learn of it
        found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    sys.stdout.write(json.dumps(found) + "\n")


def look_apart(
    parts: Sequence[str],
    *,
    each: float = EACH_SECONDS,
    together: float = ALL_SECONDS,
    command: Callable[[str], list[str]] | None = None,
) -> dict[str, Look]:
    """``look`` at each of ``parts`` in a process of its own, no longer than ``each`` seconds.

    After ``together`` seconds what has not answered is given up. Whatever this is left by, Ctrl-C
    for one, the processes have ended then. ``command`` stands in for the real one in tests.
    """
    waiting, answers = list(parts), dict[str, Look]()
    running: dict[str, tuple[subprocess.Popen[str], float]] = {}
    end = time.monotonic() + together
    with _ended(running):
        while waiting or running:
            while waiting and len(running) < _AT_A_TIME:
                part = waiting.pop(0)
                with _not_now():
                    running[part] = (_start((command or _command)(part)), time.monotonic())
            time.sleep(_POLL_SECONDS)
            for part, (process, began) in list(running.items()):
                now = time.monotonic()
                if process.poll() is not None:
                    answers[part] = _answer(process)
                elif now - began > each or now > end:
                    answers[part] = Look(None, f"gave no answer in {now - began:.0f} s")
                else:
                    continue
                del running[part]
                _end(process)
            if time.monotonic() > end:
                answers.update({part: Look(None, "was not looked at in time") for part in waiting})
                waiting.clear()
    return answers


def _command(part: str) -> list[str]:
    return [sys.executable, "-c", _CHILD, json.dumps(sys.path), part]


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )


@contextlib.contextmanager
def _not_now() -> Iterator[None]:
    """Ctrl-C waits: between its start and its entry in a list nobody would end a process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _ended(running: dict[str, tuple[subprocess.Popen[str], float]]) -> Iterator[None]:
    try:
        yield
    finally:
        for process, _ in running.values():
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _answer(process: subprocess.Popen[str]) -> Look:
    """Of a process that has ended; what it said is short, and lies in the pipe whole."""
    code = process.returncode
    assert process.stdout is not None, "it was started with a pipe"
    try:
        found = json.loads(process.stdout.read())
    except ValueError:
        if code < 0:
            with contextlib.suppress(ValueError):
                return Look(None, f"was ended by {signal.Signals(-code).name}")
        return Look(None, f"ended with code {code} and without an answer")
    if "error" in found:
        return Look(None, f"failed: {found['error']}")
    return Look(found)
