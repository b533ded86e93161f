"""Engines of TensorRT and of TensorRT for RTX, which have one interface: compile, load, run."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any, Protocol

from rtstyle.backends.base import reason_of
from rtstyle.backends.cuda import Gpu, GpuFacts
from rtstyle.errors import BackendUnavailable
from rtstyle.types import Pixels

RTX, FULL = "tensorrt-rtx", "tensorrt"
FIX = 'pip install "rtstyle[rtx]" (GeForce and RTX) or "rtstyle[tensorrt]" (any NVIDIA GPU)'

_MODULES = {RTX: "tensorrt_rtx", FULL: "tensorrt"}
_OUT_OF_MEMORY = ("outofmemory", "out of memory", "could not be allocated")
_log = logging.getLogger(__name__)

Shape = tuple[int, int, int]
"""Pictures, height, width."""


class EngineError(Exception):
    """TensorRT refused; the message is what it said."""


class _Context(Protocol):
    """What is used of TensorRT's IExecutionContext."""

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool: ...

    def get_tensor_shape(self, name: str) -> Sequence[int]: ...

    def set_tensor_address(self, name: str, memory: int) -> bool: ...

    def execute_async_v3(self, stream_handle: int) -> bool: ...


class _Logger(Protocol):
    words: list[str]

    def last_words(self, otherwise: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Package:
    """TensorRT as it is installed."""

    name: str
    """Of the distribution."""
    version: str
    module: ModuleType

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes an engine takes, and the one it is quickest at."""

    least: Shape
    best: Shape
    greatest: Shape

    def holds(self, shape: Shape) -> bool:
        """Whether an engine of this profile takes ``shape``."""
        return all(a <= b <= c for a, b, c in zip(self.least, shape, self.greatest, strict=True))

    def __str__(self) -> str:
        shapes = (self.least, self.best, self.greatest)
        return "-".join("x".join(map(str, shape)) for shape in shapes)


def installed() -> dict[str, str]:
    """Version of each TensorRT that is installed, the one to be preferred first."""
    found = {}
    for name in _MODULES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def choose_package(gpu: GpuFacts) -> Package:
    """The TensorRT that runs on ``gpu``: the one for RTX where it knows the GPU, else the other.

    Raises BackendUnavailable, with the remedy, where there is none.
    """
    found = installed()
    if not found:
        raise BackendUnavailable(f"TensorRT is not installed; {FIX}")
    reasons = []
    for name, version in found.items():
        try:
            module = importlib.import_module(_MODULES[name])
        except Exception as error:
            reasons.append(
                f"{name} cannot be loaded ({reason_of(error)}); "
                f"pip install --force-reinstall {name}"
            )
            continue
        package = Package(name, version, module)
        if (
            name == RTX
            and gpu.architecture not in architectures(package)
            and gpu.capability
            < (
                12,
                0,
            )
        ):
            reasons.append(f'{name} does not run on {gpu}; pip install "rtstyle[tensorrt]"')
            continue
        return package
    raise BackendUnavailable(reasons[0])


def architectures(package: Package) -> tuple[str, ...]:
    """What TensorRT for RTX can compile for by name, as ``SM89``; empty for the full one."""
    known = getattr(package.module, "ComputeCapability", None)
    members: Iterable[str] = getattr(known, "__members__", ())
    return tuple(name for name in members if name.startswith("SM"))


def _runs_on(package: Package, gpu: GpuFacts) -> bool:
    # Engines that name no architecture run on Blackwell and whatever follows it.
    return gpu.architecture in architectures(package) or gpu.capability >= (12, 0)


def check_graph(package: Package, graph: bytes) -> None:
    """Raise EngineError where TensorRT cannot read ``graph``."""
    _parse(package, graph)


def build_engine(
    package: Package,
    graph: bytes,
    profile: Profile,
    *,
    architecture: str,
    threads: int | None = None,
) -> bytes:
    """Compile ``graph`` for ``architecture``; seconds with TensorRT for RTX, else up to minutes.

    TensorRT for RTX needs no GPU for it. Raises EngineError.
    """
    trt = package.module
    builder, network, _parser = _parse(package, graph)
    if threads is not None:
        builder.max_threads = threads
    config = builder.create_builder_config()
    # Float32 that was asked for is float32, not the ten bits of TF32 that NVIDIA takes by default.
    config.clear_flag(trt.BuilderFlag.TF32)
    if architecture in architectures(package):
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, architecture), 0)
    ranges = builder.create_optimization_profile()
    shapes = [(*shape, 3) for shape in (profile.least, profile.best, profile.greatest)]
    ranges.set_shape(network.get_input(0).name, *shapes)
    logger = _logger(trt)
    if config.add_optimization_profile(ranges) < 0:
        raise EngineError(logger.last_words("the range of sizes is refused"))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise EngineError(logger.last_words("no engine came out"))
    return bytes(engine)


class Engine:
    """A loaded engine and where it runs. Close it before the ``gpu``."""

    def __init__(self, package: Package, data: bytes, gpu: Gpu, *, kernels: bytes | None) -> None:
        """``kernels``: what ``kernels()`` gave in an earlier run, None without.

        Raises EngineError where TensorRT does not take ``data``, which must be trusted.
        """
        trt = package.module
        self._gpu = gpu
        self._logger = _logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise EngineError(self._logger.last_words("the engine is refused"))
        self._kernels: Any = None
        self._context = self._make_context(trt, kernels)
        if self._context is None:
            raise EngineError(self._logger.last_words("the engine cannot be set up"))
        names = [self._engine.get_tensor_name(k) for k in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        (self._input,) = inputs
        (self._output,) = set(names) - set(inputs)

    def run(self, batch: Pixels) -> Pixels | tuple[int, ...]:
        """The result, or the shape it would have where that is not the batch's.

        Raises EngineError or CudaError.
        """
        context = self._context
        assert context is not None
        if not context.set_input_shape(self._input, batch.shape):
            raise EngineError(self._logger.last_words(f"the shape {batch.shape} is refused"))
        shape = tuple(int(side) for side in context.get_tensor_shape(self._output))
        if shape != batch.shape:
            return shape
        source, result = self._gpu.reserve(batch.nbytes)
        context.set_tensor_address(self._input, source)
        context.set_tensor_address(self._output, result)
        self._gpu.upload(batch)
        if not context.execute_async_v3(self._gpu.stream):
            raise EngineError(self._logger.last_words("the engine did not run"))
        return self._gpu.download(shape)

    def kernels(self) -> bytes | None:
        """What was compiled just in time, worth keeping for the next run; None where nothing is."""
        found = None if self._kernels is None else self._kernels.serialize()
        return None if found is None else bytes(found)

    def close(self) -> None:
        """Free the engine."""
        self._context = self._kernels = self._engine = self._runtime = None

    def _make_context(self, trt: ModuleType, kernels: bytes | None) -> _Context | None:
        strategy = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategy is None:
            plain: _Context | None = self._engine.create_execution_context()
            return plain
        config = self._engine.create_runtime_config()
        # Compiled at the first picture of a size, not while later ones run: by default those
        # would be painted with other, slower kernels until then.
        config.dynamic_shapes_kernel_specialization_strategy = strategy.EAGER
        self._kernels = config.create_runtime_cache()
        if kernels is not None and not self._kernels.deserialize(kernels):
            _log.info("kernels of an earlier driver are compiled anew")
        config.set_runtime_cache(self._kernels)
        context: _Context | None = self._engine.create_execution_context(config)
        return context


def _parse(package: Package, graph: bytes) -> tuple[Any, Any, Any]:
    """Builder, network and parser; the network needs the other two alive."""
    trt = package.module
    logger = _logger(trt)
    logger.words.clear()
    builder = trt.Builder(logger)
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        said = [parser.get_error(k).desc() for k in range(parser.num_errors)]
        raise EngineError(said[0].splitlines()[0] if said else logger.last_words("no reason"))
    return builder, network, parser


@functools.cache
def _logger(trt: ModuleType) -> _Logger:
    """One for all: TensorRT keeps the first it is given and complains of others."""

    class Words(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.words: list[str] = []

        def log(self, severity: object, message: str) -> None:
            bad = severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)
            if bad:
                self.words.append(message)
            if bad or severity == trt.ILogger.WARNING:
                # What fails for it is raised with these words; a second telling is no help.
                _log.debug("%s: %s", trt.__name__, message)

        def last_words(self, otherwise: str) -> str:
            """What was complained of since the last time asked; memory first, it is the cause."""
            words, self.words = self.words, []
            for word in words:
                if any(sign in word.lower() for sign in _OUT_OF_MEMORY):
                    return f"out of memory: {word}"
            return reason_of(EngineError(words[0])) if words else otherwise

    return Words()
