"""From a torch net to an ONNX graph that takes and gives bytes.

The contract (rtstyle.styles.spec): input ``frame`` and output ``stylized``, uint8 ``(N, H, W, 3)``
RGB, all but the channels free. Normalising, transposing, clamping and rounding are in the graph,
which costs nothing there and saves the conversions in Python.
"""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
from torch import Tensor, nn

from rtstyle.export.rewrite import spelled_out
from rtstyle.styles import SizeRule

OPSET = 20
_LARGEST_BATCH = 64
_LARGEST_SIDE = 16384


class ByteGraph(nn.Module):
    """Wraps a net of float ``(N, 3, H, W)`` in [0, 1] into the contract."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, frame: Tensor) -> Tensor:
        """uint8 ``(N, H, W, 3)`` -> the same shape and type."""
        x = frame.permute(0, 3, 1, 2).to(torch.float32) / 255
        y = (self.net(x) * 255).clamp(0, 255).round().to(torch.uint8)
        stylized: Tensor = y.permute(0, 2, 3, 1)
        return stylized


def to_onnx(net: nn.Module, rule: SizeRule) -> bytes:
    """The net as a serialized ONNX model that carries its size rule and nothing of this machine."""
    step = rule.multiple_of
    example = rule.minimum + (-rule.minimum) % step
    height, width = (
        step * torch.export.Dim(name, min=-(-rule.minimum // step), max=_LARGEST_SIDE // step)
        for name in ("height", "width")
    )
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    frame = torch.zeros(2, example + step, example + 2 * step, 3, dtype=torch.uint8)
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The exporter's own deprecations and its advice on dynamic axes; we can mend neither.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                ByteGraph(spelled_out(net)).eval(),
                (frame,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["frame"],
                output_names=["stylized"],
                dynamic_shapes={"frame": {0: batch, 1: height, 2: width}},
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return _finish(program.model_proto, rule)


def _finish(model: onnx.ModelProto, rule: SizeRule) -> bytes:
    """Strip source locations (they name files of this machine), name the axes, note the rule."""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.value_info[:]
    for value in (model.graph.input[0], model.graph.output[0]):
        axes = value.type.tensor_type.shape.dim
        for axis, name in zip(axes, ("batch", "height", "width"), strict=False):
            axis.dim_param = name
    model.producer_name = "rtstyle"
    onnx.helper.set_model_props(
        model,
        {
            "rtstyle.minimum": str(rule.minimum),
            "rtstyle.multiple_of": str(rule.multiple_of),
        },
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


@torch.no_grad()
def multiply_accumulates(net: nn.Module, height: int, width: int) -> int:
    """Multiply-accumulates of the net's convolutions for one picture, counted on a blank one."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        # A transposed one spreads what comes in, where others gather for what goes out.
        places = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        total += places[0].numel() * module.weight[0].numel()

    kinds = nn.Conv2d | nn.ConvTranspose2d
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, kinds)]
    try:
        net(torch.zeros(1, 3, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return total
