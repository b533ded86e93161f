"""One conversion's process: started, listened to, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rtstyle.web.child import Bounds, Order

_PATIENCE_SECONDS = 20.0
_MOST_LINE_BYTES = 2**20


async def run_child(
    order: Order,
    *,
    on_process: Callable[[Process], None] | None = None,
    on_word: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run ``order`` in a process of its own; its last word, or what its death looks like."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; from rtstyle.web.child import main; sys.exit(main())",
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=_MOST_LINE_BYTES,
        # Ctrl-C at the terminal is the server's to handle.
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    last: dict[str, Any] = {}
    trouble: deque[bytes] = deque(maxlen=20)
    listening = asyncio.create_task(_listen(process.stderr, trouble))
    try:
        if on_process is not None:
            on_process(process)
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            await process.stdin.drain()
        while True:
            try:
                async with asyncio.timeout(order.bounds.silent_seconds):
                    line = await process.stdout.readline()
            except TimeoutError:
                last = {"word": "failed", "error": _silence(order.bounds)}
                process.kill()
                break
            if not line:
                break
            said = _said(line)
            if said.get("word") in ("done", "failed"):
                last = said
            elif on_word is not None:
                on_word(said)
        # It has only to end now; one that does not is ended below.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await process.wait()
                await listening
    finally:
        listening.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        process.stdin.close()
    if not last:
        last = {"word": "failed", "error": _death(process.returncode or 0)}
    return last


async def _listen(stream: asyncio.StreamReader, lines: deque[bytes]) -> None:
    """Keep the last of what it says, so that it never waits for a reader."""
    while chunk := await stream.read(65536):
        lines.append(chunk)


def _silence(bounds: Bounds) -> str:
    minutes = bounds.silent_seconds / 60
    return (
        f"the conversion came no further for {minutes:g} minutes and was ended; the file may be "
        "damaged, so try another"
    )


def _death(code: int) -> str:
    if sys.platform != "win32" and code == -signal.SIGXCPU:
        return "the file took more processor time than is allowed"
    if code < 0:
        name = signal.Signals(-code).name
        return f"the conversion was ended by {name}, perhaps for want of memory; try to resume it"
    return ""


def _said(line: bytes) -> dict[str, Any]:
    """A line of the process; what is no number becomes None, which no page could read."""
    said = json.loads(line)
    if not isinstance(said, dict):
        raise ValueError("a process said something that is no object")
    return {key: _finite(value) for key, value in said.items()}


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def interrupt(process: Process) -> None:
    """Ask it to stop after the frame in work."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)


def kill(process: Process) -> None:
    """End it now."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
