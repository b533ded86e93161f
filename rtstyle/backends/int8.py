"""Convolutions in whole numbers of eight bits, for OpenVINO.

Weights are quantized by output channel, activations as a whole with a zero point, so that a leaky
ReLU does not waste half of the 256 values on its short side (Nagel et al., A White Paper on Neural
Network Quantization, 2021, sections 2.2 and 2.4). How far activations reach is measured once, on
photos, and lies in the style's card; weights tell that themselves. Normalisation, additions and
upsampling stay in float32: they cost little, and most of the error would be theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtstyle.backends.base import reason_of
from rtstyle.errors import ModelError
from rtstyle.runtimes import import_openvino
from rtstyle.types import Pixels, Size

if TYPE_CHECKING:
    import openvino

Range = tuple[float, float]
"""Least and greatest value of a tensor; 0 lies between."""

_LEVELS = 256
_TAIL = 1e-5
"""Share of values on either side that may be cut off: a few outliers would cost all others
their precision."""
_CONVOLUTIONS = frozenset(("Convolution",))


def measure_activations(model: bytes, pictures: Iterable[Pixels]) -> dict[str, Range]:
    """How far the inputs of the convolutions reach, by the name of their tensor, in their order.

    ``pictures`` are uint8 ``(H, W, 3)`` RGB of sizes that the net takes. Raises ModelError for a
    graph that OpenVINO cannot run, ValueError without pictures.
    """
    core = import_openvino().Core()
    found: dict[str, Range] = {}
    try:
        graph = core.read_model(model=model)
        names = list(dict.fromkeys(_name(source) for _, source in _inputs(graph)))
        if not names:
            raise ModelError("nothing in it is a convolution, so int8 would gain nothing")
        graph.add_outputs(names)
        net = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"the activations cannot be measured: {reason_of(error)}") from error
    for picture in pictures:
        results = net(picture[None])
        for name in names:
            low, high = _reach(np.asarray(results[net.output(name)]))
            before = found.get(name, (0.0, 0.0))
            found[name] = (min(before[0], low), max(before[1], high))
    if not found:
        raise ValueError("measuring activations needs at least one picture")
    return found


def share_of_ends(model: bytes, size: Size) -> float:
    """The share (0..1) of the first and the last convolution in the multiply-accumulates of all.

    ``size`` is one the net takes. Raises ModelError for a graph that OpenVINO cannot read.
    """
    try:
        graph = import_openvino().Core().read_model(model=model)
        graph.reshape([1, size.height, size.width, 3])
    except Exception as error:
        raise ModelError(f"the convolutions cannot be counted: {reason_of(error)}") from error
    costs = [
        math.prod(list(node.output(0).shape)[2:]) * math.prod(list(node.input_value(1).shape))
        for node, _ in _inputs(graph)
    ]
    return (costs[0] + costs[-1]) / sum(costs) if costs else 0.0


def quantize(model: openvino.Model, activations: Mapping[str, Range], name: str) -> None:
    """Have those convolutions of ``model`` computed in 8 bits whose input has a range.

    ``name`` is the style's, for messages. Raises ModelError where none has, so that the ranges are
    another graph's.
    """
    op: Any = import_openvino().opset13
    done: set[str] = set()
    for convolution, source in list(_inputs(model)):
        # A tensor may have several names, and which of them differs between releases of OpenVINO.
        tensor = next((one for one in source.get_names() if one in activations), None)
        if tensor is None:
            continue
        if tensor not in done:
            done.add(tensor)
            readers = [one for one in source.get_target_inputs() if _leads_on(one.get_node())]
            low, high = _grid(*activations[tensor])
            limits = [op.constant(np.full((1, 1, 1, 1), v, np.float32)) for v in (low, high)]
            quantized = op.fake_quantize(source, *limits, *limits, _LEVELS)
            for reader in readers:
                reader.replace_source_output(quantized.output(0))
        weights = convolution.input_value(1)
        values = np.asarray(weights.get_node().get_data(), np.float32)
        most = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
        most[most == 0] = 1.0
        bounds = [op.constant(bound) for bound in (-most, most)]
        # One level less, so that both signs reach as far and zero is one of them.
        quantized = op.fake_quantize(weights, *bounds, *bounds, _LEVELS - 1)
        convolution.input(1).replace_source_output(quantized.output(0))
    if not done:
        raise ModelError(
            f"the int8 ranges of style {name} are those of another graph; calibrate it again, or "
            "take --precision fp32"
        )
    model.validate_nodes_and_infer_types()


def _inputs(model: openvino.Model) -> Iterator[tuple[Any, Any]]:
    """Each convolution with what it reads, before any padding, which changes no range.

    Depthwise ones, whose weights come reshaped, cost next to nothing and stay as they are.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() not in _CONVOLUTIONS:
            continue
        if node.input_value(1).get_node().get_type_name() != "Constant":
            continue
        source = node.input_value(0)
        while source.get_node().get_type_name() == "Pad":
            source = source.get_node().input_value(0)
        yield node, source


def _leads_on(node: openvino.Node) -> bool:
    """Whether a reader goes to a convolution; others, like a skip, keep what is exact."""
    kind = node.get_type_name()
    return kind in _CONVOLUTIONS or kind == "Pad"


def _name(output: openvino.Output) -> str:
    return str(min(output.get_names(), default=output.get_node().get_friendly_name()))


def _reach(values: npt.NDArray[np.float32]) -> Range:
    flat = values.ravel()
    cut = max(1, int(_TAIL * flat.size))
    low, high = np.partition(flat, (cut, flat.size - 1 - cut))[[cut, flat.size - 1 - cut]]
    # Behind a ReLU there is no other side, and zero must stay zero.
    return (min(0.0, float(low)) if flat.min() < 0 else 0.0), max(0.0, float(high))


def _grid(low: float, high: float) -> Range:
    """The least range that holds both and has zero on one of its levels."""
    steps = _LEVELS - 1
    if high - low <= 0:
        return 0.0, 1.0
    zero = round(-low * steps / (high - low))
    if low < 0:
        zero = max(1, zero)
    if high > 0:
        zero = min(steps - 1, zero)
    sizes = ([high / (steps - zero)] if zero < steps else []) + ([-low / zero] if zero else [])
    return -max(sizes) * zero, max(sizes) * (steps - zero)
