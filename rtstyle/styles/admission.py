"""Which graphs are let near a runtime: small, self-contained, of known operators, of our contract.

A runtime follows external data, custom libraries and loops wherever a model file points; nothing
here does. The bytes are parsed, never a path, so that no second file can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING

from rtstyle.errors import ModelError, UnsafeModel
from rtstyle.styles.recognise import other_kind
from rtstyle.styles.spec import MAX_MODEL_BYTES, SizeRule

if TYPE_CHECKING:
    import onnx

_OPERATORS = """
Abs Add AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
ConvTranspose DepthToSpace Div Elu Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm
GlobalAveragePool GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization
LayerNormalization LeakyRelu MatMul Max MaxPool MeanVarianceNormalization Min Mul Neg PRelu
Pad Pow ReduceMean ReduceSum Relu Reshape Resize Round Shape Sigmoid Slice Softmax
SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Upsample Where
"""
OPERATORS = frozenset(_OPERATORS.split())
DEFAULT_DOMAINS = ("", "ai.onnx")
CHECKPOINT_MAGIC = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
EXPORT_HINT = (
    "export one of rtstyle's own first, rtstyle export onnx CHECKPOINT -o PACK, and import others: "
    "rtstyle styles import FILE.pth"
)

_CONTRACT = "one uint8 (N, H, W, 3) input and one such output with N, H and W dynamic"
_LARGEST_SIDE = 4096
_MOST_DIMENSIONS = 8
_MOST_NODES = 5000
_MOST_NUMBERS = 2**24
"""In one intermediate result for a 64x64 picture: 4096 channels of it."""


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What the admission check read from a graph."""

    input: str
    output: str
    """Names of the one input and the one output."""
    opset: int
    operators: tuple[str, ...]
    """Kinds of operators in use, sorted."""
    parameters: int
    """Numbers held in initializers and constants."""
    size_rule: SizeRule | None
    """From the metadata ``rtstyle.minimum`` and ``rtstyle.multiple_of``; None where absent."""


def admit(data: bytes, *, name: str) -> GraphFacts:
    """Check the ONNX file ``data``; ``name`` is what messages call it.

    Raises UnsafeModel where the graph is refused, ModelError where the package onnx is missing.
    """
    onnx = _import_onnx()
    model = _read(data, name)
    # First, since a net of others is to be imported whatever it is built of.
    source, result = _check_contract(model, name)
    operators, parameters = _check_nodes(model, name), _check_tensors(model, name)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise _refusal(name, f"it is malformed: {brief(str(error))}") from error
    _check_growth(model, name)
    return GraphFacts(
        input=source,
        output=result,
        opset=next(o.version for o in model.opset_import if o.domain in DEFAULT_DOMAINS),
        operators=operators,
        parameters=parameters,
        size_rule=_size_rule(model, name),
    )


def parse_plain(data: bytes, *, name: str, more: frozenset[str] = frozenset()) -> onnx.ModelProto:
    """The ONNX file ``data`` as a model whose inputs and outputs are not judged yet.

    Only what it is built of is: one plain graph of known operators that holds its own weights.
    ``more`` are operators that the caller takes out.
    Raises UnsafeModel where it is refused, ModelError where the package onnx is missing.
    """
    model = _read(data, name)
    _check_nodes(model, name, more)
    _check_tensors(model, name)
    return model


def _read(data: bytes, name: str) -> onnx.ModelProto:
    """The model, of which nothing is checked but that it has a graph."""
    _check_bytes(data, name)
    model: onnx.ModelProto = _import_onnx().ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError; its module differs between versions
        raise _refusal(
            name, "it is no ONNX file, or a truncated one; export or download it again"
        ) from error
    if not model.graph.node:
        raise _refusal(
            name, "it is no ONNX file, or its graph is empty; export or download it again"
        )
    return model


def brief(text: str, limit: int = 120) -> str:
    """The first line of ``text`` that says something, cut to ``limit`` characters, printable."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = "".join(c if c.isprintable() else "?" for c in (lines[0] if lines else ""))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _text(value: str | bytes) -> str:
    """A string field: protobuf hands out bytes where they are no UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _import_onnx() -> ModuleType:
    try:
        import onnx
        import onnx.checker
    except ImportError as error:
        raise ModelError(
            "a style that is not bundled is read with the package onnx, which is not installed: "
            'pip install "onnx>=1.21"'
        ) from error
    return onnx


def _refusal(name: str, found: str) -> UnsafeModel:
    return UnsafeModel(f"{brief(name)} is refused: {found}")


def _check_bytes(data: bytes, name: str) -> None:
    if (found := other_kind(data, onnx=True)) is not None:
        raise _refusal(name, found)
    if len(data) > MAX_MODEL_BYTES:
        raise _refusal(
            name, f"it is larger than {MAX_MODEL_BYTES >> 20} MB, which no net for real time is"
        )
    if data.startswith(CHECKPOINT_MAGIC):
        raise _refusal(name, f"it is a training checkpoint, not ONNX; {EXPORT_HINT}")


def _check_nodes(
    model: onnx.ModelProto, name: str, more: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    # A domain that is only declared, as converters like to do, brings no operator with it.
    foreign = {_text(node.domain) for node in model.graph.node} - set(DEFAULT_DOMAINS)
    if foreign:
        raise _refusal(
            name,
            f"it uses operators of {brief(repr(min(foreign)))}; only ONNX's own are taken",
        )
    if not any(o.domain in DEFAULT_DOMAINS for o in model.opset_import):
        raise _refusal(name, "it names no operator set")
    if model.functions or model.training_info:
        raise _refusal(name, "it holds functions or training steps; only a plain graph is taken")
    operators = {_text(node.op_type) for node in model.graph.node}
    unknown = sorted(operators - OPERATORS - more)
    if unknown:
        raise _refusal(
            name,
            f"it uses the operator {brief(unknown[0])}, which is not among those image "
            "nets need; export the net without it, in eval mode",
        )
    if len(model.graph.node) > _MOST_NODES:
        raise _refusal(name, f"it has more than {_MOST_NODES} operators")
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise _refusal(name, f"{node.op_type} holds a graph of its own; none may")
    return tuple(sorted(operators))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensors(model: onnx.ModelProto, name: str) -> int:
    sparse = any(
        attribute.HasField("sparse_tensor") or attribute.sparse_tensors
        for node in model.graph.node
        for attribute in node.attribute
    )
    if sparse or model.graph.sparse_initializer:
        raise _refusal(name, "it holds sparse tensors; only plain ones are taken")
    total = 0
    for tensor in _tensors(model):
        # Location 1 is EXTERNAL; a marker without entries, or entries without it, is no better.
        if tensor.data_location == 1 or tensor.external_data:
            raise _refusal(
                name,
                "it keeps weights in another file (external data); save it as one file",
            )
        plain = len(tensor.dims) <= _MOST_DIMENSIONS and all(d >= 0 for d in tensor.dims)
        numbers = prod(tensor.dims) if plain else 0
        # Each number takes at least half a byte, so dims beyond that are a lie about the content.
        if not plain or numbers > 2 * tensor.ByteSize():
            raise _refusal(
                name, f"the tensor {brief(repr(tensor.name))} is larger than the file says"
            )
        total += numbers
    return total


def _check_contract(model: onnx.ModelProto, name: str) -> tuple[str, str]:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    outputs = list(model.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise _refusal(
            name, f"expected {_CONTRACT}, found {found}; only nets of one picture are taken"
        )
    for role, value in (("input", inputs[0]), ("output", outputs[0])):
        if not _keeps_contract(value):
            raise _refusal(
                name,
                f"expected {_CONTRACT}, found the {role} {_describe(value)}; a net of others is "
                f"imported first: rtstyle styles import {brief(name)}",
            )
    return _text(inputs[0].name), _text(outputs[0].name)


def _keeps_contract(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type != 2:  # UINT8
        return False
    dims = list(tensor.shape.dim)
    return (
        len(dims) == 4
        and dims[3].HasField("dim_value")
        and dims[3].dim_value == 3
        and not any(dim.HasField("dim_value") for dim in dims[:3])
    )


def _check_growth(model: onnx.ModelProto, name: str) -> None:
    """Refuse a graph that blows a small picture up until memory ends, by its inferred shapes."""
    import onnx
    import onnx.shape_inference

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in probe.graph.input:
        if value.name not in constants:
            for dim, length in zip(value.type.tensor_type.shape.dim, (1, 64, 64, 3), strict=True):
                dim.dim_value = length
    for value in probe.graph.output:
        for dim in value.type.tensor_type.shape.dim[:3]:
            dim.Clear()
    del probe.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    except Exception as error:
        raise _refusal(name, f"its shapes do not fit: {brief(str(error))}") from error
    for value in inferred.graph.value_info:
        numbers = (
            prod(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            if (all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim))
            else 0
        )
        if numbers > _MOST_NUMBERS:
            raise _refusal(
                name, f"it needs {numbers} numbers at once for a 64x64 picture; no style does"
            )


def _describe(value: onnx.ValueInfoProto) -> str:
    import onnx

    if not value.type.HasField("tensor_type"):
        return "that is no tensor"
    tensor = value.type.tensor_type
    known = tensor.elem_type in onnx.TensorProto.DataType.values()
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if known else "unknown type"
    if not tensor.HasField("shape"):
        return f"{kind} without a shape"
    dims = (
        str(dim.dim_value) if dim.HasField("dim_value") else (_text(dim.dim_param) or "?")
        for dim in tensor.shape.dim
    )
    return brief(f"{kind} ({', '.join(dims)})")


def _size_rule(model: onnx.ModelProto, name: str) -> SizeRule | None:
    properties = {_text(p.key): _text(p.value) for p in model.metadata_props}
    if not properties.keys() & {"rtstyle.minimum", "rtstyle.multiple_of"}:
        return None
    values = []
    for key in ("rtstyle.minimum", "rtstyle.multiple_of"):
        text = properties.get(key, "1")
        if not (text.isascii() and text.isdigit() and len(text) <= 4):
            raise _refusal(name, f"its metadata {key} is {brief(repr(text))}, not a size")
        values.append(int(text))
    if not all(1 <= value <= _LARGEST_SIDE for value in values):
        raise _refusal(name, f"its size rule {values} is not within 1 and {_LARGEST_SIDE}")
    return SizeRule(minimum=values[0], multiple_of=values[1])
