"""The table of faults names tests that exist, and leaves no row out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TABLE = (TESTS / "faults" / "README.md").read_text(encoding="utf-8")
LAST = {"A": 24, "B": 12, "C": 10, "D": 12, "E": 15}
"""The last row of each table."""
ROWS = [f"{table}{number}" for table, last in LAST.items() for number in range(1, last + 1)]
NAMED = re.compile(r"`([a-z_]+/test_\w+\.py)::(test_\w+)`")


def rows() -> dict[str, str]:
    return {
        found[1]: found[2] for found in re.finditer(r"^\| ([A-E]\d+) \|(.*)$", TABLE, re.MULTILINE)
    }


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_is_there_once_and_names_a_test() -> None:
    assert list(rows()) == ROWS
    assert len(re.findall(r"^\| [A-E]\d+ \|", TABLE, re.MULTILINE)) == len(ROWS)
    for row, text in rows().items():
        assert NAMED.search(text) or "tests/faults/test_resume.py" in text, row


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(TABLE)
    assert len(named) > 60
    missing = [f"{file}::{name}" for file, name in named if name not in functions_of(TESTS / file)]
    assert missing == []
