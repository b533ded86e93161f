"""``rtstyle doctor``: what is installed, what works, and how to mend what does not."""

from __future__ import annotations

import dataclasses
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rtstyle import __version__
from rtstyle.cli import diagnosis
from rtstyle.cli.checkup import BACKENDS, PARTS, Load, Look, look, look_apart
from rtstyle.cli.diagnosis import Backend, Package, Problem, Processor
from rtstyle.cli.terminal import echo, echo_json
from rtstyle.memory import available_memory, shown

BACKENDS_PREFERRED = ("tensorrt", "openvino", "onnxruntime")
"""In the order in which ``auto`` takes them."""
EXIT_CANNOT_RUN = 6


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything the doctor found."""

    python: str
    system: str
    versions: dict[str, str | None]
    """Of packages; None where an optional one is not installed."""
    ffmpeg: dict[str, str]
    """Versions of the FFmpeg libraries inside PyAV."""
    memory: int | None
    """Bytes that are left to this process; None where that cannot be told."""
    processor: Processor | None
    backends: tuple[Backend, ...]
    codecs: dict[str, str | None]
    """Encoder that opens here for each --codec; None where none does."""
    hardware: dict[str, tuple[str, ...]]
    """Encoders in graphics cards that work here, for each --codec that has such."""
    problems: tuple[Problem, ...]
    can_run: bool


@click.command(short_help="Check this installation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Print versions, processor, backends and codecs, and the fix for each conflict.

    Exit code 0 where rtstyle can run, 6 where it cannot.
    """
    found = examine()
    try:
        if as_json:
            echo_json(_plain(found))
        else:
            for line in report(found):
                echo(line)
    finally:
        if not found.can_run:
            ctx.exit(EXIT_CANNOT_RUN)


def examine(
    packages: Sequence[Package] | None = None,
    *,
    load: Load | None = None,
) -> Diagnosis:
    """Look at this installation; ``packages`` and ``load`` stand in for the real one in tests.

    What imports anything is done by processes of its own, which may hang and crash; with ``load``
    it is done here. Takes half a minute at most.
    """
    packages = diagnosis.installed() if packages is None else packages
    versions = diagnosis.versions(packages)
    gpu = Path("/dev/nvidia0").exists()
    problems = list(diagnosis.conflicts(packages, gpu=gpu, pip=diagnosis.pip_line()))
    looks: dict[str, Look] = {}
    if not _fatal(problems):
        looks = look_apart(PARTS) if load is None else _look_here(load)
    facts: dict[str, Any] = {}
    backends: list[Backend] = []
    for part, seen in looks.items():
        if seen.found is None:
            problem = diagnosis.unanswered(part, seen.reason)
            if part in BACKENDS:
                version = versions.get(part)
                backends.append(Backend(part, version, problem=problem.what, fix=problem.fix))
            else:
                problems.append(problem)
            continue
        facts.update({k: v for k, v in seen.found.items() if v is not None})
        problems += [Problem(**row) for row in seen.found.get("problems", ())]
        backends += [_backend_of(row) for row in seen.found.get("backends", ())]
    if _fatal(problems):
        backends = []
    if not _fatal(problems):
        problems += diagnosis.little_memory()
    backends.sort(key=lambda backend: BACKENDS_PREFERRED.index(backend.name))
    room = available_memory()
    return Diagnosis(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        memory=None if room is None else room.bytes,
        versions=diagnosis.shown_versions({**versions, "rtstyle": __version__}),
        ffmpeg=diagnosis.ffmpeg_libraries(),
        processor=Processor(**facts["processor"]) if "processor" in facts else None,
        backends=tuple(backends),
        codecs=dict(facts.get("codecs", {})),
        hardware={codec: tuple(names) for codec, names in facts.get("hardware", {}).items()},
        problems=tuple(problems),
        can_run=not _fatal(problems) and any(backend.problem is None for backend in backends),
    )


def _look_here(load: Load) -> dict[str, Look]:
    found = {"media": Look(look("media", load))}
    if not found["media"].found or not found["media"].found["problems"]:
        found.update({part: Look(look(part, load)) for part in ("hardware", "backends")})
    return found


def _backend_of(row: Mapping[str, Any]) -> Backend:
    lists = {key: tuple(row[key]) for key in ("devices", "precisions")}
    return Backend(**{**row, **lists})


def _fatal(problems: Sequence[Problem]) -> bool:
    return any(problem.fatal for problem in problems)


def report(found: Diagnosis) -> list[str]:
    """The findings as lines of text."""
    lines = ["Versions", f"  {'python':<14} {found.python}  ({sys.executable})"]
    lines += [f"  {name:<14} {version or '-'}" for name, version in found.versions.items()]
    if found.ffmpeg:
        libraries = ", ".join(f"{name} {version}" for name, version in found.ffmpeg.items())
        lines.append(f"  {'ffmpeg':<14} {libraries}")
    lines += ["System", f"  {found.system}"]
    if found.memory is not None:
        lines.append(f"  {shown(found.memory)} of memory left")
    if found.processor is not None:
        lines.append(f"  {_processor(found.processor)}")
    lines.append("Backends")
    for status in found.backends:
        lines += _backend(status)
    if not found.backends:
        lines.append("  not looked at: see the problems below")
    lines.append("Codecs")
    lines += [f"  {codec:<14} {encoder or '-'}" for codec, encoder in found.codecs.items()]
    if not found.codecs:
        lines.append("  not looked at: see the problems below")
    else:
        working = [name for names in found.hardware.values() for name in names]
        lines.append(f"  {'in hardware':<14} {', '.join(working) or 'none works here'}")
    lines.append("Problems" if found.problems else "Problems: none")
    for problem in found.problems:
        lines += [f"  {'!!' if problem.fatal else '!'} {problem.what}", f"    fix: {problem.fix}"]
    if found.can_run:
        lines.append("rtstyle can run here.")
    else:
        lines.append("rtstyle cannot run here; see the fixes above.")
    return lines


def _processor(features: Processor) -> str:
    flags = {
        "avx2": features.avx2,
        "avx512": features.avx512,
        "avx512_bf16": features.avx512_bf16,
        "amx_bf16": features.amx_bf16,
    }
    words = {True: "yes", False: "no", None: "unknown"}
    told = ", ".join(f"{name} {words[value]}" for name, value in flags.items())
    return f"{features.model}, {features.cores} cores: {told}"


def _backend(status: Backend) -> list[str]:
    if status.version is None:
        lines = [f"  {status.name:<14} not installed"]
    else:
        devices = ", ".join(status.devices) or "no device"
        precisions = ", ".join(status.precisions) or "no precision"
        lines = [f"  {status.name:<14} {status.version} on {devices} in {precisions}"]
    if status.problem:
        lines.append(f"    {status.problem}")
    if status.fix:
        lines.append(f"    fix: {status.fix}")
    return lines


def _plain(found: Diagnosis) -> dict[str, Any]:
    return {"rtstyle": __version__, "executable": sys.executable, **dataclasses.asdict(found)}
