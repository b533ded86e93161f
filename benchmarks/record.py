"""What stands beside every figure: the machine, the versions, the command; as text and as JSON."""

from __future__ import annotations

import contextlib
import itertools
import json
import platform
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rtstyle import __version__
from rtstyle.backends import processor_features
from rtstyle.files import write_whole

PACKAGES = (
    "numpy",
    "av",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "tensorrt",
    "tensorrt-rtx",
    "cuda-bindings",
)


def machine() -> dict[str, Any]:
    """Processor, cores, bf16 units and system."""
    features = processor_features()
    return {
        "processor": features.model,
        "cores": features.cores,
        "amx_bf16": features.amx_bf16,
        "avx512_bf16": features.avx512_bf16,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of rtstyle and of the packages that are measured, where installed."""
    found = {"rtstyle": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def heading(command: str) -> Iterable[str]:
    """Lines above a table: the command, the machine, the versions."""
    facts = machine()
    words = {True: "yes", False: "no", None: "unknown"}
    yield f"$ {command}"
    yield (
        f"{facts['processor']}, {facts['cores']} cores, bf16 matrix units "
        f"{words[facts['amx_bf16']]}, bf16 vector units {words[facts['avx512_bf16']]}, "
        f"{facts['system']}, Python {facts['python']}"
    )
    yield ", ".join(f"{name} {version}" for name, version in versions().items())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table with aligned columns; the first column is text, the others figures."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        return f"| {' | '.join(cells)} |"

    rule = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return [line(header), f"| {' | '.join(rule)} |", *(line(row) for row in rows)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0..1) of ``values`` do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def write_record(folder: Path, name: str, command: str, figures: dict[str, Any]) -> Path:
    """Write one run as ``<name>-<time>.json`` into ``folder`` and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    facts = {
        "benchmark": name,
        "time": now,
        "command": command,
        "machine": machine(),
        "versions": versions(),
        **figures,
    }
    text = json.dumps(facts, indent=2) + "\n"
    for count in itertools.count(1):
        file = folder / (f"{name}-{now}.json" if count == 1 else f"{name}-{now}-{count}.json")
        with contextlib.suppress(FileExistsError):
            write_whole(file, text.encode(), overwrite=False)
            break
    return file
