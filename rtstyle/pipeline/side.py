"""Films of a batch beside each other. Only this module and the web jobs start processes for films.

Processes rather than threads: one that crashes or is killed for its memory costs its own film.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Self

from rtstyle.backends import processor_features
from rtstyle.errors import BackendOutOfMemory, RtstyleError
from rtstyle.pipeline.batch import Job
from rtstyle.pipeline.journal import kept_frames
from rtstyle.pipeline.stats import Progress
from rtstyle.pipeline.worker import Failed, Loaded, NotLoaded, Stopped, Word, work

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0
_DYING_SECONDS = 1.0
_KILL = 9


@dataclass(frozen=True, slots=True)
class Begun:
    """A film was given to a process."""


@dataclass(frozen=True, slots=True)
class Fewer:
    """A process had to be given up, its film is begun later."""

    message: str


Event = Begun | Fewer | Word


@dataclass(slots=True, eq=False)
class _Process:
    process: SpawnProcess
    pipe: Connection
    job: Job | None = None


class SideBySide:
    """Converts films, ``processes`` at a time, each process with its share of the processor.

    As a context: whatever it is left by, every process has ended then.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        options: Mapping[str, Any],
        *,
        processes: int,
        stop: threading.Event,
    ) -> None:
        """``options`` are those of stylize_video but for the two files; they must be picklable.

        Once ``stop`` is set, films in work are stopped after their frame, and no other is begun.
        """
        if processes < 1:
            raise ValueError(f"processes must be at least 1, got {processes}")
        self._waiting = deque(jobs)
        self._options, self._limit, self._stop = dict(options), processes, stop
        self._threads = max(1, processor_features().cores // processes)
        self._context = get_context("spawn")
        self._no_more = False
        self._working: list[_Process] = []
        self._leaving: list[_Process] = []

    def events(self) -> Iterator[tuple[Job, Event]]:
        """What happens to which film, as it happens, until none is in work.

        Each film that is begun is Finished, Failed or Stopped in the end, or put off by Fewer.
        After a disk was found full no other is begun, while those in work go on to their end.

        Raises what keeps the net from being loaded, unless fewer processes can.
        """
        told = False
        while True:
            if self._stop.is_set():
                self._no_more = True
                if not told:
                    self._tell_to_stop()
                told = True
            if self._no_more:
                self._waiting.clear()
            yield from self._hand_out()
            if not self._working:
                return
            ready = wait([worker.pipe for worker in self._working], _POLL_SECONDS)
            for worker in [worker for worker in self._working if worker.pipe in ready]:
                yield from self._hear(worker)

    def _hand_out(self) -> Iterator[tuple[Job, Event]]:
        """Give each free process a film, start some where there may be more, let go the rest."""
        for worker in [worker for worker in self._working if worker.job is None]:
            if not self._waiting:
                self._let_go(worker)
                continue
            yield from self._give(worker)
        while self._waiting and len(self._working) < self._limit:
            try:
                worker = self._start()
            except OSError as error:
                refusal = RtstyleError(
                    f"no process can be started for a film ({error.strerror}); "
                    "give a smaller --jobs"
                )
                yield self._waiting[0], self._with_fewer(refusal)
                continue
            yield from self._give(worker)

    def _give(self, worker: _Process) -> Iterator[tuple[Job, Event]]:
        worker.job = self._waiting.popleft()
        # One that is dead says so when it is heard.
        with contextlib.suppress(OSError):
            worker.pipe.send(worker.job)
        yield worker.job, Begun()

    def _hear(self, worker: _Process) -> Iterator[tuple[Job, Event]]:
        job = worker.job
        try:
            word: Word = worker.pipe.recv()
        except (EOFError, OSError):
            self._let_go(worker)
            if job is not None:
                yield job, Failed(_death(worker.process, job), 1)
            return
        # Nothing is heard of a process that was given nothing.
        assert job is not None
        if isinstance(word, NotLoaded):
            self._let_go(worker)
            if self._stop.is_set():
                yield job, Stopped("interrupted")
                return
            fewer = self._with_fewer(word.error)
            self._waiting.appendleft(job)
            yield job, fewer
            return
        if isinstance(word, Failed) and word.disk_full:
            # What follows would only be painted to be lost.
            self._no_more = True
        if not isinstance(word, Loaded | Progress):
            worker.job = None
        yield job, word

    def _with_fewer(self, error: Exception) -> Fewer:
        """One process fewer from now on; raises ``error`` where that helps nothing."""
        scarce = isinstance(error, BackendOutOfMemory) or type(error) is RtstyleError
        if not scarce or self._limit == 1:
            raise error
        self._limit -= 1
        films = "1 film" if self._limit == 1 else f"{self._limit} films"
        return Fewer(f"only {films} at a time from here on: {error}")

    def _tell_to_stop(self) -> None:
        for worker in self._working:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)

    def _start(self) -> _Process:
        ours, theirs = self._context.Pipe()
        try:
            process = self._context.Process(
                target=work, args=(theirs, self._options, self._threads), name="rtstyle-film"
            )
            with _held_signals():
                process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            # What is left of it is the process's own, so that its death closes the pipe.
            theirs.close()
        worker = _Process(process, ours)
        self._working.append(worker)
        return worker

    def _let_go(self, worker: _Process) -> None:
        worker.pipe.close()
        self._working.remove(worker)
        self._leaving.append(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in list(self._working):
            self._let_go(worker)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for worker in self._leaving:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._leaving.clear()


def _death(process: SpawnProcess, job: Job) -> str:
    """Why a film ended with its process, and what can be done."""
    process.join(_DYING_SECONDS)
    code = process.exitcode
    if code is not None and code < 0:
        short = ", as the system does where memory runs out" if -code == _KILL else ""
        told = f"its process was killed by signal {-code} ({signal.strsignal(-code)}){short}"
    else:
        told = "its process ended" if code is None else f"its process ended with exit code {code}"
    kept = kept_frames(job.target)
    if kept:
        return f"{told} ({kept} frames are kept: the same command with --resume goes on from there)"
    return told


@contextlib.contextmanager
def _held_signals() -> Iterator[None]:
    """Keep Ctrl-C from a process that is being started until it has said how to take it."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    # Starting the tracker unblocks what is blocked here.
    resource_tracker.ensure_running()
    held = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
