"""An NVIDIA GPU and TensorRT for machines without: small stands-in for the packages' modules.

Memory of the device is memory of the host, an engine is its graph run by ONNX Runtime. As on a
real one, nothing in a stream happens before somebody waits for it.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest

from rtstyle.backends import tensorrt_engine
from rtstyle.runtimes import import_onnxruntime
from rtstyle.types import Pixels

VERSION = "1.7.1.116"
MAGIC = b"simulated engine\0"


class Status(IntEnum):
    cudaSuccess = 0  # noqa: N815 (NVIDIA's names)
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815
    cudaErrorLaunchFailure = 719  # noqa: N815


class CopyKind(IntEnum):
    cudaMemcpyHostToDevice = 1  # noqa: N815
    cudaMemcpyDeviceToHost = 2  # noqa: N815


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


@dataclass
class Machine:
    """What the simulated GPU is like, and what was done with it; may be changed at any time."""

    name: str = "NVIDIA GeForce RTX 4070"
    capability: tuple[int, int] = (8, 9)
    devices: int = 1
    driver: int = 13000
    memory: int = 2**30
    """Bytes of the device."""
    refuses_to_build: str | None = None
    refuses_to_run: str | None = None
    built: list[str] = field(default_factory=list)
    """Profile of each engine that was compiled."""
    loaded: int = 0
    """Engines that were deserialized, that is: whose code would have run."""
    kernels_taken: int = 0
    buffers: dict[int, ctypes.Array[ctypes.c_uint8]] = field(default_factory=dict)
    on_device: set[int] = field(default_factory=set)
    streams: dict[int, list[Callable[[], None]]] = field(default_factory=dict)

    @property
    def holds_nothing(self) -> bool:
        """Everything was freed."""
        return not self.buffers and not self.streams

    def at(self, address: int) -> ctypes.Array[ctypes.c_uint8]:
        return self.buffers[address]


def simulate_gpu(
    monkeypatch: pytest.MonkeyPatch, cache: Path, *packages: str, machine: Machine | None = None
) -> Machine:
    """Put a GPU and the named distributions of TensorRT into this process; engines go to ``cache``.

    Without names it is ``tensorrt-rtx``.
    """
    machine = machine or Machine()
    names = packages or (tensorrt_engine.RTX,)
    version = metadata.version

    def of(name: str) -> str:
        if name in (tensorrt_engine.RTX, tensorrt_engine.FULL):
            if name in names:
                return VERSION
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", of)
    for name, module in ((tensorrt_engine.RTX, "tensorrt_rtx"), (tensorrt_engine.FULL, "tensorrt")):
        stand_in = tensorrt_module(module, machine) if name in names else None
        monkeypatch.setitem(sys.modules, module, stand_in)
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", ModuleType("cuda.bindings"))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda_module(machine))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return machine


def cuda_module(machine: Machine) -> ModuleType:
    """Stands in for ``cuda.bindings.runtime``."""

    def allocate(size: int, *, device: bool) -> tuple[Status, int | None]:
        used = sum(len(machine.buffers[address]) for address in machine.on_device)
        if device and used + size > machine.memory:
            return Status.cudaErrorMemoryAllocation, None
        buffer = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(buffer)
        machine.buffers[address] = buffer
        if device:
            machine.on_device.add(address)
        return Status.cudaSuccess, address

    def free(address: int, *, device: bool) -> tuple[Status]:
        assert (address in machine.on_device) == device
        machine.on_device.discard(address)
        del machine.buffers[address]
        return (Status.cudaSuccess,)

    def copy(to: int, source: int, count: int, kind: CopyKind, stream: int) -> tuple[Status]:
        device = to if kind == CopyKind.cudaMemcpyHostToDevice else source
        assert device in machine.on_device
        assert count <= min(len(machine.at(to)), len(machine.at(source)))
        machine.streams[stream].append(lambda: void(ctypes.memmove(to, source, count)))
        return (Status.cudaSuccess,)

    def synchronise(stream: int) -> tuple[Status]:
        queue = machine.streams[stream]
        try:
            while queue:
                queue.pop(0)()
        except RuntimeError:
            queue.clear()
            return (Status.cudaErrorLaunchFailure,)
        return (Status.cudaSuccess,)

    def new_stream(_: int) -> tuple[Status, int]:
        handle = 1000 + len(machine.streams)
        machine.streams[handle] = []
        return Status.cudaSuccess, handle

    def count() -> tuple[Status, int | None]:
        if machine.devices == 0:
            return Status.cudaErrorNoDevice, None
        return Status.cudaSuccess, machine.devices

    def drop_stream(stream: int) -> tuple[Status]:
        del machine.streams[stream]
        return (Status.cudaSuccess,)

    properties = SimpleNamespace(
        name=machine.name.encode(), major=machine.capability[0], minor=machine.capability[1]
    )
    module = ModuleType("cuda.bindings.runtime")
    module.__dict__.update(
        cudaError_t=Status,
        cudaMemcpyKind=CopyKind,
        cudaHostAllocDefault=0,
        cudaStreamNonBlocking=1,
        cudaDriverGetVersion=lambda: (Status.cudaSuccess, machine.driver),
        cudaRuntimeGetVersion=lambda: (Status.cudaSuccess, 13050),
        cudaGetDeviceCount=count,
        cudaGetDeviceProperties=lambda _: (Status.cudaSuccess, properties),
        cudaGetErrorString=lambda status: (Status.cudaSuccess, Status(status).name.encode()),
        cudaGetLastError=lambda: (Status.cudaSuccess,),
        cudaMalloc=lambda size: allocate(size, device=True),
        cudaHostAlloc=lambda size, flags: allocate(size, device=False),
        cudaFree=lambda address: free(address, device=True),
        cudaFreeHost=lambda address: free(address, device=False),
        cudaMemcpyAsync=copy,
        cudaStreamCreateWithFlags=new_stream,
        cudaStreamSynchronize=synchronise,
        cudaStreamDestroy=drop_stream,
    )
    return module


def void(_: object) -> None:
    """Throw a result away."""


def tensorrt_module(name: str, machine: Machine) -> ModuleType:
    """Stands in for ``tensorrt_rtx`` or ``tensorrt``."""

    class Logger:
        ERROR, INTERNAL_ERROR, WARNING = Severity.ERROR, Severity.INTERNAL_ERROR, Severity.WARNING

        def log(self, severity: object, message: str) -> None:
            raise NotImplementedError

    class Network:
        graph = b""

        def get_input(self, index: int) -> SimpleNamespace:
            return SimpleNamespace(name=onnx.load_from_string(self.graph).graph.input[index].name)

    class Parser:
        def __init__(self, network: Network, logger: Logger) -> None:
            self._network, self._said = network, ""

        @property
        def num_errors(self) -> int:
            return 1 if self._said else 0

        def get_error(self, index: int) -> SimpleNamespace:
            return SimpleNamespace(desc=lambda: self._said)

        def parse(self, graph: bytes) -> bool:
            self._said = complaint(graph)
            self._network.graph = graph
            return not self._said

    class Profile:
        shapes: tuple[tuple[int, ...], ...] = ()

        def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
            self.shapes = shapes

    class Config:
        num_compute_capabilities = 0
        target = ""
        profile = Profile()

        def clear_flag(self, flag: str) -> None:
            assert flag == "TF32"

        def set_compute_capability(self, target: IntEnum, index: int) -> bool:
            self.target = target.name
            return True

        def add_optimization_profile(self, profile: Profile) -> int:
            self.profile = profile
            return 0

    class Builder:
        max_threads = 1
        create_builder_config = Config
        create_optimization_profile = Profile

        def __init__(self, logger: Logger) -> None:
            self._logger = logger

        def create_network(self, flags: int) -> Network:
            assert flags == 1 << 1
            return Network()

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            if machine.refuses_to_build:
                self._logger.log(Severity.ERROR, machine.refuses_to_build)
                return None
            head = json.dumps({"for": config.target, "shapes": config.profile.shapes})
            machine.built.append(head)
            return MAGIC + head.encode() + b"\0" + network.graph

    class Runtime:
        def __init__(self, logger: Logger) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, data: bytes) -> SimulatedEngine | None:
            machine.loaded += 1
            if not data.startswith(MAGIC):
                self._logger.log(Severity.ERROR, "magic tag does not match")
                return None
            return SimulatedEngine(machine, data)

    module = ModuleType(name)
    module.__dict__.update(
        ILogger=Logger,
        OnnxParser=Parser,
        Builder=Builder,
        Runtime=Runtime,
        TensorIOMode=IntEnum("TensorIOMode", {"INPUT": 1, "OUTPUT": 2}),
        NetworkDefinitionCreationFlag=IntEnum("Flag", {"STRONGLY_TYPED": 1}),
        BuilderFlag=SimpleNamespace(TF32="TF32"),
    )
    if name == "tensorrt_rtx":
        module.__dict__.update(
            ComputeCapability=IntEnum("ComputeCapability", {"SM86": 86, "SM89": 89, "SM120": 120}),
            DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="eager"),
        )
    return module


def complaint(graph: bytes) -> str:
    """What TensorRT says of a graph it cannot parse: it computes nothing in bytes."""
    nodes = onnx.load_from_string(graph).graph.node
    for node in nodes:
        if "frame" in node.input and node.op_type != "Cast":
            return f"Invalid Node - {node.name}\nfirst input has type UInt8"
    return ""


class SimulatedEngine:
    """ICudaEngine."""

    num_io_tensors = 2

    def __init__(self, machine: Machine, data: bytes) -> None:
        head, _, graph = data.removeprefix(MAGIC).partition(b"\0")
        self.machine = machine
        self.shapes = json.loads(head)["shapes"]
        options = import_onnxruntime().SessionOptions()
        options.intra_op_num_threads = 1
        self.session = import_onnxruntime().InferenceSession(graph, options)

    def get_tensor_name(self, index: int) -> str:
        return str((*self.session.get_inputs(), *self.session.get_outputs())[index].name)

    def get_tensor_mode(self, name: str) -> int:
        return 1 if name == self.session.get_inputs()[0].name else 2

    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig(self.machine)

    def create_execution_context(self, config: RuntimeConfig | None = None) -> Context:
        if config is not None:
            assert config.dynamic_shapes_kernel_specialization_strategy == "eager"
        return Context(self)


class RuntimeConfig:
    dynamic_shapes_kernel_specialization_strategy = "lazy"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def create_runtime_cache(self) -> SimpleNamespace:
        def deserialize(data: bytes) -> bool:
            self._machine.kernels_taken += data == b"kernels"
            return data == b"kernels"

        return SimpleNamespace(deserialize=deserialize, serialize=lambda: b"kernels")

    def set_runtime_cache(self, cache: SimpleNamespace) -> bool:
        return True


class Context:
    """IExecutionContext."""

    def __init__(self, engine: SimulatedEngine) -> None:
        self._engine = engine
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, greatest = self._engine.shapes
        self._shape = shape
        return all(a <= b <= c for a, b, c in zip(least, shape, greatest, strict=True))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._infer(np.zeros(self._shape, np.uint8)).shape

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream: int) -> bool:
        session, machine = self._engine.session, self._engine.machine
        source = self._addresses[session.get_inputs()[0].name]
        result = self._addresses[session.get_outputs()[0].name]
        assert {source, result} <= machine.on_device
        shape, count = self._shape, int(np.prod(self._shape))

        def run() -> None:
            if machine.refuses_to_run:
                raise RuntimeError(machine.refuses_to_run)
            batch = np.ctypeslib.as_array(machine.at(source))[:count].reshape(shape)
            painted = np.ascontiguousarray(self._infer(batch))
            ctypes.memmove(result, painted.ctypes.data, count)

        machine.streams[stream].append(run)
        return True

    def _infer(self, batch: Pixels) -> Pixels:
        session = self._engine.session
        result: Pixels = session.run(None, {session.get_inputs()[0].name: batch})[0]
        return result
