"""Thousands of damaged clips, converted in processes that may die: none does, none hangs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.release.mutants import Mutant, mutant, seeds

ROOT = Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("RTSTYLE_MUTATIONS", "200"))
FIRST = int(os.environ.get("RTSTYLE_MUTATIONS_FIRST", "0"))
SEED = int(os.environ.get("RTSTYLE_SEED", "1"))
CRASHERS = Path(os.environ.get("RTSTYLE_CRASHERS", ROOT / "crashers"))
LONGEST = 10.0
"""Seconds."""
MOST_MEMORY = 2**30
REUSES = 50
"""Files a process converts before the next takes over: a leak does not add up to a finding."""


class Converter:
    """A process that converts one file after the other."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self.orders = 0
        self._child = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "tests.release.converter"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def convert(self, source: Path, output: Path, audio: str) -> dict[str, Any]:
        """What it said, or ``state`` ``crash``, ``hang`` or ``memory``; then it has ended."""
        assert self._child.stdin is not None
        self.orders += 1
        order = {"source": str(source), "output": str(output), "audio": audio}
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(json.dumps(order).encode() + b"\n")
            self._child.stdin.flush()
        answer, deadline = b"", time.monotonic() + LONGEST
        while not answer.endswith(b"\n"):
            assert self._child.stdout is not None
            if select.select([self._child.stdout], [], [], 0.05)[0]:
                part = os.read(self._child.stdout.fileno(), 2**16)
                answer += part
                if not part:
                    return {"state": "crash", "code": self._child.wait(LONGEST)}
            elif self._resident() > MOST_MEMORY:
                return self._ended("memory")
            elif time.monotonic() > deadline:
                return self._ended("hang")
        found: dict[str, Any] = json.loads(answer)
        return found if found["peak_bytes"] <= MOST_MEMORY else {**found, "state": "memory"}

    def _resident(self) -> int:
        pages = Path(f"/proc/{self._child.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _ended(self, state: str) -> dict[str, Any]:
        self._child.kill()
        return {"state": state, "code": self._child.wait(LONGEST)}

    def close(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._child.kill()
        self._child.wait(LONGEST)
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass
class Finding:
    """A damaged file that was not met as it should be."""

    mutant: Mutant
    why: str

    def __str__(self) -> str:
        return f"{self.mutant.name} (of {self.mutant.source}): {self.why}"


def fault_of(found: dict[str, Any], folder: Path, output: Path) -> str | None:
    """What is wrong with the end of a conversion; None where it is as it should be."""
    left = sorted(path.name for path in folder.iterdir())
    match found["state"]:
        case "done":
            if found["frames_stored"] != found["frames_out"]:
                return f"{found['frames_stored']} frames stored, {found['frames_out']} reported"
            if found["frames_out"] != found["frames_in"]:
                return f"{found['frames_in']} frames read, {found['frames_out']} written"
            if not found["times_grow"]:
                return "times do not grow"
            if not found["verify_frames"]:
                return "verify finds more or fewer frames in the input than in the output"
            return None if left == [output.name] else f"left behind: {left}"
        case "refused":
            if "\n" in found["message"]:
                return f"several lines: {found['message']!r}"
            if found["exit_code"] != 3 and "--audio" not in found["message"]:
                # Nothing is wrong with the destination.
                return f"{found['kind']} {found['message']!r}"
            # What is kept to go on with is named in the message.
            kept = [f"{output.name}.parts"] if "--resume" in found["message"] else []
            return None if left in ([], kept) else f"left behind: {left}"
        case state:
            return f"{state} {found.get('code', '')} {found.get('message', '')}"


def conversions(folder: Path) -> Iterator[tuple[Mutant, dict[str, Any], str | None]]:
    """Every damaged file, how its conversion ended, and what was wrong with that."""
    (folder / "clips").mkdir()
    clips = seeds(folder / "clips")
    log = folder / "stderr.txt"
    converter = Converter(log)
    try:
        for number in range(FIRST, FIRST + COUNT):
            one = mutant(SEED, number, clips)
            found, fault = _tried(converter, one, folder)
            again = fault is not None and converter.orders > 1
            if found["state"] in ("crash", "hang", "memory") or converter.orders >= REUSES or again:
                converter.close()
                converter = Converter(log)
            if again:
                # By itself: what came before it in the same process, or a busy machine, is not
                # its fault.
                found, second = _tried(converter, one, folder)
                if second is not None:
                    fault = second
                elif fault is not None and fault.startswith("hang"):
                    fault = None
                else:
                    fault = f"{fault} (not when converted alone)"
                converter.close()
                converter = Converter(log)
            yield one, found, fault
    finally:
        converter.close()


def _tried(converter: Converter, one: Mutant, folder: Path) -> tuple[dict[str, Any], str | None]:
    target = folder / "out"
    target.mkdir()
    source = folder / f"mutant{Path(one.source).suffix}"
    source.write_bytes(one.data)
    output = target / ("out.mp4" if one.number % 2 else "out.mkv")
    audio = "aac" if one.number % 5 == 0 else "copy"
    found = converter.convert(source, output, audio)
    fault = fault_of(found, target, output)
    if fault is None and found.get("exit_code") == 4:
        # Refused for its sound: what the message advises must help.
        shutil.rmtree(target)
        target.mkdir()
        found = {**converter.convert(source, output, "none"), "kind": "SoundRefused"}
        fault = fault_of(found, target, output)
        if fault is None and found.get("exit_code") == 4:
            fault = f"no help: {found['message']}"
    shutil.rmtree(target)
    return found, fault


def test_damaged_clips_end_in_frames_or_in_one_line(tmp_path: Path) -> None:
    findings: list[Finding] = []
    ends: Counter[str] = Counter()
    peak, silent = 0, 0
    for one, found, fault in conversions(tmp_path):
        ends[found.get("kind", found["state"])] += 1
        peak = max(peak, found.get("peak_bytes", 0))
        if found["state"] == "done":
            told = found["decode_failures"] or found["loss"] or found["notes"]
            silent += found["frames_out"] < 30 and not told
        if fault is not None:
            findings.append(Finding(one, fault))
            CRASHERS.mkdir(parents=True, exist_ok=True)
            (CRASHERS / one.name).write_bytes(one.data)
    sys.stderr.write(
        f"{COUNT} files of seed {SEED} from {FIRST}: {dict(ends.most_common())}, most memory "
        f"{peak // 2**20} MiB, {silent} shorter without a word\n"
    )
    assert not findings, "\n".join([f"kept in {CRASHERS}:", *map(str, findings)])
    if COUNT >= 100:
        # Else the files were too damaged to prove anything, or not at all.
        assert ends["done"] > COUNT // 4
        assert len(ends) > 1
