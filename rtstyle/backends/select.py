"""Which backend runs a style, and why."""

from __future__ import annotations

from rtstyle.backends import onnxruntime, openvino, tensorrt
from rtstyle.backends.base import BackendStatus, Stylizer
from rtstyle.backends.onnxruntime import OnnxRuntimeStylizer
from rtstyle.backends.openvino import OpenVinoStylizer
from rtstyle.backends.tensorrt import TensorRtStylizer
from rtstyle.errors import (
    BackendError,
    BackendOutOfMemory,
    BackendUnavailable,
    HashMismatch,
    ModelError,
    UnsafeModel,
    UsageError,
)
from rtstyle.styles.spec import StyleSpec
from rtstyle.types import Size

BACKENDS = ("auto", "openvino", "onnxruntime", "tensorrt")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


def load_stylizer(
    spec: StyleSpec, *, backend: str = "auto", precision: str = "auto", threads: int | None = None
) -> Stylizer:
    """Load a style into a backend.

    ``auto`` takes TensorRT, else ONNX Runtime on a CUDA device, else OpenVINO, else ONNX Runtime on
    the processor: the first that is installed, works and has the precision; ``info.reason`` says
    which and why.
    ``threads`` bounds the processor threads of the net, None leaving it to the backend.

    Raises UsageError for an unknown option, BackendUnavailable where what was asked for is not
    there, ModelError (HashMismatch, UnsafeModel) where the style cannot be run.
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}; take one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; take one of {', '.join(PRECISIONS)}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}")
    requested = f"{backend}/{precision}"
    if backend == "openvino":
        return OpenVinoStylizer(spec, precision=precision, threads=threads, requested=requested)
    if backend == "tensorrt":
        return TensorRtStylizer(spec, precision=precision, threads=threads, requested=requested)
    if backend == "onnxruntime":
        return _onnxruntime(spec, precision, threads, requested)
    return _auto(spec, precision, threads, requested)


def available_backends() -> tuple[BackendStatus, ...]:
    """What each backend is and can do on this machine, in the order ``auto`` prefers."""
    return tensorrt.status(), openvino.status(), onnxruntime.status()


def _auto(spec: StyleSpec, precision: str, threads: int | None, requested: str) -> Stylizer:
    passed_over: list[str] = []
    for on_gpu in (_tensorrt, _cuda):
        if (found := on_gpu(spec, precision, threads, requested, passed_over)) is not None:
            return found
    try:
        return OpenVinoStylizer(
            spec,
            precision=precision,
            threads=threads,
            requested=requested,
            reason="; ".join(passed_over),
        )
    except (HashMismatch, UnsafeModel):
        raise
    except (BackendUnavailable, ModelError) as error:
        refusal = error
    try:
        return OnnxRuntimeStylizer(
            spec,
            precision=precision,
            threads=threads,
            requested=requested,
            reason="; ".join([*passed_over, str(refusal)]),
        )
    except BackendUnavailable as error:
        if openvino.status().version is None and onnxruntime.status().version is None:
            raise BackendUnavailable(
                f"no backend is installed to run a style with: {openvino.FIX}"
            ) from error
        # What OpenVINO lacks is the thing to say where ONNX Runtime is no way round it.
        raise refusal from error


def _onnxruntime(spec: StyleSpec, precision: str, threads: int | None, requested: str) -> Stylizer:
    passed_over: list[str] = []
    if (found := _cuda(spec, precision, threads, requested, passed_over)) is not None:
        return found
    return OnnxRuntimeStylizer(
        spec,
        precision=precision,
        threads=threads,
        requested=requested,
        reason="; ".join(["ONNX Runtime was asked for", *passed_over]),
    )


def _tensorrt(
    spec: StyleSpec,
    precision: str,
    threads: int | None,
    requested: str,
    passed_over: list[str],
) -> Stylizer | None:
    """The style in TensorRT, where it has run once; None where it cannot, and why, as ``_cuda``."""
    if not tensorrt.is_installed() or precision not in ("auto", *tensorrt.PRECISIONS):
        return None
    try:
        stylizer = TensorRtStylizer(
            spec,
            precision=precision,
            threads=threads,
            requested=requested,
            reason="there is an NVIDIA GPU",
        )
        try:
            # What compiles nowhere shows only when it is compiled: here, where there is a way out.
            stylizer.warm_up(spec.size_rule.fit(Size(1, 1)))
        except BaseException:
            stylizer.close()
            raise
    except (HashMismatch, UnsafeModel):
        raise
    except (BackendError, ModelError) as error:
        passed_over.append(f"not in TensorRT because {error}")
        return None
    return stylizer


def _cuda(
    spec: StyleSpec,
    precision: str,
    threads: int | None,
    requested: str,
    passed_over: list[str],
) -> Stylizer | None:
    """The style on a CUDA device; None where there is none, the reason added to ``passed_over``.

    A build without CUDA is no reason worth a word: nobody who has it expects a GPU to be used.
    """
    if not onnxruntime.built_for_cuda() or precision not in ("auto", *onnxruntime.PRECISIONS):
        return None
    problem = onnxruntime.cuda_problem()
    if problem is None:
        try:
            return OnnxRuntimeStylizer(
                spec,
                device="CUDA:0",
                precision=precision,
                threads=threads,
                requested=requested,
                reason="there is a CUDA device",
            )
        except (BackendUnavailable, BackendOutOfMemory) as error:
            problem = str(error)
    passed_over.append(f"not on a GPU because {problem}")
    return None
