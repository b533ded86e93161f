"""ONNX Runtime: runs on every processor, and on NVIDIA's with the CUDA build."""

from __future__ import annotations

import ctypes
import sys
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rtstyle.backends.base import BackendStatus, BaseStylizer, reason_of
from rtstyle.backends.foresight import numbers_of, on_onnxruntime
from rtstyle.errors import BackendError, BackendOutOfMemory, BackendUnavailable, ModelError
from rtstyle.memory import caused_by_memory, out_of_memory, says_out_of_memory
from rtstyle.runtimes import import_onnxruntime
from rtstyle.styles.admission import brief
from rtstyle.styles.registry import read_model
from rtstyle.styles.spec import StyleSpec
from rtstyle.types import BackendInfo, Pixels, Size

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NAME = "onnxruntime"
TITLE = "ONNX Runtime"
FIX = 'pip install "rtstyle[cpu]"'
PACKAGES = ("onnxruntime", "onnxruntime-gpu")
PROVIDERS = {"CPU": "CPUExecutionProvider", "CUDA:0": "CUDAExecutionProvider"}
PRECISIONS = ("fp32",)

_FATAL = 4
_OUT_OF_GRAPH = ("InvalidGraph", "InvalidProtobuf", "InvalidArgument", "NotImplemented", "NoModel")


class OnnxRuntimeStylizer(BaseStylizer):
    """A style run by ONNX Runtime in float32 on ``device``, ``CPU`` or ``CUDA:0``.

    Never on another device than that: a session that fell back is refused, not used.
    """

    def __init__(
        self,
        spec: StyleSpec,
        *,
        device: str = "CPU",
        precision: str = "auto",
        threads: int | None = None,
        requested: str = "onnxruntime/auto",
        reason: str = "",
    ) -> None:
        runtime = _runtime()
        if precision not in ("auto", *PRECISIONS):
            raise BackendUnavailable(
                f"{TITLE} computes in fp32 only; take --precision fp32 or --backend openvino"
            )
        data = read_model(spec)
        super().__init__(
            spec,
            BackendInfo(
                name=NAME, device=device, precision="fp32", requested=requested, reason=reason
            ),
        )
        self._session: InferenceSession | None = _open(runtime, data, spec, device, threads)
        self._input: str = self._session.get_inputs()[0].name
        self._numbers = numbers_of(spec, data)

    def working_bytes(self, size: Size, *, batch: int = 1, repeated: bool = False) -> int | None:
        """About how much memory running takes, where it runs on the processor."""
        if self._info.device != "CPU":
            return None
        return on_onnxruntime(self._spec, self._numbers, size, batch=batch, repeated=repeated)

    def _run(self, batch: Pixels) -> Pixels:
        assert self._session is not None
        result = self._session.run(None, {self._input: batch})[0]
        # An identity graph may hand out the very memory it was given.
        return np.array(result) if np.may_share_memory(result, batch) else result

    def _release(self) -> None:
        self._session = None


def _open(
    runtime: ModuleType, data: bytes, spec: StyleSpec, device: str, threads: int | None
) -> InferenceSession:
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    if threads is not None:
        options.intra_op_num_threads = threads
    provider = PROVIDERS[device]
    chosen = [provider] if device == "CPU" else [provider, PROVIDERS["CPU"]]
    try:
        session = runtime.InferenceSession(data, options, providers=chosen, enable_fallback=0)
    except Exception as error:
        if says_out_of_memory(error):
            raise BackendOutOfMemory(
                f"{device} ran out of memory loading style {spec.name}; "
                "close other programs or take a narrower style"
            ) from error
        if device != "CPU" and type(error).__name__ not in _OUT_OF_GRAPH:
            raise BackendUnavailable(
                f"{TITLE} cannot use {device} ({reason_of(error)}); check the driver"
            ) from error
        raise ModelError(
            f"{TITLE} cannot run {brief(spec.file.name)}: {reason_of(error)}; export it again"
        ) from error
    got = session.get_providers()
    if not got or got[0] != provider:
        raise BackendUnavailable(
            f"{TITLE} was asked for {provider} and runs on {', '.join(got) or 'nothing'}; "
            "check the driver, or take --backend openvino"
        )
    return session


def cuda_problem() -> str | None:
    """Why ONNX Runtime cannot use CUDA here, as a clause; None where nothing speaks against it."""
    try:
        able = _runtime().get_available_providers()
    except BackendUnavailable as error:
        return str(error)
    if PROVIDERS["CUDA:0"] not in able:
        return "this build of ONNX Runtime has no CUDA"
    return None if _cuda_devices() else "no NVIDIA device answers"


def built_for_cuda() -> bool:
    """Whether the installed build of ONNX Runtime has the CUDA provider."""
    try:
        return PROVIDERS["CUDA:0"] in _runtime().get_available_providers()
    except BackendUnavailable:
        return False


def _cuda_devices() -> int:
    """How many devices the driver reports; 0 without a driver.

    Asked directly: ONNX Runtime lists what it was built for, not what is there.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def status() -> BackendStatus:
    """What ONNX Runtime is and can do here."""
    version = next(filter(None, map(_version, PACKAGES)), None)
    if version is None:
        return BackendStatus(NAME, None, problem=f"{TITLE} is not installed", fix=FIX)
    try:
        able = _runtime().get_available_providers()
    except BackendError as error:
        return BackendStatus(NAME, version, problem=str(error), fix=_reinstall())
    if PROVIDERS["CUDA:0"] not in able:
        return BackendStatus(NAME, version, ("CPU",), PRECISIONS)
    if (problem := cuda_problem()) is None:
        return BackendStatus(NAME, version, ("CUDA:0", "CPU"), PRECISIONS)
    return BackendStatus(
        NAME,
        version,
        ("CPU",),
        PRECISIONS,
        problem,
        "install the NVIDIA driver, or pip install "
        '"rtstyle[cpu]" in an environment without onnxruntime-gpu',
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _reinstall() -> str:
    package = next(filter(_version, reversed(PACKAGES)), PACKAGES[0])
    return f"pip install --force-reinstall {package}"


def _runtime() -> ModuleType:
    try:
        runtime = import_onnxruntime()
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise _broken(error) from error
        raise BackendUnavailable(f"{TITLE} is not installed: {FIX}") from error
    except Exception as error:
        if caused_by_memory(error):
            raise out_of_memory(f"while loading {TITLE}") from error
        raise _broken(error) from error
    if not hasattr(runtime, "InferenceSession"):
        # Uninstalling one of two wheels that share a folder leaves an empty package behind.
        raise _broken(ImportError("the package is hollow"))
    runtime.disable_telemetry_events()  # Windows, and whoever imported it before us
    runtime.set_default_logger_severity(_FATAL)
    return runtime


def _broken(error: Exception) -> BackendUnavailable:
    return BackendUnavailable(f"{TITLE} cannot be loaded ({reason_of(error)}): {_reinstall()}")
