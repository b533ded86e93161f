"""Work folders of killed runs, and all that can be done to the files in them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.kills import ROOT, RUN, SECONDS

KILLED = """
import os, re, signal, sys

event, pattern, left = sys.argv[1], re.compile(sys.argv[2]), int(sys.argv[3])
del sys.argv[1:4]

def hook(name, arguments):
    global left
    if name == event and pattern.search(str(arguments[0])):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
"""

Act = Callable[["Tampered"], object]
Change = Callable[[str], str]
"""Of the text of a record."""
Moment = tuple[str, str, int]
"""An audit event, what its first argument must hold, and at which of them the run is killed."""

STATES: dict[str, list[Moment]] = {
    "midway": [("os.rename", r"000004\..*json\.new$", 1)],
    "moved": [("os.remove", r"00000[1-9]\..*mkv$", 3)],
    "joined": [("os.remove", r"00000[1-9]\..*mkv$", 3), ("os.rename", r"placed\..*\.new$", 1)],
    "placed": [("os.remove", r"asked\.|00000\d\.json", 1)],
}
"""Killed after four segments; while the film is put together, segments having been removed; again,
when it was whole; and when it had its name."""


def killed(source: Path, output: Path, state: str) -> None:
    """Leave what a run leaves that is killed, and resumed and killed again, at such a moment."""
    for number, (event, pattern, count) in enumerate(STATES[state]):
        line = [sys.executable, "-c", KILLED + RUN, event, pattern, str(count)]
        line += [str(source), str(output), *(["--resume"] if number else [])]
        done = subprocess.run(
            line, cwd=ROOT, timeout=SECONDS, capture_output=True, text=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert output.exists() == (state == "placed")


@dataclass
class Tampered:
    """A folder with what a killed run left in it, to be tampered with."""

    folder: Path
    other: Path
    """The work folder of another film's run."""

    @property
    def parts(self) -> Path:
        return self.folder / "out.mp4.parts"

    @property
    def victim(self) -> Path:
        return self.folder / "victim.mp4"

    def stranger(self, name: str, text: str = "precious") -> None:
        path = self.parts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def at(self, kind: str) -> Path:
        """The file of that kind, see ``kind_of``."""
        return next(path for path in sorted(self.parts.iterdir()) if kind_of(path) == kind)

    def of_the_other(self, kind: str) -> Path:
        """The same of another film, or its first segment where that has none of the kind."""
        paths = sorted(self.other.iterdir())
        same = [path for path in paths if kind_of(path) == kind]
        return same[0] if same else next(p for p in paths if kind_of(p) == "000000.mkv")


def kind_of(path: Path) -> str:
    """The name without what is random in it."""
    words = path.name.split(".")
    return ".".join(word for word in words if not (len(word) == 16 and set(word) <= _HEX))


_HEX = set("0123456789abcdef")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path, where: float) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[int(len(data) * where)] ^= 0x10
        path.write_bytes(data)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(5000))


def sparse(path: Path) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.truncate(2**40)


def replaced_by(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def socket_at(path: Path) -> None:
    before = Path.cwd()
    # Names of sockets are short.
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def folder_at(path: Path) -> None:
    path.mkdir()
    (path / "film.mp4").write_text("precious")


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def linked(t: Tampered, path: Path) -> None:
    """What it was lies elsewhere."""
    shutil.move(path, t.folder / "moved")
    path.symlink_to("../moved")


FILE_ACTS: dict[str, Callable[[Tampered, Path], object]] = {
    "cut": lambda t, p: cut(p),
    "empty": lambda t, p: p.write_bytes(b""),
    "first bit": lambda t, p: flip(p, 0.0),
    "a bit in the middle": lambda t, p: flip(p, 0.5),
    "last bit": lambda t, p: flip(p, 0.999),
    "longer": lambda t, p: lengthen(p),
    "gone": lambda t, p: p.unlink(),
    "sparse, a terabyte": lambda t, p: sparse(p),
    "a link to a victim": lambda t, p: replaced_by(p, lambda q: q.symlink_to(t.victim)),
    "a hard link of a victim": lambda t, p: replaced_by(p, lambda q: os.link(t.victim, q)),
    "a link to itself": lambda t, p: replaced_by(p, lambda q: q.symlink_to(q.name)),
    "a dangling link": lambda t, p: replaced_by(p, lambda q: q.symlink_to("../nowhere")),
    "a link to its like": linked,
    "a link to a device": lambda t, p: replaced_by(p, lambda q: q.symlink_to("/dev/zero")),
    "a pipe": lambda t, p: replaced_by(p, os.mkfifo),
    "a socket": lambda t, p: replaced_by(p, socket_at),
    "a folder": lambda t, p: replaced_by(p, folder_at),
    "another film's": lambda t, p: shutil.copyfile(t.of_the_other(kind_of(p)), p),
    "another user's": lambda t, p: os.chown(p, 65534, 65534),
    "for all to write": lambda t, p: p.chmod(0o666),
    "not to be read": lambda t, p: p.chmod(0),
}


# What can be done to the folder


def moved_away(t: Tampered, make: Callable[[Path], object]) -> None:
    shutil.move(t.parts, t.folder / "far")
    make(t.parts)


def all_of_the_other(t: Tampered) -> None:
    shutil.rmtree(t.parts)
    shutil.copytree(t.other, t.parts)


def beside_all_of_the_other(t: Tampered) -> None:
    for path in t.other.iterdir():
        if not (t.parts / path.name).exists():
            shutil.copy2(path, t.parts / path.name)


def journal_of_the_other(t: Tampered) -> None:
    shutil.copy2(t.other / "journal.json", t.parts / "journal.json")


def journal_for_all_to_write(t: Tampered) -> None:
    """A folder open to all, with a journal that says that it was made so."""
    path = t.parts / "journal.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "private": False}))
    t.parts.chmod(0o777)


def strangers(t: Tampered) -> None:
    for name in ("film.mp4", "000000.mkv", "joined", "deep/000001.mkv", ".hidden", "journal.new"):
        t.stranger(name)


def strangers_called_like_ours(t: Tampered) -> None:
    for name in (
        *("000000.0123456789abcdef.mkv", "asked.fedcba9876543210.json", "film.mkv"),
        *("journal.0123456789abcdef.new", "placed.0123456789abcdef.json.new"),
    ):
        t.stranger(name)


def only(t: Tampered, *kinds: str) -> None:
    for path in list(t.parts.iterdir()):
        if kind_of(path) not in kinds:
            path.unlink()


def without(t: Tampered, pattern: str) -> None:
    for path in t.parts.glob(pattern):
        path.unlink()


def for_another_user(t: Tampered) -> None:
    for path in (t.parts, *t.parts.iterdir()):
        os.chown(path, 65534, 65534)


def pair_swapped(t: Tampered, ending: str) -> None:
    found = sorted(p for p in t.parts.glob(f"0*{ending}") if kind_of(p)[6:] == ending)
    swap(found[0], found[1])


FOLDER_ACTS: dict[str, Act] = {
    "for all": lambda t: t.parts.chmod(0o777),
    "for a group": lambda t: t.parts.chmod(0o770),
    "for all to read": lambda t: t.parts.chmod(0o755),
    "sticky": lambda t: t.parts.chmod(0o1777),
    "not to be read": lambda t: t.parts.chmod(0),
    "another user's": lambda t: os.chown(t.parts, 65534, 65534),
    "another user's, with all in it": for_another_user,
    "a link": lambda t: moved_away(t, lambda p: p.symlink_to("far")),
    "a link to a folder of films": lambda t: moved_away(t, lambda p: p.symlink_to("victims")),
    "a dangling link": lambda t: moved_away(t, lambda p: p.symlink_to("nowhere")),
    "a file": lambda t: moved_away(t, lambda p: p.write_text("precious")),
    "a pipe": lambda t: moved_away(t, os.mkfifo),
    "a hard link of a film": lambda t: moved_away(t, lambda p: os.link(t.victim, p)),
    "another film's": all_of_the_other,
    "another film's too": beside_all_of_the_other,
    "another film's journal": journal_of_the_other,
    "for all, as the journal says": journal_for_all_to_write,
    "strangers": strangers,
    "strangers called alike": strangers_called_like_ours,
    "no journal": lambda t: (t.parts / "journal.json").unlink(),
    "only a journal": lambda t: only(t, "journal.json"),
    "nothing": lambda t: only(t),
    "no segments' facts": lambda t: without(t, "0*.json"),
    "no segments": lambda t: without(t, "0*.mkv"),
    "segments swapped": lambda t: pair_swapped(t, ".mkv"),
    "facts swapped": lambda t: pair_swapped(t, ".json"),
    "a million-byte name": lambda t: t.stranger("x" * 255),
}


# What can be done to a record


HUGE, ENDLESS = "1" + "0" * 400, "1" + "0" * 5000
VALUES = {
    "null": "null",
    "true": "true",
    "a word": '"x"',
    "no word": '""',
    "half a letter": r'"\ud800"',
    "a long word": '"' + "x" * 100_000 + '"',
    "zero": "0",
    "negative": "-1",
    "2**31": str(2**31),
    "2**63": str(2**63),
    "huge": HUGE,
    "huge, negative": f"-{HUGE}",
    "endless": ENDLESS,
    "a fraction": "0.5",
    "not a number": "NaN",
    "infinite": "1e999",
    "an empty list": "[]",
    "an empty object": "{}",
    "a list of words": '["x"]',
    "deep": "[" * 400 + "]" * 400,
    "deeper": "[" * 100_000 + "]" * 100_000,
}

LIST_ACTS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "without the first": lambda v: v[1:],
    "with the last twice": lambda v: [*v, *v[-1:]],
    "reversed": lambda v: v[::-1],
    "all as the first": lambda v: v[:1] * len(v),
    "each one more": lambda v: [n + 1 if isinstance(n, int) else n for n in v],
    "each negative": lambda v: [-n if isinstance(n, int) else n for n in v],
    "a million": lambda v: (v or [0]) * (1_000_000 // max(len(v), 1)),
}

_HERE = "@here@"


def fields(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all values in a record; of a list the first and the last."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, (*path, key))
    elif isinstance(value, list):
        for index in sorted({0, len(value) - 1} if value else ()):
            yield from fields(value[index], (*path, index))


def value_at(record: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - any JSON
    for step in path:
        record = record[step]
    return record


def with_text_at(text: str, path: tuple[str | int, ...], new: str) -> str:
    """The record with ``new``, JSON of any kind, in a place; its checksum is right again."""
    record = json.loads(text)
    value_at(record, path[:-1])[path[-1]] = _HERE
    changed = json.dumps(record).replace(f'"{_HERE}"', new)
    return changed if path[0] == "sha256" else sealed(changed)


def one_more(text: str, value: int) -> str:
    """As it is done by hand: the checksum stays what it was."""
    return text.replace(f" {value}", f" {value + 1}", 1)


def sealed(text: str) -> str:
    """With the checksum that belongs to it, where it can be read and has one."""
    try:
        record = json.loads(text)
        if not isinstance(record, dict) or "sha256" not in record:
            return text
        right = checksum(record["record"])
    except (ValueError, KeyError, RecursionError):
        return text
    return text.replace(json.dumps(record["sha256"]), f'"{right}"', 1)


def checksum(record: object) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def record_acts(text: str, chance: random.Random) -> Iterator[tuple[str, Change]]:
    """Changes of one record: each value to a few others, lists in ways of their own."""
    record = json.loads(text)
    for path in fields(record):
        told = ".".join(map(str, path))
        for name in chance.sample(sorted(VALUES), 3):
            new = VALUES[name]
            yield f"{told}: {name}", partial(with_text_at, path=path, new=new)
        value = value_at(record, path)
        if isinstance(value, list) and value:
            for name in chance.sample(sorted(LIST_ACTS), 3):
                new = json.dumps(LIST_ACTS[name](value))
                yield f"{told}: {name}", partial(with_text_at, path=path, new=new)
        if isinstance(value, int) and not isinstance(value, bool):
            new = json.dumps(value + 1)
            yield f"{told}: one more", partial(with_text_at, path=path, new=new)
            yield f"{told}: unsealed", partial(one_more, value=value)
    yield "twice", lambda t: t + t
    yield "with a second of each", lambda t: "{" + t[1:-1] + ", " + t[1:]
    yield "no object", lambda t: f"[{t}]"
    yield "with more", lambda t: t[:-1] + ', "more": [1]}'
    yield "with a mark of order", lambda t: "\ufeff" + t
    yield "with a zero byte", lambda t: t + "\0"
