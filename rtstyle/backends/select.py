"""Which backend runs a style, and why."""

from __future__ import annotations

from rtstyle.backends import onnxruntime, openvino
from rtstyle.backends.base import BackendStatus, Stylizer
from rtstyle.backends.onnxruntime import OnnxRuntimeStylizer
from rtstyle.backends.openvino import OpenVinoStylizer
from rtstyle.errors import BackendUnavailable, UsageError
from rtstyle.styles.spec import StyleSpec

BACKENDS = ("auto", "openvino", "onnxruntime")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def load_stylizer(
    spec: StyleSpec, *, backend: str = "auto", precision: str = "auto", threads: int | None = None
) -> Stylizer:
    """Load a style into a backend.

    ``auto`` takes ONNX Runtime on a CUDA device, else OpenVINO, else ONNX Runtime on the processor,
    the first that is installed, works and has the precision; ``info.reason`` says which and why.
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
    if backend == "onnxruntime":
        return _onnxruntime(spec, precision, threads, requested, "ONNX Runtime was asked for")
    return _auto(spec, precision, threads, requested)


def available_backends() -> tuple[BackendStatus, ...]:
    """What each backend is and can do on this machine, in the order ``auto`` prefers."""
    return openvino.status(), onnxruntime.status()


def _auto(spec: StyleSpec, precision: str, threads: int | None, requested: str) -> Stylizer:
    passed_over: list[str] = []
    if onnxruntime.has_cuda() and precision in ("auto", *onnxruntime.PRECISIONS):
        try:
            return OnnxRuntimeStylizer(
                spec,
                device="CUDA:0",
                precision=precision,
                threads=threads,
                requested=requested,
                reason="there is a CUDA device",
            )
        except BackendUnavailable as error:
            passed_over.append(str(error))
    try:
        return OpenVinoStylizer(
            spec,
            precision=precision,
            threads=threads,
            requested=requested,
            reason="; ".join(passed_over),
        )
    except BackendUnavailable as error:
        passed_over.append(str(error))
    try:
        return OnnxRuntimeStylizer(
            spec,
            precision=precision,
            threads=threads,
            requested=requested,
            reason="; ".join(passed_over),
        )
    except BackendUnavailable as error:
        if onnxruntime.status().version is None and openvino.status().version is None:
            raise BackendUnavailable(
                f"no backend is installed to run a style with: {openvino.FIX}"
            ) from error
        if precision != "auto" and passed_over:
            raise BackendUnavailable(passed_over[-1]) from error
        raise


def _onnxruntime(
    spec: StyleSpec, precision: str, threads: int | None, requested: str, reason: str
) -> Stylizer:
    if onnxruntime.has_cuda():
        try:
            return OnnxRuntimeStylizer(
                spec,
                device="CUDA:0",
                precision=precision,
                threads=threads,
                requested=requested,
                reason=f"{reason} and there is a CUDA device",
            )
        except BackendUnavailable as error:
            reason = f"{reason}; {error}"
    return OnnxRuntimeStylizer(
        spec, precision=precision, threads=threads, requested=requested, reason=reason
    )
