"""``rtstyle video --jobs``: films of a batch beside each other, told of as they come."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rtstyle.cli.batch import Batch
from rtstyle.cli.progress import BatchDisplay
from rtstyle.cli.terminal import echo
from rtstyle.pipeline import (
    Begun,
    Event,
    Failed,
    Fewer,
    Finished,
    Job,
    Loaded,
    Progress,
    SideBySide,
    Stopped,
    stop_on_interrupt,
)

MOST_JOBS = 64
"""Beyond that a number is a slip of the hand; each job holds a net of its own."""


def run_beside(batch: Batch, options: Mapping[str, Any], *, processes: int) -> None:
    """Convert the films of ``batch``, ``processes`` at a time, and tell what becomes of each.

    ``options`` are those of stylize_video but for the two files. Raises KeyboardInterrupt, with a
    line on how far it came, and what keeps the net from being loaded.
    """
    running: set[Job] = set()
    stopped: dict[Job, str] = {}
    with BatchDisplay(sys.stderr, films=len(batch.jobs)) as display, stop_on_interrupt() as stop:
        teller = _Teller(batch, display, running, stopped)
        try:
            with SideBySide(batch.jobs, options, processes=processes, stop=stop) as side:
                for job, event in side.events():
                    teller.tell(job, event)
        except KeyboardInterrupt as error:
            display.wipe()
            stopped.update(dict.fromkeys(running, "interrupted"))
            raise batch.interrupted(stopped) from error
        except BaseException:
            # What ends the batch ends them with it.
            for job in running:
                batch.stopped(job, "ended with the batch")
            raise
        display.wipe()
        if stopped or (stop.is_set() and not batch.is_through):
            raise batch.interrupted(stopped)


class _Teller:
    """Passes on what happens to the films, to the display, the batch and the terminal."""

    def __init__(
        self, batch: Batch, display: BatchDisplay, running: set[Job], stopped: dict[Job, str]
    ) -> None:
        self._batch, self._display = batch, display
        self._running, self._stopped = running, stopped
        self._backends: set[str] = set()

    def tell(self, job: Job, event: Event) -> None:
        if isinstance(event, Progress):
            self._display.moved(job, event)
            return
        if isinstance(event, Begun):
            self._running.add(job)
            self._display.begun(job)
            return
        self._display.wipe()
        if isinstance(event, Loaded):
            self._say_backend(str(event.info))
            return
        self._running.discard(job)
        if isinstance(event, Fewer):
            self._display.put_off(job)
            echo(f"note: {event.message}")
            return
        self._display.ended(
            job, frames=event.report.frames_out if isinstance(event, Finished) else 0
        )
        if isinstance(event, Finished):
            self._batch.finished(job, event.report)
        elif isinstance(event, Failed):
            self._batch.failed(job, event.message, event.exit_code)
        elif isinstance(event, Stopped):
            self._stopped[job] = event.message

    def _say_backend(self, backend: str) -> None:
        """Once, unless one process got another than the rest."""
        if backend not in self._backends:
            self._backends.add(backend)
            echo(f"backend: {backend}")
