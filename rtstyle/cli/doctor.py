"""``rtstyle doctor``: what is installed, what works, and how to mend what does not."""

from __future__ import annotations

import dataclasses
import importlib
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from rtstyle import __version__
from rtstyle.cli import diagnosis
from rtstyle.cli.diagnosis import Package, Problem
from rtstyle.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    # Looked up late: the doctor must come when these cannot even be imported.
    from rtstyle.backends import BackendStatus, ProcessorFeatures

Load = Callable[[str], ModuleType]
"""What imports a module by its name."""

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
    processor: ProcessorFeatures | None
    backends: tuple[BackendStatus, ...]
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
    load: Load = importlib.import_module,
) -> Diagnosis:
    """Look at this installation; ``packages`` and ``load`` stand in for the real one in tests."""
    packages = diagnosis.installed() if packages is None else packages
    versions = diagnosis.versions(packages)
    pip = diagnosis.pip_line()
    gpu = Path("/dev/nvidia0").exists()
    problems = list(diagnosis.conflicts(packages, gpu=gpu, pip=pip))
    problems += _broken_imports(load, {p.what.partition(" ")[0] for p in problems}, pip)
    media = _attempt(load, "rtstyle.media") if not _fatal(problems) else None
    backends = _attempt(load, "rtstyle.backends") if not _fatal(problems) else None
    statuses: tuple[BackendStatus, ...] = backends.available_backends() if backends else ()
    codecs: dict[str, str | None] = media.encoders() if media else {}
    hardware: dict[str, tuple[str, ...]] = media.hardware_encoders() if media else {}
    return Diagnosis(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        versions=diagnosis.shown_versions({**versions, "rtstyle": __version__}),
        ffmpeg=diagnosis.ffmpeg_libraries(),
        processor=backends.processor_features() if backends else None,
        backends=statuses,
        codecs=codecs,
        hardware=hardware,
        problems=tuple(problems),
        can_run=not _fatal(problems) and any(status.problem is None for status in statuses),
    )


def _fatal(problems: Sequence[Problem]) -> bool:
    return any(problem.fatal for problem in problems)


def _broken_imports(load: Load, known: set[str], pip: str) -> list[Problem]:
    """Base packages that are installed and yet cannot be imported."""
    found = []
    # Before PyAV, as OpenCV's windows hang where its libxcb comes second (opencv#29195).
    for name, package in (("numpy", "numpy"), ("cv2", "opencv-python-headless"), ("av", "av")):
        if package in known:
            continue
        try:
            load("rtstyle.media" if name == "av" else name)
        except ImportError as error:
            found.append(diagnosis.import_problem(name, error, pip=pip))
            break
    return found


def _attempt(load: Load, module: str) -> ModuleType | None:
    try:
        return load(module)
    except ImportError:
        return None


def report(found: Diagnosis) -> list[str]:
    """The findings as lines of text."""
    lines = ["Versions", f"  {'python':<14} {found.python}  ({sys.executable})"]
    lines += [f"  {name:<14} {version or '-'}" for name, version in found.versions.items()]
    if found.ffmpeg:
        libraries = ", ".join(f"{name} {version}" for name, version in found.ffmpeg.items())
        lines.append(f"  {'ffmpeg':<14} {libraries}")
    lines += ["System", f"  {found.system}"]
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


def _processor(features: ProcessorFeatures) -> str:
    flags = {
        "avx2": features.avx2,
        "avx512": features.avx512,
        "avx512_bf16": features.avx512_bf16,
        "amx_bf16": features.amx_bf16,
    }
    words = {True: "yes", False: "no", None: "unknown"}
    told = ", ".join(f"{name} {words[value]}" for name, value in flags.items())
    return f"{features.model}, {features.cores} cores: {told}"


def _backend(status: BackendStatus) -> list[str]:
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
