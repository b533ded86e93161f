"""Graphs of older and newer operator sets, made into one that everything here can work with.

From opset 13 on Squeeze, Split and the like take their numbers as inputs, and bfloat16 exists,
which what is measured needs. Older graphs are converted by onnx's own converter, weights and maths
as they were; that the result paints as the file did is checked afterwards in any case.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, version_converter

from rtstyle.errors import UnsafeModel
from rtstyle.styles import DEFAULT_DOMAINS, brief

OLDEST_OPSET = 7
"""Broadcasting means from here on what it means today."""
_LEAST_OPSET = 13
_TARGETS = (13, 17)
_RESIZE_SAYS = 11
"""From here on Resize says how it places its samples."""
_LEAST_IR = 4
"""From here on weights need not be declared as inputs."""
AGAIN = "export it again, torch.onnx.export(..., opset_version=17)"
IDLE = frozenset({"Dropout"})
"""Operators that do nothing outside of training, and are taken out."""


def opset_of(model: onnx.ModelProto) -> int:
    """The number of the standard operator set."""
    return next(int(o.version) for o in model.opset_import if o.domain in DEFAULT_DOMAINS)


def prepare(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """``model``, which is checked first, with operators of opset 13 or above, none of them idle.

    Raises UnsafeModel with what is wrong and what to do.
    """
    version = opset_of(model)
    _require_known(model, version, name)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # of the checker's and of protobuf's kinds
        raise UnsafeModel(f"{name} is refused: it is malformed: {brief(str(error))}") from error
    _drop_idle(model, name)
    _hold_weights(model)
    if version < _LEAST_OPSET:
        model = _converted(model, version, name)
    _plain_ir(model)
    return model


def for_runtimes(data: bytes) -> bytes:
    """The file ``data``, that was read before, with no newer IR than its operators need."""
    model = onnx.load_from_string(data)
    before = model.ir_version
    if before >= _LEAST_IR:
        _plain_ir(model)
    return data if model.ir_version == before else bytes(model.SerializeToString())


def _plain_ir(model: onnx.ModelProto) -> None:
    """IR is a number that runtimes look at first, and refuse where it is newer than they are."""
    opsets = [o for o in model.opset_import if o.domain in DEFAULT_DOMAINS]
    needed = helper.find_min_ir_version_for(opsets, True)
    model.ir_version = max(_LEAST_IR, min(model.ir_version, needed))


def _require_known(model: onnx.ModelProto, version: int, name: str) -> None:
    if version < OLDEST_OPSET:
        raise UnsafeModel(
            f"{name} is refused: its operators are those of opset {version}, expected "
            f"{OLDEST_OPSET} or above; {AGAIN}"
        )
    newest = onnx.defs.onnx_opset_version()
    if version > newest or model.ir_version > onnx.IR_VERSION:
        raise UnsafeModel(
            f"{name} is refused: it is of opset {version}, IR {model.ir_version}, newer than the "
            f"package onnx here knows ({newest}, {onnx.IR_VERSION}); pip install -U onnx "
            f"onnxruntime, or {AGAIN}"
        )


def _converted(model: onnx.ModelProto, version: int, name: str) -> onnx.ModelProto:
    reason = ""
    for target in _TARGETS:
        try:
            converted = version_converter.convert_version(model, target)
            onnx.checker.check_model(converted)
        except Exception as error:  # the converter's own, one for each operator it lacks
            reason = reason or brief(str(error))
        else:
            if version < _RESIZE_SAYS:
                _mend_resizes(converted)
            return converted
    raise UnsafeModel(
        f"{name} is refused: its operators are those of opset {version}, and they cannot be "
        f"converted to a newer one ({reason}); {AGAIN}"
    )


def _mend_resizes(model: onnx.ModelProto) -> None:
    """Resize and Upsample had one way to place and to choose samples before opset 11; the converter
    leaves it to what is the default since, which is another."""
    numbers = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            numbers[node.output[0]] = node.attribute[0].t
    for node in model.graph.node:
        if node.op_type != "Resize":
            continue
        scales = numbers.get(node.input[2]) if len(node.input) > 2 else None
        smaller = scales is not None and bool((onnx.numpy_helper.to_array(scales) < 1).any())
        said = ("coordinate_transformation_mode", "nearest_mode")
        kept = [a for a in node.attribute if a.name not in said]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
        node.attribute.append(helper.make_attribute("nearest_mode", "ceil" if smaller else "floor"))


def _hold_weights(model: onnx.ModelProto) -> None:
    """Weights that are declared as inputs too, as all were up to IR 3, become the graph's own."""
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(_LEAST_IR, model.ir_version)


def _drop_idle(model: onnx.ModelProto, name: str) -> None:
    """Dropout becomes what it is outside of training: nothing."""
    used = {n for node in model.graph.node for n in node.input}
    used |= {value.name for value in model.graph.output}
    numbers = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in IDLE:
            continue
        training = numbers.get(node.input[2]) if len(node.input) > 2 else None
        asked = len(node.input) > 2 and node.input[2] and not _is_false(training)
        if asked or any(mask in used for mask in node.output[1:] if mask):
            raise UnsafeModel(
                f"{name} is refused: it is a net in training (a Dropout that drops); call "
                f"net.eval() and {AGAIN}"
            )
        node.op_type = "Identity"
        del node.input[1:], node.output[1:], node.attribute[:]


def _is_false(tensor: TensorProto | None) -> bool:
    return tensor is not None and not bool(onnx.numpy_helper.to_array(tensor).any())
