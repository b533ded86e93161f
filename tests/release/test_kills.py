"""Runs of ``rtstyle video`` killed before every call that changes the disk, and resumed."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.clips import make_clip
from tests.kills import (
    WRITING,
    Door,
    Kill,
    Series,
    Table,
    by_command,
    by_library,
    require_strace,
    sampled,
)

SEED = int(os.environ.get("RTSTYLE_SEED", "1"))
MOST = int(os.environ["RTSTYLE_KILLS"]) if "RTSTYLE_KILLS" in os.environ else None
WRITES = int(os.environ.get("RTSTYLE_KILLED_WRITES", "200"))
TWICE = int(os.environ.get("RTSTYLE_KILLED_TWICE", "100"))
FRAMES = 60


def noisy(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Pictures of noise: large enough that segments are removed while the film is put together."""
    noise = np.random.default_rng(5).integers(0, 256, (frames, size[1], size[0], 3), dtype=np.uint8)
    return make_clip(path, size=size, frames=frames, pictures=list(noise), audio=True)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[Door, Path]:
    """One with many segments of eight frames, and one with a few of the usual length."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        by_library: noisy(folder / "short.mkv", FRAMES, (128, 96)),
        by_command: noisy(folder / "long.mp4", 1250, (32, 24)),
    }


def chosen(calls: list[Kill], most: int | None, writes: int) -> list[Kill]:
    """What is killed: all calls but the writes, of which there are many, or ``most`` of a kind."""
    kinds = {kill.call for kill in calls}
    found = []
    for kind in sorted(kinds):
        of_kind = [kill for kill in calls if kill.call == kind]
        found += sampled(of_kind, writes if kind in WRITING else most, SEED)
    return found


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize("door", [by_library, by_command], ids=["library", "command"])
def test_killed_before_any_call_it_is_resumed_to_the_same_film(
    tmp_path: Path, clips: dict[Door, Path], door: Door, overwrite: bool
) -> None:
    require_strace()
    series = Series(door, clips[door], tmp_path, overwrite)
    film, calls = series.uninjured()
    # The rarer kinds of run are killed before a part of the calls unless all are asked for.
    usual = door is by_library and not overwrite
    most, writes = (MOST, WRITES) if usual else (MOST or 12, min(WRITES, 20))
    table = Table()
    series.run([(kill,) for kill in chosen(calls, most, writes)], film, table)
    sys.stdout.write(
        table.shown(f"{door.__name__}, {'over an old film' if overwrite else 'a new film'}")
    )
    assert table.findings == []
    assert sum(row["kills"] for row in table.rows.values()) >= min(len(calls), most or 10**9)


@pytest.mark.parametrize("times", [2, 3])
def test_killed_again_while_it_is_resumed(
    tmp_path: Path, clips: dict[Door, Path], times: int
) -> None:
    require_strace()
    series = Series(by_library, clips[by_library], tmp_path)
    film, calls = series.uninjured()
    chance = random.Random(SEED)
    rows = [chance.choices(calls, k=times) for _ in range(TWICE // (times - 1))]
    table = Table()
    series.run(rows, film, table)
    sys.stdout.write(table.shown(f"{times} times in a row"))
    assert table.findings == []
