"""``rtstyle video`` with many films: what becomes of each, past those that fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from rtstyle.addresses import without_secrets_in
from rtstyle.cli.progress import ProgressDisplay
from rtstyle.cli.report import as_json, write_json
from rtstyle.cli.terminal import echo
from rtstyle.errors import (
    EXIT_FINISHED_WITH_LOSS,
    EXIT_INTERRUPTED,
    DiskFull,
    Interrupted,
    RtstyleError,
)
from rtstyle.pipeline import BatchPlan, Job, make_place
from rtstyle.types import RunReport

Convert = Callable[..., RunReport]
"""``stylize_video`` with all but source, output and progress given."""


class Batch:
    """Runs the jobs of a plan one after another, and remembers and tells what became of each."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan = plan
        self._records: dict[Job, dict[str, object]] = {
            job: {"state": "skipped"} for job in plan.skipped
        }
        self._number = {job: number for number, job in enumerate(plan.jobs, 1)}
        self._failures: list[tuple[Job, str, int]] = []
        self._finished = 0
        self._lossy = 0

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Those that are to be converted."""
        return self._plan.jobs

    @property
    def is_through(self) -> bool:
        """Whether each film was either finished or has failed."""
        return self._finished + len(self._failures) == len(self._plan.jobs)

    def run(self, convert: Convert) -> None:
        """Convert every film; raises KeyboardInterrupt, with a line on how far it came.

        A full disk ends the batch, since what follows would only be painted to be lost.
        """
        for job in self._plan.jobs:
            try:
                self._convert(job, convert)
            except DiskFull as error:
                self.failed(job, str(error), error.exit_code)
                return
            except RtstyleError as error:
                self.failed(job, str(error), error.exit_code)
            except KeyboardInterrupt as error:
                message = str(error) or "interrupted"
                self.stopped(job, message)
                raise self._interrupted(error, f"{self._place(job)}: {message}") from error
            except Exception as error:
                # A defect met by one film must not cost the night that the others need.
                self.failed(job, f"unexpected {type(error).__name__}: {error}", 1)

    def _convert(self, job: Job, convert: Convert) -> None:
        make_place(job)
        with ProgressDisplay(sys.stderr, label=self._place(job)) as display:
            report = convert(job.source, job.target, progress=display, checking=display.checking)
        self.finished(job, report)

    def finished(self, job: Job, report: RunReport) -> None:
        """A film is whole."""
        self._finished += 1
        self._lossy += report.finished_with_loss
        self._records[job] = {"state": "finished", **as_json(report)}
        for note in report.notes:
            echo(f"note: {job.source}: {note}")
        echo(
            f"{self._place(job)}: {job.source} -> {report.output}  {report.frames_out} frames in "
            f"{report.seconds:.1f} s ({report.fps:.1f} fps)"
        )

    def failed(self, job: Job, message: str, code: int) -> None:
        """A film could not be converted; the exit code is what it would be alone."""
        message = " ".join(message.splitlines())
        self._failures.append((job, message, code))
        told = without_secrets_in(message)
        self._records[job] = {"state": "failed", "error": told, "exit_code": code}
        echo(f"{self._place(job)}: {job.source} failed: {message}", err=True)

    def stopped(self, job: Job, message: str) -> None:
        """A film was interrupted; nothing is told."""
        self._records[job] = {
            "state": "interrupted",
            "error": message,
            "exit_code": EXIT_INTERRUPTED,
        }

    def interrupted(self, stopped: Mapping[Job, str]) -> KeyboardInterrupt:
        """Note and tell which films were ``stopped`` and how far they were; what to raise then."""
        for job, message in stopped.items():
            self.stopped(job, message)
            echo(f"{self._place(job)}: {job.source}: {message}", err=True)
        return KeyboardInterrupt(
            f"interrupted; {_counted(self._finished)} finished, "
            "and the same command with --resume goes on with the rest"
        )

    def _place(self, job: Job) -> str:
        return f"file {self._number[job]} of {len(self._plan.jobs)}"

    def _interrupted(self, error: KeyboardInterrupt, message: str) -> KeyboardInterrupt:
        line = (
            f"{message}; {_counted(self._finished)} finished, "
            "and the same command with --resume goes on with the rest"
        )
        if isinstance(error, Interrupted):
            return Interrupted(line, kept=error.kept, frames=error.frames)
        return KeyboardInterrupt(line)

    @property
    def exit_code(self) -> int:
        """That of the first film that failed; 8 where nothing worse than losses happened."""
        if self._failures:
            return min(self._failures, key=self._in_order)[2]
        return EXIT_FINISHED_WITH_LOSS if self._lossy else 0

    def say_result(self) -> None:
        """Sum up, the failures last."""
        jobs, begun = len(self._plan.jobs), self._finished + len(self._failures)
        parts = [f"done: {self._finished} of {_counted(jobs)} -> {self._plan.folder}"]
        if self._plan.skipped:
            parts.append(f"{len(self._plan.skipped)} skipped, being there already")
        if self._lossy:
            parts.append(f"{self._lossy} with loss of frames, see the notes")
        if begun < jobs:
            parts.append(f"{jobs - begun} not begun")
        echo("; ".join(parts))
        self.list_failures()

    def list_failures(self) -> None:
        """Each film that failed and why, on stderr."""
        if self._failures:
            echo(f"{len(self._failures)} of {_counted(len(self._plan.jobs))} failed:", err=True)
        for job, message, _ in sorted(self._failures, key=self._in_order):
            echo(f"  {job.source}: {message}", err=True)

    def _in_order(self, failure: tuple[Job, str, int]) -> int:
        return self._number[failure[0]]

    def write_report(self, path: Path, *, overwrite: bool) -> None:
        """One record a film, in the order of the plan, whatever became of it."""
        records = [
            {
                "input": without_secrets_in(str(job.source)),
                "output": str(job.target),
                **self._records.get(job, {"state": "not begun"}),
            }
            for job in (*self._plan.skipped, *self._plan.jobs)
        ]
        write_json(records, path, overwrite=overwrite)


def _counted(films: int) -> str:
    return "1 video" if films == 1 else f"{films} videos"
