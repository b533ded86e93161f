"""Work folders that somebody or something has tampered with, resumed: the same film, or a line."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kills import Ended, by_library, digest, start
from tests.release import tampering
from tests.release.tampering import FILE_ACTS, FOLDER_ACTS, STATES, Act, Tampered, kind_of, rewrite
from tests.release.test_kills import noisy
from tests.snapshots import differences, snapshot

COUNT = int(os.environ.get("RTSTYLE_TAMPERINGS", "400"))
SEED = int(os.environ.get("RTSTYLE_SEED", "1"))
ALONE = os.environ.get("RTSTYLE_TAMPERING", "")
FLAGS = ("--resume", "--resume", "--resume", "--resume", "--overwrite", "", "--resume --overwrite")
DOCUMENTED = (2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Case:
    """One tampering."""

    state: str
    name: str
    act: Act
    flags: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.state}: {self.name} ({' '.join(self.flags) or 'plain'})"


@dataclass(frozen=True)
class Bases:
    """What killed runs left."""

    source: Path
    film: str
    folders: dict[str, Path]
    """For each of the ``STATES`` a folder with the output and its work."""
    other: Path
    """The work folder of another film."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    root = tmp_path_factory.mktemp("bases")
    source = noisy(root / "in.mkv", 60, (128, 96))
    whole = root / "whole.mp4"
    ended = start(by_library(source, whole), root / "log")
    assert ended.code == 0, ended.told
    folders = {}
    for state in STATES:
        folders[state] = root / state
        folders[state].mkdir()
        tampering.killed(source, folders[state] / "out.mp4", state)
    other = root / "other"
    other.mkdir()
    tampering.killed(noisy(root / "b.mkv", 50, (64, 48)), other / "out.mp4", "midway")
    return Bases(source, digest(whole), folders, other / "out.mp4.parts")


def cases(bases: Bases) -> list[Case]:
    """All of files and folders, and as many of records as there is room for."""
    chance = random.Random(SEED)
    named: list[tuple[str, str, Act]] = []
    records: list[tuple[str, str, Act]] = []
    for state, folder in bases.folders.items():
        named += [(state, f"folder: {name}", act) for name, act in FOLDER_ACTS.items()]
        for path in sorted((folder / "out.mp4.parts").iterdir()):
            kind = kind_of(path)
            named += [(state, f"{kind}: {name}", _of_file(kind, name)) for name in FILE_ACTS]
            if kind.endswith(".json"):
                records += [
                    (state, f"{kind}: {name}", _of_record(kind, change))
                    for name, change in tampering.record_acts(path.read_text(), chance)
                ]
    chosen = chance.sample(named, min(len(named), COUNT // 2))
    chosen += chance.sample(records, min(len(records), COUNT - len(chosen)))
    if ALONE:
        chosen = [case for case in (*named, *records) if ALONE in f"{case[0]}: {case[1]}"]
    return [
        Case(state, name, act, tuple(FLAGS[number % len(FLAGS)].split()))
        for number, (state, name, act) in enumerate(chosen)
    ]


def _of_file(kind: str, name: str) -> Act:
    return lambda tampered: FILE_ACTS[name](tampered, tampered.at(kind))


def _of_record(kind: str, change: tampering.Change) -> Act:
    return lambda tampered: rewrite(tampered.at(kind), change)


def prepared(bases: Bases, folder: Path, case: Case) -> Tampered:
    base = bases.folders[case.state]
    folder.mkdir()
    shutil.copytree(base / "out.mp4.parts", folder / "out.mp4.parts")
    shutil.copy2(bases.source, folder / "in.mkv")
    if (base / "out.mp4").exists():
        # The film is known by its inode.
        os.link(base / "out.mp4", folder / "out.mp4")
    (folder / "victims").mkdir(0o700)
    for name in ("victim.mp4", "victims/000000.mkv", "victims/journal.json", "out.mp4.part"):
        (folder / name).write_text(f"precious {name}")
    return Tampered(folder, bases.other)


def faults(bases: Bases, tampered: Tampered, case: Case) -> tuple[Ended, list[str]]:
    """Tamper, run, and see what is wrong with how that ends."""
    case.act(tampered)
    folder = tampered.folder
    before = snapshot(folder)
    output, log = folder / "out.mp4", folder.with_suffix(".log")
    ended = start(by_library(folder / "in.mkv", output, *case.flags), log)
    after = snapshot(folder)
    own = [name for name in before if name.startswith("out.mp4.parts")]
    strange = [name for name in own if "precious" in _content(folder / name)]
    found = differences(
        {name: what for name, what in before.items() if name not in own or name in strange},
        after,
        may_change=["out.mp4", *(n for n in after if n.startswith("out.mp4.parts"))],
    )
    found += [f"{name}: gone or changed" for name in strange if after.get(name) != before[name]]
    found += list(_of_the_end(ended))
    if ended.code == 0:
        if not output.is_file() or digest(output) != bases.film:
            found.append("another film, or none")
        left = [n for n in after if n.startswith("out.mp4.parts/") and n not in before]
        found += [f"{name}: left behind" for name in left]
    elif after.get("out.mp4") != before.get("out.mp4"):
        found.append("refused, it leaves another output")
    if "left as it is" in ended.told:
        found += differences(before, after)
    return ended, found


def _content(path: Path) -> str:
    plain = path.is_file() and not path.is_symlink() and path.stat().st_size < 100
    return path.read_text(errors="replace") if plain else ""


def _of_the_end(ended: Ended) -> Iterator[str]:
    told = ended.told.strip()
    if ended.code not in (0, *DOCUMENTED):
        yield f"ended with {ended.code}: {told[-400:]}"
    if "Traceback" in told or "unexpected" in told:
        yield f"told {told[-400:]}"
    if ended.code and not (told.startswith("rtstyle: ") and len(told.splitlines()) == 1):
        yield f"more or less than a line: {told[-400:]}"
    if len(told) > 2000:
        yield f"a line of {len(told)} letters"


def test_checksums_are_made_as_the_program_makes_them(bases: Bases) -> None:
    """Or else nothing behind them would be reached."""
    seen = 0
    for folder in bases.folders.values():
        for path in (folder / "out.mp4.parts").glob("*.json"):
            record = json.loads(path.read_text())
            if "sha256" in record:
                assert tampering.checksum(record["record"]) == record["sha256"]
                seen += 1
    assert seen >= 20


def test_tampered_work_ends_in_the_same_film_or_in_a_line(tmp_path: Path, bases: Bases) -> None:
    codes: Counter[str] = Counter()
    findings = []
    for number, case in enumerate(cases(bases)):
        folder = tmp_path / str(number)
        tampered = prepared(bases, folder, case)
        ended, found = faults(bases, tampered, case)
        codes[f"{case.state} {ended.code}"] += 1
        findings += [f"{number} {case}: {fault}" for fault in found]
        if not found:
            shutil.rmtree(folder)
    told = [f"{what}: {count}" for what, count in sorted(codes.items())]
    sys.stdout.write("\n".join(["", *told, *findings, ""]))
    assert findings == []
    assert ALONE or codes.total() >= min(COUNT, 200)
