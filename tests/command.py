"""The real command in a process of its own, as a shell starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 120


def shell_command(
    line: str,
    *arguments: object,
    folder: Path,
    variables: Mapping[str, str | None] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``line`` in bash, in which ``"$@"`` stands for rtstyle with ``arguments``.

    ``variables`` are set, or with None taken away. A pipe's result is that of its first part.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, value in (variables or {}).items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    shell = ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}", "bash"]
    return subprocess.run(
        [*shell, sys.executable, "-m", "rtstyle.cli.main", *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
