"""Conversions of uploads: a queue, a process each, and what became of them.

Jobs belong to the server, not to a connection, so a page may be closed and opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import stat
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtstyle.errors import LimitExceeded, UsageError
from rtstyle.files import short_name
from rtstyle.web.child import DEFAULT_BOUNDS, Bounds, Order
from rtstyle.web.process import interrupt, kill, run_child
from rtstyle.web.schema import JobOptions
from rtstyle.web.spool import Spool, Upload

_LOG = logging.getLogger(__name__)
MOST_JOBS = 64
_MOST_PREVIEWS = 4
_PATIENCE_SECONDS = 20.0
_STOP_SECONDS = 60.0
"""For the frame in work; whole segments are kept in any case."""
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
    """One conversion. ``state`` is queued, running, done, failed or stopped.

    ``queued`` and ``running`` are those with a task, and there is never more than one: a queued
    one has nothing to undo and is cancelled, a running one ends by its process.
    """

    id: str
    options: JobOptions
    upload: Upload
    target: Path
    state: str = "queued"
    made: float = field(default_factory=time.monotonic)
    resume: bool = False
    stopping: bool = False
    removed: bool = False
    """Whether it is forgotten; what still runs of it ends, and its files go then."""
    progress: dict[str, Any] | None = None
    """frames_done, frames_expected, seconds, fps, eta_seconds; see pipeline.Progress."""
    doing: str = ""
    """``progress`` or ``checking``."""
    backend: str = ""
    error: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    process: Process | None = None
    task: asyncio.Task[None] | None = None
    bytes: int | None = None
    """Of the result, once it is done."""

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
            "bytes": self.bytes if self.state == "done" else None,
            "can_resume": self.can_resume,
        }

    def look(self) -> None:
        """See whether the result of one that is done is still there; others may clean up."""
        if self.state == "done":
            self.bytes = _size(self.target)
            if self.bytes is None:
                self.state, self.report = "failed", {}
                self.error = "its result is gone from the server's folder; paint it again"


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
        # A picture is done in seconds and does not wait for a film of hours. A preview is waited
        # for, and short; one that has just been replaced may still be ending.
        most = {"video": running, "image": running, "preview": _MOST_PREVIEWS}
        self._slots = {kind: asyncio.Semaphore(count) for kind, count in most.items()}
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
        job.task = self._keep(self._run(job))
        return job

    def listed(self) -> list[dict[str, Any]]:
        """What the page is told of all."""
        for job in self.all.values():
            job.look()
        return [job.public() for job in self.all.values()]

    def stop(self, job: Job) -> None:
        """End it after the frame in work; what is done is kept for ``resume``."""
        if job.state == "queued":
            self._unqueue(job)
        elif job.state == "running" and not job.stopping:
            job.stopping = True
            # One that is just being started is told as soon as it is there.
            if job.process is not None:
                self._tell(job.process)

    def resume(self, job: Job) -> None:
        """Go on with one that was stopped or failed; raises UsageError where it was not."""
        if not job.can_resume:
            raise UsageError("this job cannot be resumed")
        job.resume = job.options.kind == "video"
        job.state, job.stopping, job.error, job.progress = "queued", False, "", None
        job.task = self._keep(self._run(job))

    async def remove(self, job: Job) -> None:
        """Forget a job and what it made; the upload too where no other job needs it."""
        self._forget(job)
        # To its end, even where whoever asked goes away meanwhile.
        await asyncio.shield(self._keep(self._clear(job)))
        if all(other.upload.id != job.upload.id for other in self.all.values()):
            self._spool.remove(job.upload)

    async def remove_all_of(self, upload: Upload) -> None:
        """Remove an upload and the jobs that are made of it."""
        # First, so that no new job is made of it meanwhile.
        self._spool.uploads.pop(upload.id, None)
        for job in [job for job in self.all.values() if job.upload is upload]:
            await self.remove(job)
        self._spool.remove(upload)

    async def close(self) -> None:
        """End everything that runs."""
        for job in list(self.all.values()):
            self._forget(job)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop_previews(self, upload: Upload) -> None:
        for job in list(self.all.values()):
            if job.options.kind == "preview" and job.upload.id == upload.id:
                self._forget(job)
                self._keep(self._clear(job))

    def _forget(self, job: Job) -> None:
        """From here on nobody sees it, and nothing of it goes on."""
        self.all.pop(job.id, None)
        job.removed = True
        if job.state == "queued":
            self._unqueue(job)
        elif job.process is not None:
            kill(job.process)
        # Else it is just being started, and is ended as soon as it is there (``_note``).

    async def _clear(self, job: Job) -> None:
        """Wait for the end of a forgotten job, then delete what it made: not before, since it may
        write until then."""
        if job.task is not None:
            done, _ = await asyncio.wait((job.task,), timeout=_PATIENCE_SECONDS)
            if not done:
                job.task.cancel()
                await asyncio.wait((job.task,), timeout=_PATIENCE_SECONDS)
        for path in self._spool.folder.glob(f"{job.id}*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _unqueue(self, job: Job) -> None:
        job.state = "stopped"
        if job.task is not None:
            job.task.cancel()

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _tell(self, process: Process) -> None:
        interrupt(process)
        self._keep(_insist(process))

    def _note(self, job: Job) -> Callable[[Process], None]:
        """Notes the process of ``job``; what was wanted of it while it was made is done at once."""

        def note(process: Process) -> None:
            job.process = process
            if job.removed:
                kill(process)
            elif job.stopping:
                self._tell(process)

        return note

    async def _run(self, job: Job) -> None:
        async with self._slots[job.options.kind]:
            # Nothing is waited for between here and the slot: a queued one was not begun.
            job.state = "running"
            try:
                last = await run_child(
                    self._order(job), on_process=self._note(job), on_word=_words_of(job)
                )
            except OSError as error:
                # No more processes or files for this user; without a word it would run for ever.
                reason = error.strerror or type(error).__name__
                last = {"error": f"no process could be started ({reason}); try to resume it"}
            except Exception:
                _LOG.exception("the conversion of an upload failed")
                last = {"error": "something went wrong in the server; its terminal says what"}
            finally:
                job.process = None
            self._end(job, last)

    def _end(self, job: Job, last: dict[str, Any]) -> None:
        if last.get("word") == "done":
            job.report = {key: value for key, value in last.items() if key != "word"}
            job.state, job.stopping = "done", False
            job.look()
        elif job.stopping:
            job.state = "stopped"
        else:
            job.state = "failed"
            job.error = self._clean(job, str(last.get("error", "")))

    def _order(self, job: Job) -> Order:
        options = job.options
        return Order(
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

    def _clean(self, job: Job, message: str) -> str:
        """``message`` with the client's names in place of the server's paths."""
        for path, name in ((job.upload.path, job.upload.name), (job.target, job.result_name)):
            message = message.replace(str(path), name).replace(path.name, name)
        folder = str(self._spool.folder)
        message = message.replace(repr(folder), "the server's folder")
        message = message.replace(f"{folder}/", "").replace(folder, "the server's folder")
        line = " ".join(message.split())[:_MOST_MESSAGE]
        return line or "the conversion ended without a word; resume it, or try another file"


async def _insist(process: Process) -> None:
    """End a process that does not stop: it hears of that only between two frames."""
    await asyncio.sleep(_STOP_SECONDS)
    if process.returncode is None:
        kill(process)


def _size(path: Path) -> int | None:
    """Bytes of a regular file; None where there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _words_of(job: Job) -> Callable[[dict[str, Any]], None]:
    """Notes what the process of ``job`` says on its way."""

    def note(said: dict[str, Any]) -> None:
        word = said.pop("word")
        if word == "backend":
            job.backend = str(said.get("backend", ""))
        else:
            job.doing, job.progress = word, said

    return note
