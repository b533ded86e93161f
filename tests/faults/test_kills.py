"""A few of the kills of tests/release/test_kills.py: at each kind of call that gives, takes or
keeps a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import make_clip
from tests.kills import Kill, Series, Table, by_library, strace_works

FRAMES = 24
CHOSEN = {
    "mkdir": (0,),
    "renameat2": (0, -1),
    "rename": (2,),
    "pwrite64": (0,),
    "fsync": (-2,),
    "write": (-1,),
    "unlink": (1, -3, -2),
    "rmdir": (0,),
}
"""Which of the calls of a kind, in their order."""


def test_a_run_killed_at_a_call_that_matters_is_resumed_to_the_same_film(tmp_path: Path) -> None:
    if not strace_works():
        pytest.skip("strace is missing, or not allowed here")
    clip = make_clip(tmp_path / "in.mkv", frames=FRAMES, audio=True)
    series = Series(by_library, clip, tmp_path)
    film, calls = series.uninjured()
    table = Table()
    series.run([(kill,) for kill in chosen(calls)], film, table)
    assert table.findings == []
    assert sum(row["kills"] for row in table.rows.values()) >= 8


def chosen(calls: list[Kill]) -> list[Kill]:
    """Those of ``CHOSEN`` that there are: systems differ in the calls that they make."""
    found = []
    for kind, places in CHOSEN.items():
        of_kind = [kill for kill in calls if kill.call == kind]
        found += [of_kind[place] for place in places if -len(of_kind) <= place < len(of_kind)]
    return found
