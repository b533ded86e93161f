"""What can be wrong with an installation, judged from package metadata, and the line that mends it.

Nothing here imports the packages it judges: a broken one must not break its diagnosis.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rtstyle.memory import available_memory, caused_by_memory, more_of, shown

# Distributions of one row unpack into the same folder; the one installed last wins, half.
RUNTIME_WHEELS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-migraphx",
)
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
BASE = ("numpy", "av", "click")
SHOWN = ("rtstyle", "numpy", "av", "click", *OPENCV_WHEELS, *RUNTIME_WHEELS)
SHOWN_OPTIONAL = ("openvino", "onnx", "torch", "tensorrt", "tensorrt-rtx", "cuda-bindings")

PACKAGES_OF = {
    "media": "av opencv-python-headless numpy",
    "hardware": "av",
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
}
"""What most likely is broken where a part of an installation cannot be looked at."""
ENOUGH_BYTES = 10**9
"""Of memory that is left: with less, libraries may fail to load."""

_FFMPEG_LIBRARY = re.compile(
    r"(?:lib)?(av(?:codec|format|util|filter|device)|swscale|swresample)"
    r"[^/\\]*?(?:\.so\.|[.-])(\d+(?:\.\d+)*)(?:-[0-9a-f]+)?(?:\.dylib|\.dll)?$"
)
_TENSORRT_PART = re.compile(r"tensorrt(?:-(cu\d+))?(?:-(libs|bindings))?")


@dataclass(frozen=True, slots=True)
class Package:
    """One installed distribution."""

    name: str
    """Normalised: lower case, dashes."""
    version: str
    folder: str = ""
    """Where it is unpacked."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that should be mended."""

    what: str
    fix: str
    """A command line."""
    fatal: bool = False
    """rtstyle cannot run with it."""


@dataclass(frozen=True, slots=True)
class Backend:
    """As rtstyle.backends.BackendStatus, which cannot be had where its packages are broken."""

    name: str
    version: str | None
    devices: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    problem: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Processor:
    """As rtstyle.backends.ProcessorFeatures."""

    model: str
    cores: int
    avx2: bool | None
    avx512: bool | None
    avx512_bf16: bool | None
    amx_bf16: bool | None
    vnni: bool | None


def installed() -> tuple[Package, ...]:
    """Every distribution Python finds, in the order of its path (of one name, the first counts)."""
    found = []
    for distribution in metadata.distributions():
        # A folder left by an interrupted removal can lack its METADATA and so its name.
        name = distribution.metadata["Name"] if distribution.metadata else None
        if name:
            folder = str(Path(str(distribution.locate_file(""))).resolve())
            found.append(Package(normalised(name), distribution.version, folder))
    return tuple(dict.fromkeys(found))


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(packages: Iterable[Package]) -> dict[str, str]:
    """Version of each distribution that Python would use."""
    found: dict[str, str] = {}
    for package in packages:
        found.setdefault(package.name, package.version)
    return found


def shown_versions(found: Mapping[str, str]) -> dict[str, str | None]:
    """What a report of an installation names; None for an optional package that is not there."""
    rows: dict[str, str | None] = {name: found[name] for name in SHOWN if name in found}
    for name in (*BASE, *SHOWN_OPTIONAL):
        rows.setdefault(name, found.get(name))
    return rows


def ffmpeg_libraries() -> dict[str, str]:
    """Versions of the FFmpeg libraries inside PyAV's wheel, read from its list of files."""
    try:
        files = metadata.files("av") or []
    except metadata.PackageNotFoundError:
        return {}
    return dict(sorted(ffmpeg_versions(file.name for file in files)))


def ffmpeg_versions(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and version of each FFmpeg library among file names like ``libavcodec.so.62.28.1``."""
    for file in files:
        match = _FFMPEG_LIBRARY.search(file)
        if match is not None:
            yield match[1], match[2]


def pip_line(python: str = sys.executable) -> str:
    """How pip of this very Python is called; a plain ``pip`` may belong to another one."""
    return f"{shlex.quote(python)} -m pip"


def conflicts(packages: Sequence[Package], *, gpu: bool, pip: str = "pip") -> tuple[Problem, ...]:
    """Packages that break each other or are missing, each with the line that mends it.

    ``gpu``: an NVIDIA device is there, so of two ONNX Runtimes the one for it is kept.
    """
    found = versions(packages)
    return (
        *_missing(found, pip),
        *_runtimes(found, gpu, pip),
        *_opencvs(found, pip),
        *_tensorrt(found, pip),
        *_twice(packages, pip),
    )


def _missing(found: Mapping[str, str], pip: str) -> Iterator[Problem]:
    for name in BASE:
        if name not in found:
            yield Problem(f"{name} is not installed", f"{pip} install {name}", fatal=True)
    if not any(name in found for name in OPENCV_WHEELS):
        line = f"{pip} install opencv-python-headless"
        yield Problem("opencv-python-headless is not installed", line, fatal=True)


def _runtimes(found: Mapping[str, str], gpu: bool, pip: str) -> Iterator[Problem]:
    there = [name for name in RUNTIME_WHEELS if name in found]
    if len(there) < 2:
        return
    keep = there[0]
    if gpu and "onnxruntime-gpu" in there:
        keep = "onnxruntime-gpu"
    elif "onnxruntime" not in there and "onnxruntime-gpu" not in there:
        keep = there[-1]
    yield Problem(
        f"{' and '.join(there)} are both installed and overwrite each other's files",
        _reinstall(there, keep, found, pip),
    )


def _opencvs(found: Mapping[str, str], pip: str) -> Iterator[Problem]:
    there = [name for name in OPENCV_WHEELS if name in found]
    if len(there) < 2:
        return
    # What others need decides: contrib holds everything of the plain wheels.
    keep = next((name for name in reversed(there) if "contrib" in name), there[0])
    yield Problem(
        f"{' and '.join(there)} are installed together and overwrite each other's files",
        _reinstall(there, keep, found, pip),
    )


def _tensorrt(found: Mapping[str, str], pip: str) -> Iterator[Problem]:
    parts = {name: found[name] for name in found if _TENSORRT_PART.fullmatch(name)}
    if len(set(parts.values())) > 1:
        wanted = parts.get("tensorrt") or max(parts.values())
        listed = ", ".join(f"{name} {version}" for name, version in sorted(parts.items()))
        yield Problem(
            f"the parts of TensorRT do not match: {listed}",
            f'{pip} uninstall -y {" ".join(sorted(parts))} && {pip} install "tensorrt=={wanted}"',
        )
    toolkits = sorted({m[1] for name in parts if (m := _TENSORRT_PART.fullmatch(name)) and m[1]})
    if len(toolkits) > 1:
        surplus = sorted(name for name in parts if f"-{toolkits[0]}" in name)
        yield Problem(
            f"TensorRT is installed for {' and '.join(toolkits)} at once",
            f"{pip} uninstall -y {' '.join(surplus)}",
        )


def _twice(packages: Sequence[Package], pip: str) -> Iterator[Problem]:
    """One name twice in one folder: an upgrade that was cut short."""
    seen: dict[tuple[str, str], list[str]] = {}
    for package in packages:
        seen.setdefault((package.name, package.folder), []).append(package.version)
    for (name, _), there in seen.items():
        if len(set(there)) > 1:
            yield Problem(
                f"{name} is there in the versions {' and '.join(there)}: an update was cut short",
                f"{pip} install --force-reinstall --no-deps {name}",
            )


def _reinstall(there: Sequence[str], keep: str, found: Mapping[str, str], pip: str) -> str:
    # Removing one takes files of the other with it, so all go and one comes back.
    return f'{pip} uninstall -y {" ".join(there)} && {pip} install "{keep}=={found[keep]}"'


def import_problem(name: str, error: ImportError, *, pip: str = "pip") -> Problem:
    """Why ``name``, which is installed, cannot be imported, and what mends that."""
    if caused_by_memory(error):
        return memory_problem(f"{name} cannot be imported: {error}")
    library = re.search(r"(lib[\w.+-]+\.so[.\d]*): cannot open shared object", str(error))
    if name == "cv2" and library is not None:
        return Problem(
            f"OpenCV cannot start: this system lacks {library[1]}",
            "apt-get install -y libgl1 libglib2.0-0 libxcb1   (Debian, Ubuntu; as root), or: "
            f"{pip} uninstall -y opencv-python && {pip} install opencv-python-headless",
            fatal=True,
        )
    package = {"cv2": "opencv-python-headless"}.get(name, name)
    return Problem(
        f"{package} cannot be imported: {error}",
        f"{pip} install --force-reinstall {package}",
        fatal=True,
    )


def memory_problem(what: str) -> Problem:
    """That ``what`` went wrong for want of memory; nothing that is installed anew mends that."""
    room = available_memory()
    left = "" if room is None else f" ({room.source} has {shown(room.bytes)} of memory left)"
    return Problem(
        f"{what}{left}",
        f"{more_of(room)}: {shown(ENOUGH_BYTES)} at least",
        fatal=True,
    )


def little_memory() -> Iterator[Problem]:
    """That little is left, where it is; films and large pictures say themselves what they need."""
    room = available_memory()
    if room is not None and room.bytes < ENOUGH_BYTES:
        what = f"{room.source} has only {shown(room.bytes)} of memory left"
        yield Problem(what, f"{more_of(room)}; small films in a -fast style need about 0.4 GB")


def unanswered(part: str, reason: str) -> Problem:
    """That looking at ``part`` came to nothing, and why that most likely is."""
    room = available_memory()
    if room is not None and room.bytes < ENOUGH_BYTES:
        return memory_problem(f"looking at {part} {reason}")
    return Problem(
        f"looking at {part} {reason}",
        f"{pip_line()} install --force-reinstall {PACKAGES_OF.get(part, 'av')}",
        fatal=part == "media",
    )
