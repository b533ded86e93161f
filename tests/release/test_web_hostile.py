"""Two hundred hostile files through one server: none ends it, none reads what is not its own."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest

from tests.hostile import crafted, mutated
from tests.security.test_web_hostile import bait, visit
from tests.security.test_web_uploads import real_server

COUNT = int(os.environ.get("RTSTYLE_HOSTILE", "200"))
SEED = int(os.environ.get("RTSTYLE_SEED", "1"))


@pytest.mark.skipif(sys.platform != "linux", reason="who opens a file is told by Linux")
def test_two_hundred_hostile_files_leave_the_server_as_it_was(tmp_path: Path) -> None:
    spool, made = tmp_path / "spool", tmp_path / "made"
    spool.mkdir()
    made.mkdir()
    with bait(tmp_path) as (secret, address):
        files = itertools.islice(
            itertools.chain(
                crafted(made, secret=secret, address=address), mutated(made, COUNT, seed=SEED)
            ),
            COUNT,
        )
        with real_server(spool) as (port, process):
            ends = visit(files, port, process, spool)
    sys.stderr.write(f"{COUNT} files in one server: {dict(ends)}\n")
    assert sum(ends.values()) == COUNT
    assert min(ends["done"], ends["failed"]) > COUNT // 10
