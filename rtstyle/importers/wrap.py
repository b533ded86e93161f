"""A foreign ONNX graph, read with care and put behind the contract of rtstyle.styles.spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from rtstyle.errors import UnsafeModel
from rtstyle.importers.hints import LAYOUTS, Convention, affine
from rtstyle.importers.opset import IDLE, prepare
from rtstyle.importers.unfix import unfix
from rtstyle.styles import SizeRule, admit, parse_plain

PREFIX = "net/"
"""Of every name in the foreign graph, so that none meets one of ours."""
_KINDS = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8"}
_EXPECTED = "expected one float (N, 3, H, W) or (N, H, W, 3) input and one such output"


@dataclass(frozen=True, slots=True)
class ForeignGraph:
    """A graph of one picture in and one out, of known operators, that holds its own weights."""

    model: onnx.ModelProto
    """With height, width and batch freed, and every name under ``net/``."""
    input: str
    output: str
    kind: int
    """Of the input, as TensorProto counts: FLOAT, FLOAT16 or UINT8."""
    layout: str | None
    """Of the two possible ones; None where the shapes do not tell."""
    fixed: tuple[int | None, int | None]
    """Height and width the file declares, None for free; meaningful where ``layout`` is known."""
    pictures: int | None
    """How many at once the file declares, None for free."""

    @property
    def only(self) -> tuple[int, int] | None:
        """Height and width where the file declares both; None where it does not."""
        height, width = self.fixed
        known = self.layout is not None and height is not None and width is not None
        return (height, width) if known else None  # type: ignore[return-value]

    @property
    def facts(self) -> list[Any]:
        """All but the model, as JSON can hold it."""
        return [self.input, self.output, self.kind, self.layout, list(self.fixed), self.pictures]

    @classmethod
    def of(cls, model: bytes, facts: Sequence[Any]) -> ForeignGraph:
        """What ``facts`` were of."""
        source, result, kind, layout, (height, width), pictures = facts
        graph = onnx.load_from_string(model)
        return cls(graph, source, result, kind, layout, (height, width), pictures)


def read_graph(data: bytes, name: str) -> ForeignGraph:
    """Raises UnsafeModel with what was expected and what was found."""
    model = parse_plain(data, name=name, more=IDLE)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    outputs = list(model.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        raise _refusal(name, f"{len(inputs)} inputs and {len(outputs)} outputs")
    source, result = inputs[0], outputs[0]
    for role, value in (("input", source), ("output", result)):
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type") or tensor.elem_type not in _KINDS:
            raise _refusal(name, f"an {role} that is no float tensor")
        if tensor.HasField("shape") and len(tensor.shape.dim) != 4:
            raise _refusal(name, f"an {role} of {len(tensor.shape.dim)} dimensions")
    if not source.type.tensor_type.HasField("shape"):
        raise _refusal(name, "an input without a shape")
    lengths = _lengths(source)
    layout = _layout(lengths, _lengths(result))
    if layout is None and all(lengths[k] not in (None, 3) for k in (1, 3)):
        raise _refusal(name, f"an input of {_shown(lengths)}")
    sides = (lengths[1], lengths[2]) if layout == "nhwc" else (lengths[2], lengths[3])
    if any(side is not None and not 8 <= side <= 4096 for side in sides):
        raise _refusal(name, f"an input of {_shown(lengths)}, whose size no picture has")
    model = prepare(model, name)
    try:
        model = compose.add_prefix(model, PREFIX)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise UnsafeModel(f"{name} is refused: it is malformed: {reason}") from error
    if all(side is not None for side in sides):
        unfix(model)
    _free(model)
    kind = int(source.type.tensor_type.elem_type)
    names = (PREFIX + source.name, PREFIX + result.name)
    return ForeignGraph(model, *names, kind, layout, (sides[0], sides[1]), lengths[0])


def admit_foreign(foreign: ForeignGraph, layout: str | None, name: str) -> None:
    """Refuse what would fill the memory before it is run for the first time.

    ``layout``: what the user said of it, None for nothing. Raises UnsafeModel.
    """
    known = layout or foreign.layout
    layouts = (known,) if known else LAYOUTS
    for layout in layouts:
        guess = Convention(layout, "0..1", "0..1", "rgb")
        try:
            admit(wrap(foreign, guess).SerializeToString(), name=name)
            return
        except UnsafeModel:
            if layout == layouts[-1]:
                raise


def wrap(
    foreign: ForeignGraph, convention: Convention, rule: SizeRule | None = None
) -> onnx.ModelProto:
    """The graph from bytes to bytes; normalising and rounding stand around the net in it."""
    model = onnx.ModelProto()
    model.CopyFrom(foreign.model)
    graph = model.graph
    into, behind = affine(convention.range, convention.order)
    scale, offset = affine(convention.output_range, convention.order)
    constants: dict[str, npt.NDArray[Any]] = {
        "in_scale": np.array(into, np.float32),
        "in_offset": np.array(behind, np.float32),
        "out_offset": np.array(offset, np.float32),
        "out_scale": np.array([1 / s for s in scale], np.float32),
        "turned": np.array([2, 1, 0], np.int64),
        "black": np.array(0, np.float32),
        "white": np.array(255, np.float32),
    }
    turn = ("Gather", "turned", {"axis": 3}) if convention.order == "bgr" else None
    planes = convention.layout == "nchw"
    before = [
        ("Cast", None, {"to": TensorProto.FLOAT}),
        turn,
        ("Mul", "in_scale", {}),
        ("Add", "in_offset", {}),
        ("Transpose", None, {"perm": [0, 3, 1, 2]}) if planes else None,
        ("Cast", None, {"to": foreign.kind}),
    ]
    after = [
        ("Cast", None, {"to": TensorProto.FLOAT}),
        ("Transpose", None, {"perm": [0, 2, 3, 1]}) if planes else None,
        ("Sub", "out_offset", {}),
        ("Mul", "out_scale", {}),
        turn,
        ("Max", "black", {}),
        ("Min", "white", {}),
        ("Round", None, {}),
        ("Cast", None, {"to": TensorProto.UINT8}),
    ]
    first = _chain(before, "frame", foreign.input)
    last = _chain(after, foreign.output, "stylized")
    body = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *body, *last])
    constants_of_net = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name in constants_of_net]
    del graph.input[:]
    del graph.output[:]
    del graph.value_info[:]
    shape: list[str | int | None] = ["batch", "height", "width", 3]
    graph.input.append(helper.make_tensor_value_info("frame", TensorProto.UINT8, shape))
    graph.input.extend(kept)
    graph.output.append(helper.make_tensor_value_info("stylized", TensorProto.UINT8, shape))
    graph.initializer.extend(numpy_helper.from_array(v, f"bytes/{k}") for k, v in constants.items())
    model.producer_name = "rtstyle"
    model.doc_string = graph.doc_string = ""
    del model.metadata_props[:]
    # Converters declare domains that they do not use.
    opsets = [o for o in model.opset_import if o.domain in ("", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    if rule is not None:
        facts = {"minimum": rule.minimum, "multiple_of": rule.multiple_of}
        helper.set_model_props(model, {f"rtstyle.{k}": str(v) for k, v in facts.items()})
    return model


_Step = tuple[str, str | None, dict[str, Any]]


def _chain(steps: Sequence[_Step | None], source: str, result: str) -> list[onnx.NodeProto]:
    """Operators one behind the other; a step names its operator, its constant and attributes."""
    wanted = [step for step in steps if step is not None]
    nodes = []
    at = source
    for number, (kind, constant, attributes) in enumerate(wanted):
        to = result if number == len(wanted) - 1 else f"bytes/{result}/{number}"
        inputs = [at] if constant is None else [at, f"bytes/{constant}"]
        nodes.append(helper.make_node(kind, inputs, [to], name=f"bytes/node/{to}", **attributes))
        at = to
    return nodes


def _free(model: onnx.ModelProto) -> None:
    """Let batch, height and width go free; whether the net follows is found by running it."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for role, values in (("in", model.graph.input), ("out", model.graph.output)):
        for value in values:
            if value.name in constants:
                continue
            for number, dim in enumerate(value.type.tensor_type.shape.dim):
                if number == 0 or not (dim.HasField("dim_value") and dim.dim_value == 3):
                    dim.dim_param = f"{role}_{number}"
    del model.graph.value_info[:]


def _lengths(value: onnx.ValueInfoProto) -> list[int | None]:
    """The four lengths, None for free ones; a length of 0 or below is how some say free."""
    dims = value.type.tensor_type.shape.dim
    found = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in dims]
    return found if len(found) == 4 else [None] * 4


def _layout(source: list[int | None], result: list[int | None]) -> str | None:
    for lengths in (source, result):
        if lengths[1] == 3 and lengths[3] != 3:
            return "nchw"
        if lengths[3] == 3 and lengths[1] != 3:
            return "nhwc"
    return None


def _shown(lengths: list[int | None]) -> str:
    return "(" + ", ".join("?" if n is None else str(n) for n in lengths) + ")"


def _refusal(name: str, found: str) -> UnsafeModel:
    return UnsafeModel(f"{name} is refused: {_EXPECTED}, found {found}")
