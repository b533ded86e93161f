"""Conversions of uploads: a queue, a process each, and what became of them.

Jobs belong to the server, not to a connection, so a page may be closed and opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rtstyle.errors import LimitExceeded, UsageError
from rtstyle.files import short_name
from rtstyle.web.child import DEFAULT_BOUNDS, Bounds, Order
from rtstyle.web.schema import JobOptions
from rtstyle.web.spool import Spool, Upload

_LOG = logging.getLogger(__name__)
MOST_JOBS = 64
_PATIENCE_SECONDS = 20.0
_STOP_SECONDS = 60.0
"""For the frame in work; whole segments are kept in any case."""
_MOST_LINE_BYTES = 2**20
_MOST_MESSAGE = 500
"""Characters of an error: libraries quote what they were given."""
TYPES = {
    ".jpg": "image/jpeg",
    ".mkv": "video/x-matroska",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".webp": "image/webp",
}
"""Of what jobs make; a closed list, so that nothing is taken for a page."""


@dataclass(slots=True)
class Job:
    """One conversion. ``state`` is queued, running, done, failed or stopped."""

    id: str
    options: JobOptions
    upload: Upload
    target: Path
    state: str = "queued"
    made: float = field(default_factory=time.monotonic)
    resume: bool = False
    stopping: bool = False
    progress: dict[str, Any] | None = None
    """frames_done, frames_expected, seconds, fps, eta_seconds; see pipeline.Progress."""
    doing: str = ""
    """``progress`` or ``checking``."""
    backend: str = ""
    error: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    process: Process | None = None

    @property
    def can_resume(self) -> bool:
        """Whether it may be set going again."""
        return self.state in ("stopped", "failed")

    @property
    def result_name(self) -> str:
        """What a download is called."""
        stem = Path(self.upload.name).stem
        return short_name(stem, f"-{self.options.style}{self.target.suffix}")

    def public(self) -> dict[str, Any]:
        """What the page is told."""
        return {
            "id": self.id,
            "kind": self.options.kind,
            "name": self.upload.name,
            "upload": self.upload.id,
            "style": self.options.style,
            "strength": self.options.strength,
            "state": self.state,
            "stopping": self.stopping,
            "progress": self.progress,
            "doing": self.doing,
            "backend": self.backend,
            "error": self.error,
            "report": self.report,
            "result": self.result_name if self.state == "done" else None,
            "bytes": self.target.stat().st_size if self.state == "done" else None,
            "can_resume": self.can_resume,
        }


class Jobs:
    """All conversions of a server; ``running`` films and as many pictures at a time."""

    def __init__(
        self,
        spool: Spool,
        *,
        running: int = 1,
        backend: str = "auto",
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        self._backend = backend
        self._spool = spool
        # A picture is done in seconds and does not wait for a film of hours.
        self._slots = {kind: asyncio.Semaphore(running) for kind in ("video", "image")}
        self._bounds = bounds
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: dict[str, Job] = {}

    def start(self, options: JobOptions) -> Job:
        """Queue a conversion; raises UsageError or LimitExceeded."""
        upload = self._spool.uploads.get(options.upload)
        if upload is None:
            raise UsageError("that file is not here any more; choose it again")
        if options.kind == "preview":
            self._drop_previews(upload)
        if len(self.all) >= MOST_JOBS:
            raise LimitExceeded(f"{MOST_JOBS} jobs are listed already; remove some first")
        ending = {"video": options.container, "image": options.format, "preview": "jpg"}
        identifier = secrets.token_hex(16)
        target = self._spool.folder / f"{identifier}.{ending[options.kind]}"
        job = Job(identifier, options, upload, target)
        self.all[identifier] = job
        self._go(job)
        return job

    def stop(self, job: Job) -> None:
        """End it after the frame in work; what is done is kept for ``resume``."""
        job.stopping = True
        if job.state == "queued":
            job.state = "stopped"
        elif job.process is not None:
            _interrupt(job.process)
            self._keep(self._insist(job.process))

    def resume(self, job: Job) -> None:
        """Go on with one that was stopped or failed; raises UsageError where it was not."""
        if not job.can_resume:
            raise UsageError("this job cannot be resumed")
        job.resume = job.options.kind == "video"
        job.state, job.stopping, job.error, job.progress = "queued", False, "", None
        self._go(job)

    async def remove(self, job: Job) -> None:
        """Forget a job and what it made; the upload too where no other job needs it."""
        self.all.pop(job.id, None)
        if job.state == "queued":
            job.state = "stopped"
        if job.process is not None:
            await _end(job.process)
        for path in self._spool.folder.glob(f"{job.id}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if all(other.upload.id != job.upload.id for other in self.all.values()):
            self._spool.remove(job.upload)

    async def close(self) -> None:
        """End everything that runs."""
        for job in self.all.values():
            job.stopping = True
            if job.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    job.process.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop_previews(self, upload: Upload) -> None:
        old = [
            job
            for job in self.all.values()
            if job.options.kind == "preview" and job.upload.id == upload.id
        ]
        for job in old:
            del self.all[job.id]
            if job.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    job.process.kill()
            for path in self._spool.folder.glob(f"{job.id}*"):
                path.unlink(missing_ok=True)

    def _go(self, job: Job) -> None:
        self._keep(self._run(job))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _insist(self, process: Process) -> None:
        """End a process that does not stop: it hears of that only between two frames."""
        await asyncio.sleep(_STOP_SECONDS)
        if process.returncode is None:
            process.kill()

    async def _run(self, job: Job) -> None:
        # A preview is waited for, and short: it does not queue behind a film.
        slot = self._slots.get(job.options.kind) or contextlib.nullcontext()
        async with slot:
            if job.state != "queued" or job.id not in self.all:
                return
            job.state = "running"
            options = job.options
            order = Order(
                kind=options.kind,
                source=str(job.upload.path),
                target=str(job.target),
                style=options.style,
                strength=options.strength,
                audio=options.audio,
                resume=job.resume,
                backend=self._backend,
                bounds=self._bounds,
            )
            try:
                last = await run_child(order, on_process=_process_of(job), on_word=_words_of(job))
            except OSError as error:
                # No more processes or files for this user; without a word it would run for ever.
                reason = error.strerror or type(error).__name__
                last = {"error": f"no process could be started ({reason}); try to resume it"}
            except Exception:
                _LOG.exception("the conversion of an upload failed")
                last = {"error": "something went wrong in the server; its terminal says what"}
            finally:
                job.process = None
            if last.get("word") == "done":
                job.report = {key: value for key, value in last.items() if key != "word"}
                job.state = "done"
            elif job.stopping:
                job.state = "stopped"
            else:
                job.state = "failed"
                job.error = self._clean(job, str(last.get("error", "")))

    def _clean(self, job: Job, message: str) -> str:
        """``message`` with the client's names in place of the server's paths."""
        for path, name in ((job.upload.path, job.upload.name), (job.target, job.result_name)):
            message = message.replace(str(path), name).replace(path.name, name)
        folder = str(self._spool.folder)
        message = message.replace(repr(folder), "the server's folder")
        message = message.replace(f"{folder}/", "").replace(folder, "the server's folder")
        line = " ".join(message.split())[:_MOST_MESSAGE]
        return line or "the conversion ended without a word; resume it, or try another file"


def _process_of(job: Job) -> Callable[[Process], None]:
    """Notes the process of ``job``; one that is to be stopped already is told at once."""

    def note(process: Process) -> None:
        job.process = process
        if job.stopping:
            _interrupt(process)

    return note


def _words_of(job: Job) -> Callable[[dict[str, Any]], None]:
    """Notes what the process of ``job`` says on its way."""

    def note(said: dict[str, Any]) -> None:
        word = said.pop("word")
        if word == "backend":
            job.backend = str(said.get("backend", ""))
        else:
            job.doing, job.progress = word, said

    return note


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
            said = json.loads(line)
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


def _interrupt(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await process.wait()
