"""The NVIDIA GPU through NVIDIA's own cuda-bindings: memory, copies, one stream."""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import numpy as np

from rtstyle.backends.base import reason_of
from rtstyle.errors import BackendUnavailable
from rtstyle.types import Pixels

DEVICE = "CUDA:0"
DRIVER_FIX = "install NVIDIA's driver, or take --backend openvino"

_ORDINAL = 0


class CudaError(Exception):
    """A call of CUDA that failed; the message says which and why.

    "out of memory" in it is how base.says_out_of_memory knows that kind.
    """


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """The device that is used."""

    name: str
    """As it calls itself: "NVIDIA GeForce RTX 4070"."""
    capability: tuple[int, int]
    """Compute capability, major and minor."""

    @property
    def architecture(self) -> str:
        """As the compilers name it: ``SM89``."""
        return f"SM{self.capability[0]}{self.capability[1]}"

    def __str__(self) -> str:
        return f"{self.name} ({self.architecture})"


def gpu_facts() -> GpuFacts:
    """The first NVIDIA GPU.

    Raises BackendUnavailable, with the remedy, where cuda-bindings, the driver or a device is
    missing or the driver too old.
    """
    runtime = _runtime()
    try:
        (driver,) = _call(runtime, "cudaDriverGetVersion")
        if driver == 0:
            raise BackendUnavailable(f"no NVIDIA driver answers; {DRIVER_FIX}")
        (built,) = _call(runtime, "cudaRuntimeGetVersion")
        if driver // 1000 < built // 1000:
            raise BackendUnavailable(
                f"the NVIDIA driver is for CUDA {_version(driver)}, cuda-bindings for "
                f"{_version(built)}; update the driver, or "
                f'pip install "cuda-bindings=={driver // 1000}.*"'
            )
        (count,) = _call(runtime, "cudaGetDeviceCount")
        if count == 0:
            raise BackendUnavailable(f"no NVIDIA GPU is in this machine; {DRIVER_FIX}")
        (properties,) = _call(runtime, "cudaGetDeviceProperties", _ORDINAL)
    except CudaError as error:
        raise BackendUnavailable(f"no NVIDIA GPU answers ({error}); {DRIVER_FIX}") from error
    name = properties.name
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return GpuFacts(text.rstrip("\0"), (int(properties.major), int(properties.minor)))


class Gpu:
    """One stream, and for the pictures one buffer on each side that grows as they do."""

    def __init__(self) -> None:
        self._cuda = _runtime()
        self._closed = False
        self._source, self._result = _Pair(self._cuda), _Pair(self._cuda)
        (self._stream,) = _call(
            self._cuda, "cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking
        )

    @property
    def stream(self) -> int:
        """The stream's handle."""
        return int(self._stream)

    def reserve(self, nbytes: int) -> tuple[int, int]:
        """Room for a source and a result of ``nbytes`` each; their addresses on the device."""
        for pair in (self._source, self._result):
            pair.grow(nbytes)
        return self._source.device, self._result.device

    def upload(self, batch: Pixels) -> None:
        """Put ``batch``, C-contiguous, at the source's address, in the stream's order."""
        self._source.array(batch.nbytes)[:] = batch.reshape(-1)
        self._copy(self._source.device, self._source.host, batch.nbytes, "cudaMemcpyHostToDevice")

    def download(self, shape: tuple[int, ...]) -> Pixels:
        """Wait for the stream; the result as an array of its own of uint8 ``shape``."""
        nbytes = int(np.prod(shape))
        self._copy(self._result.host, self._result.device, nbytes, "cudaMemcpyDeviceToHost")
        _call(self._cuda, "cudaStreamSynchronize", self._stream)
        return self._result.array(nbytes).reshape(shape).copy()

    def close(self) -> None:
        """Free everything; calling it twice is allowed. Errors are passed over: all must go."""
        if self._closed:
            return
        self._closed = True
        for release in (self._finish, self._source.free, self._result.free, self._drop_stream):
            try:
                release()
            except CudaError:
                # A failed kernel spoils every later call; there is nothing left to save.
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self) -> None:
        _call(self._cuda, "cudaStreamSynchronize", self._stream)

    def _drop_stream(self) -> None:
        _call(self._cuda, "cudaStreamDestroy", self._stream)

    def _copy(self, to: int, source: int, nbytes: int, kind: str) -> None:
        way = getattr(self._cuda.cudaMemcpyKind, kind)
        _call(self._cuda, "cudaMemcpyAsync", to, source, nbytes, way, self._stream)


class _Pair:
    """Page-locked memory of the host and as much of the device."""

    def __init__(self, cuda: ModuleType) -> None:
        self._cuda = cuda
        self._size = 0
        self.device = 0
        self.host = 0

    def grow(self, nbytes: int) -> None:
        if nbytes <= self._size:
            return
        self.free()
        (self.device,) = map(int, _call(self._cuda, "cudaMalloc", nbytes))
        flags = self._cuda.cudaHostAllocDefault
        (self.host,) = map(int, _call(self._cuda, "cudaHostAlloc", nbytes, flags))
        self._size = nbytes

    def array(self, nbytes: int) -> Pixels:
        memory = (ctypes.c_uint8 * nbytes).from_address(self.host)
        return np.ctypeslib.as_array(memory)

    def free(self) -> None:
        self._size = 0
        device, self.device = self.device, 0
        host, self.host = self.host, 0
        try:
            if device:
                _call(self._cuda, "cudaFree", device)
        finally:
            if host:
                _call(self._cuda, "cudaFreeHost", host)


def _runtime() -> ModuleType:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            'the package cuda-bindings is not installed; pip install "cuda-bindings>=12.8"'
        ) from error
    except Exception as error:
        raise BackendUnavailable(
            f"the package cuda-bindings cannot be loaded ({reason_of(error)}); "
            "pip install --force-reinstall cuda-bindings"
        ) from error


def _call(cuda: ModuleType, name: str, *arguments: object) -> tuple[Any, ...]:
    """What the function gives besides its status; CudaError where that is not success."""
    try:
        status, *values = getattr(cuda, name)(*arguments)
    except (AttributeError, TypeError, RuntimeError) as error:
        # cuda-bindings raises RuntimeError where the driver's library lacks a function.
        raise CudaError(f"{name}: {reason_of(error)}") from error
    if int(status) == 0:
        return tuple(values)
    _, words = cuda.cudaGetErrorString(status)
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
    if int(status) == int(cuda.cudaError_t.cudaErrorMemoryAllocation):
        # CUDA remembers this one and would report it again of the next, innocent call.
        cuda.cudaGetLastError()
        text = "out of memory"
    raise CudaError(f"{name}: {text}")


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
