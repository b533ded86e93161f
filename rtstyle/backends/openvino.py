"""OpenVINO on the processor: the quick one where the processor computes in bfloat16."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from rtstyle.backends.base import BackendStatus, BaseStylizer, reason_of
from rtstyle.backends.foresight import numbers_of, on_openvino
from rtstyle.backends.int8 import quantize
from rtstyle.backends.processor import ProcessorFeatures, processor_features
from rtstyle.backends.signal_stack import kept_signal_stack
from rtstyle.errors import (
    BackendError,
    BackendOutOfMemory,
    BackendUnavailable,
    ModelError,
    RtstyleError,
)
from rtstyle.memory import caused_by_memory, out_of_memory, says_out_of_memory
from rtstyle.runtimes import import_openvino
from rtstyle.styles.admission import brief
from rtstyle.styles.likeness import LEAST_PSNR_DB
from rtstyle.styles.registry import read_model
from rtstyle.styles.spec import StyleSpec
from rtstyle.types import BackendInfo, Pixels, Size

if TYPE_CHECKING:
    import openvino

NAME = "openvino"
TITLE = "OpenVINO"
FIX = 'pip install "rtstyle[cpu]"'
DEVICE = "CPU"

_KEPT_SIZES = 2
_ONE, _MANY = "LATENCY", "THROUGHPUT"
_MOST_AT_ONCE = 8
_TRIAL, _TRIALS = Size(160, 96), 5
_WORTHWHILE = 1.3
"""How much quicker int8 must be where it is not known to be."""
# What is not quantized in int8 is computed in float32.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
_CAPABILITIES_KEY = "OPTIMIZATION_CAPABILITIES"
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}


class OpenVinoStylizer(BaseStylizer):
    """A style compiled by OpenVINO for the processor.

    A graph compiled for one size is some percent quicker than one for all sizes and takes a
    fraction of a second to make, so each size is compiled on first use. The last two are kept,
    no more, since each holds its intermediate results: gigabytes for a large picture.

    One picture is computed by all cores together, which answers soonest. Several are computed side
    by side, a few cores each: half as many again a second, since cores that work on one picture
    wait for the slowest of them at every layer, above all while decoder and encoder need some.
    """

    def __init__(
        self,
        spec: StyleSpec,
        *,
        precision: str = "auto",
        threads: int | None = None,
        requested: str = "openvino/auto",
        reason: str = "",
    ) -> None:
        core = _core()
        data = read_model(spec)
        int8_db = _int8_db(spec)
        features = processor_features()
        if precision == "auto" and int8_db is not None and features.vnni is None:
            # Only Linux tells what units a processor has; elsewhere a short trial does.
            features = replace(features, vnni=_is_quicker_in_int8(core, data, spec))
        taken, why = choose_precision(precision, _precisions(core), features, int8_db=int8_db)
        super().__init__(
            spec,
            BackendInfo(
                name=NAME,
                device=DEVICE,
                precision=taken,
                requested=requested,
                reason="; ".join(filter(None, (reason, why))),
            ),
        )
        self._core: openvino.Core | None = core
        self._numbers = numbers_of(spec, data)
        self._settings: dict[str, object] = {"INFERENCE_PRECISION_HINT": _HINTS[taken]}
        if threads is not None:
            self._settings["INFERENCE_NUM_THREADS"] = threads
            # Where OpenVINO pins fewer threads than there are cores, it takes the first ones, in
            # every process the same: nets beside each other would share one and leave others idle.
            self._settings["ENABLE_CPU_PINNING"] = False
        try:
            self._model: openvino.Model | None = core.read_model(model=data)
        except Exception as error:
            if says_out_of_memory(error):
                raise out_of_memory(f"while loading style {spec.name}") from error
            raise ModelError(
                f"OpenVINO cannot read {brief(spec.file.name)}: {reason_of(error)}; "
                "export it again or try --backend onnxruntime"
            ) from error
        if taken == "int8":
            quantize(self._model, spec.activations, spec.name)
        self._requests: OrderedDict[tuple[Size, str], list[openvino.InferRequest]] = OrderedDict()
        self._probe(spec)

    def _probe(self, spec: StyleSpec) -> None:
        """Compile the smallest size: a graph that cannot be compiled shows here, not mid-run."""
        smallest = spec.size_rule.fit(Size(1, 1))
        try:
            compiled = self._compile(smallest, _ONE)
        except RtstyleError:
            raise
        except Exception as error:
            if says_out_of_memory(error):
                raise BackendOutOfMemory(
                    f"the processor ran out of memory loading style {spec.name}; "
                    "close other programs or take a narrower style"
                ) from error
            raise ModelError(
                f"OpenVINO cannot run {brief(spec.file.name)}: {reason_of(error)}; "
                "export it again or try --backend onnxruntime"
            ) from error
        got = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if _long_name(got) != _long_name(_HINTS[self._info.precision]):
            raise BackendUnavailable(
                f"OpenVINO was asked for {self._info.precision} and computes in {got}; "
                "take --precision fp32"
            )

    @property
    def batch_hint(self) -> int:
        """Two pictures for each core, so that none waits long for the last of a batch."""
        return min(_MOST_AT_ONCE, 2 * processor_features().cores)

    def working_bytes(self, size: Size, *, batch: int = 1, repeated: bool = False) -> int | None:
        """About how much memory running takes; see ``BaseStylizer``."""
        del repeated
        precision = self._info.precision
        return on_openvino(self._spec, self._numbers, precision, size, batch=batch)

    def lighter(self) -> tuple[str, ...]:
        """Precisions that take half of what float32 does."""
        if self._info.precision != "fp32" or self._core is None:
            return ()
        offered = _precisions(self._core)
        known = (*(("int8",) if self._spec.activations else ()), "bf16", "fp16")
        return tuple(precision for precision in known if precision in offered)

    def _compile(self, size: Size, hint: str) -> openvino.CompiledModel:
        assert self._core is not None and self._model is not None
        shape = (1, size.height, size.width, 3)
        model = self._model.clone()
        model.reshape(list(shape))
        output = model.output(0).partial_shape
        if output.is_static and tuple(output.to_shape()) != shape:
            raise self._wrong_shape(shape, str(output))
        return self._core.compile_model(model, DEVICE, {**self._settings, "PERFORMANCE_HINT": hint})

    def _requests_for(self, size: Size, hint: str) -> list[openvino.InferRequest]:
        key = (size, hint)
        if key not in self._requests:
            while len(self._requests) >= _KEPT_SIZES:
                self._requests.popitem(last=False)
            compiled = self._compile(size, hint)
            count = 1
            if hint == _MANY:
                count = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            self._requests[key] = [
                compiled.create_infer_request() for _ in range(min(count, _MOST_AT_ONCE))
            ]
        self._requests.move_to_end(key)
        return self._requests[key]

    def _run(self, batch: Pixels) -> Pixels:
        tensor = import_openvino().Tensor
        count, height, width, _ = batch.shape
        size = Size(width, height)
        # The last picture of a film alone is no reason to compile once more.
        alone = count == 1 and (size, _MANY) not in self._requests
        requests = self._requests_for(size, _ONE if alone else _MANY)
        # The net reads the batch and writes the result in place: no copy on either side. A shared
        # tensor insists on memory it may write, though it never writes an input.
        if not batch.flags.writeable:
            batch = batch.copy()
        result = np.empty(batch.shape, np.uint8)
        try:
            for index in range(count):
                request = requests[index % len(requests)]
                request.wait()
                picture = slice(index, index + 1)
                request.set_input_tensor(tensor(batch[picture], shared_memory=True))
                request.set_output_tensor(tensor(result[picture], shared_memory=True))
                request.start_async()
        finally:
            # Also after a failure: the memory below must outlive whoever still writes it.
            failed = [error for request in requests if (error := _wait(request)) is not None]
        if failed:
            raise failed[0]
        return result

    def _release(self) -> None:
        self._requests.clear()
        self._model = None
        self._core = None


def choose_precision(
    asked: str,
    offered: tuple[str, ...],
    features: ProcessorFeatures,
    *,
    int8_db: float | None = None,
) -> tuple[str, str]:
    """The precision to take of those ``offered``, and why, as a clause.

    ``int8_db`` is the style's PSNR in int8, None where it was not calibrated for that. Raises
    BackendUnavailable where ``asked`` is not offered. OpenVINO offers bf16 only where there are
    instructions for it; where the processor is known to have none worth it, int8 is taken if its
    units are there and the style does not suffer, else fp32.
    """
    if asked == "int8" and int8_db is None:
        raise BackendUnavailable(
            "this style was not calibrated for int8: rtstyle styles calibrate NAME --photos DIR, "
            "or take --precision auto"
        )
    if asked != "auto":
        if asked not in offered:
            raise BackendUnavailable(
                f"OpenVINO cannot compute in {asked} on this processor; "
                f"take --precision {' or '.join(offered) or 'auto'}"
            )
        slower = asked == "fp16" and "bf16" in offered and features.quick_bf16
        return asked, f"{asked} was asked for" + ("; bf16 is quicker here" if slower else "")
    if "bf16" in offered and features.quick_bf16 is not False:
        return "bf16", features.bf16_units if features.quick_bf16 else "OpenVINO reports bf16"
    lacks = features.bf16_units if features.quick_bf16 is False else "OpenVINO has no bf16"
    if int8_db is not None and "int8" in offered and features.vnni and int8_db >= LEAST_PSNR_DB:
        return "int8", f"{lacks} but int8 ones"
    return "fp32", lacks


def _is_quicker_in_int8(core: openvino.Core, data: bytes, spec: StyleSpec) -> bool:
    """Whether a small picture is; a style that cannot be tried is not."""
    size = spec.size_rule.fit(_TRIAL)
    seconds: dict[bool, float] = {}
    try:
        for quantized in (False, True):
            model = core.read_model(model=data)
            if quantized:
                quantize(model, spec.activations, spec.name)
            model.reshape([1, size.height, size.width, 3])
            net = core.compile_model(model, DEVICE, {"INFERENCE_PRECISION_HINT": _HINTS["fp32"]})
            picture = np.zeros((1, size.height, size.width, 3), np.uint8)
            seconds[quantized] = min(_timed(net, picture) for _ in range(_TRIALS))
    except Exception:
        # What is wrong with the style is said when it is loaded.
        return False
    return seconds[False] >= _WORTHWHILE * seconds[True]


def _timed(net: openvino.CompiledModel, picture: Pixels) -> float:
    began = time.perf_counter()
    net(picture)
    return time.perf_counter() - began


def _int8_db(spec: StyleSpec) -> float | None:
    """What int8 costs a style; None where its card has no ranges for it."""
    return spec.measured.get("psnr_int8_db", 0.0) if spec.activations else None


def status() -> BackendStatus:
    """What OpenVINO is and can do here."""
    try:
        version = metadata.version("openvino")
    except metadata.PackageNotFoundError:
        return BackendStatus(NAME, None, problem=f"{TITLE} is not installed", fix=FIX)
    try:
        core = _core()
        devices = tuple(str(device) for device in core.available_devices)
        offered = _precisions(core)
    except BackendError as error:
        return BackendStatus(NAME, version, problem=str(error), fix=_reinstall())
    best, _ = choose_precision("auto", offered, processor_features())
    # Whether int8 can be had is for each style to say.
    ordered = (best, *(other for other in offered if other not in (best, "int8")))
    return BackendStatus(NAME, version, devices, ordered)


def _reinstall() -> str:
    return "pip install --force-reinstall openvino"


def _core() -> openvino.Core:
    try:
        module = import_openvino()
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise _broken(error) from error
        raise BackendUnavailable(f"{TITLE} is not installed: {FIX}") from error
    except Exception as error:
        if caused_by_memory(error):
            raise out_of_memory(f"while loading {TITLE}") from error
        raise _broken(error) from error
    try:
        core = module.Core()
        # Asked for now, since the first question loads the plugin, which gives this thread a signal
        # stack of its own and on release whatever the thread had before: after two plugins that
        # would be the freed one of the first.
        with kept_signal_stack():
            core.get_property(DEVICE, _CAPABILITIES_KEY)
    except Exception as error:
        if caused_by_memory(error):
            raise out_of_memory(f"while loading {TITLE}") from error
        raise _broken(error) from error
    return core


def _broken(error: Exception) -> BackendUnavailable:
    return BackendUnavailable(f"{TITLE} cannot be loaded ({reason_of(error)}): {_reinstall()}")


def _precisions(core: openvino.Core) -> tuple[str, ...]:
    try:
        able = set(core.get_property(DEVICE, _CAPABILITIES_KEY))
    except Exception as error:
        raise _broken(error) from error
    return tuple(name for name, capability in _CAPABILITIES.items() if capability in able)


def _long_name(kind: str) -> str:
    return {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}.get(kind, kind)


def _wait(request: openvino.InferRequest) -> Exception | None:
    """Wait for what runs; the error it ended with."""
    try:
        request.wait()
    except Exception as error:
        return error
    return None
