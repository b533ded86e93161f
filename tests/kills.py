"""Runs of the program that are killed at a chosen call of the system, by strace.

strace counts the calls of each thread; one that is injured dies before it is made.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.snapshots import Snapshot, differences, snapshot

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 30
"""Each run ends within so many."""

NAMING = (
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
)
KEEPING = ("fsync", "fdatasync", "sync", "syncfs", "ftruncate", "truncate", "fchmod", "chmod")
WRITING = ("write", "pwrite64")

RUN = """
import sys
from rtstyle.backends import FakeStylizer
from rtstyle.errors import RtstyleError
from rtstyle.pipeline import stylize_video

source, output, *flags = sys.argv[1:]
try:
    with FakeStylizer(invert=True) as stylizer:
        stylize_video(
            source, output, None, stylizer=stylizer, preset="ultrafast", segment_frames=8,
            resume="--resume" in flags, overwrite="--overwrite" in flags,
        )
except RtstyleError as error:
    print(f"rtstyle: {error}", file=sys.stderr)
    raise SystemExit(error.exit_code)
"""
"""``rtstyle video`` with segments that are quickly full, and no net."""

Door = Callable[..., list[str]]
"""The line of a run, from source, output and flags."""


def by_library(source: Path, output: Path, *flags: str) -> list[str]:
    """A run with segments of eight frames."""
    return [sys.executable, "-c", RUN, str(source), str(output), *flags]


def by_command(source: Path, output: Path, *flags: str) -> list[str]:
    """A run as a user begins it."""
    options = ("--strength", "0", "--preset", "ultrafast", *flags)
    line = (sys.executable, "-m", "rtstyle.cli.main", "video", source, "-o", output, *options)
    return [str(word) for word in line]


def strace_works() -> bool:
    """Whether strace is there, and allowed to follow a process."""
    line = ["strace", "-qq", "-o", os.devnull, "true"]
    there = shutil.which("strace") is not None
    return there and subprocess.run(line, capture_output=True, timeout=SECONDS).returncode == 0


def require_strace() -> None:
    """Skip a test where strace is missing or may not be used; fail it where CI is to have it."""
    if not strace_works():
        reason = "strace is missing, or not allowed here"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Kill:
    """The moment before a call: the n-th of its kind, from 1."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} {self.number}"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    code: int
    """Minus a signal's number where one ended it; 124 where it hung."""
    told: str
    log: str

    @property
    def killed(self) -> bool:
        return self.code in (-9, 137)


def start(
    line: Sequence[str], log: Path, kill: Kill | None = None, *, all_calls: str = ""
) -> Ended:
    """Run to the end, or to the kill."""
    words: list[str] = []
    if kill is not None:
        inject = f"inject={kill.call}:signal=SIGKILL:when={kill.number}"
        words = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", f"trace={kill.call}"]
        words += ["-e", inject]
    elif all_calls:
        words = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", f"trace={all_calls}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [*words, *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=log.parent,
        start_new_session=True,
    ) as child:
        try:
            told, _ = child.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            told, _ = child.communicate()
            return Ended(124, told, "")
    traced = log.read_text(errors="replace") if words else ""
    return Ended(child.returncode, told, traced)


_LINE = re.compile(r"(\d+)\s+(?:<\.\.\. )?(\w+)[( ]")


def calls_of(log: str, folder: Path) -> list[Kill]:
    """The calls of an uninjured run that concern ``folder``, in their order."""
    counted: Counter[tuple[str, str]] = Counter()
    found = []
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is None or "resumed>" in line:
            continue
        thread, call = match.groups()
        counted[thread, call] += 1
        if str(folder) in line or call in ("sync", "syncfs"):
            found.append(Kill(call, counted[thread, call]))
    return sorted(set(found), key=found.index)


@dataclass
class Table:
    """What came of the kills, by the call."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def count(self, kill: Kill, what: str) -> None:
        self.rows.setdefault(kill.call, Counter())[what] += 1

    def shown(self, title: str) -> str:
        """As text."""
        columns = ("kills", "not reached", "resumed", "was there", "exit 4", "findings")
        lines = [title, f"{'call':12}" + "".join(f"{name:>12}" for name in columns)]
        for call, row in sorted(self.rows.items()):
            lines.append(f"{call:12}" + "".join(f"{row[name]:12}" for name in columns))
        lines += [f"  {finding}" for finding in self.findings]
        return "\n".join(["", *lines, ""])


class Place:
    """A folder with a film to be converted and files that are no business of the run."""

    def __init__(self, folder: Path, clip: Path, *, replaced: bool) -> None:
        """``replaced``: there is an output already, to be overwritten."""
        folder.mkdir()
        self.folder, self.log = folder, folder.with_name(f"{folder.name}.log")
        self.source, self.output = folder / f"in{clip.suffix}", folder / "out.mp4"
        shutil.copy(clip, self.source)
        os.link(self.source, folder / "hard.mkv")
        (folder / "soft.mkv").symlink_to(self.source.name)
        (folder / "out.mp4.dangling").symlink_to("nowhere")
        for name in STRANGERS:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"precious {name}")
        if replaced:
            self.output.write_text("of an earlier run")
        self.replaced = replaced
        self.before: Snapshot = snapshot(folder)

    def changed(self) -> list[str]:
        """What differs now, apart from the output and its work folder."""
        own = [str(p.relative_to(self.folder)) for p in self.folder.glob("out.mp4.parts/**/*")]
        return differences(
            self.before, snapshot(self.folder), may_change=["out.mp4", "out.mp4.parts", *own]
        )

    def at_the_end(self) -> list[str]:
        """What differs at the end, apart from the output; nothing else may be left."""
        lines = differences(self.before, snapshot(self.folder), may_change=["out.mp4"])
        left = [line for line in lines if line.startswith("out.mp4.parts")]
        rest = [line for line in lines if line not in left]
        return [*rest, f"{len(left)} names of its own are left"] if left else rest

    def has(self, film: str) -> bool:
        return self.output.is_file() and digest(self.output) == film

    def as_before(self) -> bool:
        """Whether the output is what it was before the run."""
        return snapshot(self.folder).get("out.mp4") == self.before.get("out.mp4")


STRANGERS = (
    *("out.mp4.part", "out.mp4.part.mp4", "out.partial.mp4", "out.mp4.0123456789abcdef.part"),
    *(".out.mp4", ".hidden", "out.mp4.parts.zip", "out.json", "journal.json"),
    *("other.mp4.parts/000000.mkv", "other.mp4.parts/journal.json", "out.mp4.parts~/film.mp4"),
)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Series:
    """Kills of one kind of run, each in a folder of its own."""

    door: Door
    clip: Path
    scratch: Path
    overwrite: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--overwrite",) if self.overwrite else ()

    def place(self, name: str) -> Place:
        return Place(self.scratch / name, self.clip, replaced=self.overwrite)

    def uninjured(self) -> tuple[str, list[Kill]]:
        """The film that is to come out, and all the calls on the way."""
        place = self.place("uninjured")
        line = self.door(place.source, place.output, *self.flags)
        calls = ",".join((*NAMING, *KEEPING, *WRITING))
        ended = start(line, place.log, all_calls=calls)
        assert ended.code == 0, ended.told
        assert place.at_the_end() == []
        found = calls_of(ended.log, place.folder)
        assert {"rename", "unlink", "write", "fsync"} <= {kill.call for kill in found}
        return digest(place.output), found

    def run(self, kills: Iterable[Sequence[Kill]], film: str, table: Table) -> None:
        """Each of the ``kills`` is one or more in a row, the first run and those that resume it;
        then it is resumed to the end."""
        for number, row in enumerate(kills):
            place = self.place(str(number))
            found = list(self._killed(place, row, film, table))
            if found:
                table.count(row[0], "findings")
                told = ", then ".join(map(str, row))
                table.findings.extend(f"{told}: {finding}" for finding in found)
            else:
                shutil.rmtree(place.folder)
                place.log.unlink(missing_ok=True)

    def _killed(self, place: Place, row: Sequence[Kill], film: str, table: Table) -> Iterable[str]:
        ended = Ended(0, "", "")
        for number, kill in enumerate(row):
            flags = (*self.flags, *(["--resume"] if number else []))
            ended = start(self.door(place.source, place.output, *flags), place.log, kill)
            table.count(row[0], "kills" if ended.killed else "not reached")
            yield from place.changed()
            if not place.has(film) and not place.as_before():
                yield "killed, it leaves an output that is neither the old one nor the film"
            if not ended.killed:
                yield from _faults(ended, 4 if number and place.has(film) else 0)
                break
        there, traces = place.has(film), list(place.folder.glob("out.mp4.parts/*"))
        line = self.door(place.source, place.output, *self.flags, "--resume")
        ended = start(line, place.log)
        told = "exit 4" if ended.code == 4 else "was there" if there else "resumed"
        table.count(row[0], told)
        # Without a trace of the run that made it the film is a file as any other.
        may_be_refused = there and not self.overwrite and not traces
        yield from _faults(ended, 4 if may_be_refused else 0)
        if ended.code == 4 and "exists already" not in ended.told:
            yield f"another refusal: {ended.told.strip()}"
        if not place.has(film):
            yield "resumed, it is another film, or none"
        yield from place.at_the_end()


def _faults(ended: Ended, *codes: int) -> Iterable[str]:
    if ended.code not in (0, *codes):
        yield f"ended with {ended.code}: {ended.told.strip()[-300:]}"
    if "Traceback" in ended.told or "unexpected" in ended.told:
        yield f"told {ended.told.strip()[-300:]}"


def sampled(kills: Sequence[Kill], most: int | None, seed: int) -> list[Kill]:
    """At most so many, all over the run."""
    if most is None or len(kills) <= most:
        return list(kills)
    chosen = set(random.Random(seed).sample(kills, most))
    return [kill for kill in kills if kill in chosen]
