"""What a card says of an imported net: its cost, what coarser numbers do to it, how it flickers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

from rtstyle.errors import ModelError
from rtstyle.importers.confined import Confinement, RunError, Session
from rtstyle.styles import SizeRule, psnr
from rtstyle.styles.footprint import KEY, numbers_a_pixel
from rtstyle.types import Pixels, Size

_SIZE = Size(320, 180)
_PAN_FRAMES = 5
_NOISE = 2.0
"""Deviation of the noise in the panned picture, of 255: a camera's in good light."""
_HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_REDUCED = {"psnr_bf16_db": TensorProto.BFLOAT16, "psnr_fp16_db": TensorProto.FLOAT16}


def measure(
    confinement: Confinement, model: bytes, rule: SizeRule, picture: Pixels
) -> dict[str, float]:
    """The figures by the names they have in ``StyleSpec.measured``.

    ``model`` keeps the contract, ``picture`` is uint8 ``(H, W, 3)`` RGB of about a photo's colours.
    What a runtime here cannot run with coarser numbers is left out. Raises UnsafeModel where it
    takes too long, ModelError where the graph fails at some size.
    """
    try:
        session = confinement.open(model)
        pan = _pan(picture, rule)
        frames = [paint(session, frame) for frame in pan]
        figures = {"gmac_640x360": round(_multiply_accumulates(confinement, model, rule) / 1e9, 1)}
        for name, kind in _REDUCED.items():
            # What cannot be measured says nothing against the net.
            with contextlib.suppress(RunError):
                coarse = paint(confinement.open(_reduced(model, kind), plain=True), pan[0])
                figures[name] = round(psnr(coarse, frames[0]), 1)
    except RunError as error:
        raise ModelError(
            f"the imported graph fails when it is measured: {error}; export the net again with "
            "opset_version=17 and dynamic height and width"
        ) from error
    held = numbers_a_pixel(onnx.load_from_string(model), rule)
    if held is not None:
        figures[KEY] = held
    figures["pan_warping_error"] = _warping_error(frames)
    figures["pan_warping_error_source"] = _warping_error(pan)
    return figures


def paint(session: Session, frame: Pixels) -> Pixels:
    """uint8 ``(H, W, 3)`` through a graph of the contract."""
    painted: Pixels = session.run(None, {"frame": frame[None]})[0][0]
    return painted


def _pan(picture: Pixels, rule: SizeRule) -> list[Pixels]:
    """A camera that turns by one pixel a frame over ``picture``, with the noise of its sensor."""
    size = rule.fit(_SIZE)
    wide = cv2.resize(
        picture, (size.width + _PAN_FRAMES - 1, size.height), interpolation=cv2.INTER_AREA
    )
    chance = np.random.default_rng(0)
    frames = []
    for left in range(_PAN_FRAMES):
        view = wide[:, left : left + size.width].astype(np.float64)
        noisy = view + chance.normal(0, _NOISE, view.shape)
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return frames


def _warping_error(frames: list[Pixels]) -> float:
    """Mean square difference of each frame from the one before, moved along with the pan.

    As Lai et al. (ECCV 2018) do with estimated flow, values in [0, 1], over what both frames show;
    here the flow is known.
    """
    errors = [
        np.mean((after[:, :-1].astype(np.float64) - before[:, 1:]) ** 2) / 255**2
        for before, after in pairwise(frames)
    ]
    return float(f"{np.mean(errors):.3g}")


def _reduced(model: bytes, kind: int) -> bytes:
    """The graph with what goes into and comes out of its heavy operators rounded to ``kind``.

    Sums within one and everything between them stay in float32, as in autocast and on tensor cores.
    """
    graph = onnx.load_from_string(model)
    typed = onnx.shape_inference.infer_shapes(graph)
    kinds = {t.name: t.data_type for t in graph.graph.initializer}
    kinds |= {v.name: v.type.tensor_type.elem_type for v in typed.graph.value_info}
    nodes = []
    rounded: set[str] = set()

    def rounding(name: str, to: str) -> None:
        back = kinds.get(name) or TensorProto.FLOAT
        nodes.append(helper.make_node("Cast", [name], [f"{to}/coarse"], to=kind))
        nodes.append(helper.make_node("Cast", [f"{to}/coarse"], [to], to=back))

    for node in graph.graph.node:
        if node.op_type not in _HEAVY:
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            if name and f"{name}/rounded" not in rounded:
                rounding(name, f"{name}/rounded")
                rounded.add(f"{name}/rounded")
            node.input[place] = f"{name}/rounded" if name else name
        fine, result = f"{node.output[0]}/fine", node.output[0]
        node.output[0] = fine
        kinds[fine] = kinds.get(result, TensorProto.FLOAT)
        nodes.append(node)
        rounding(fine, result)
    kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.graph.node[:], graph.graph.value_info[:]
    graph.graph.node.extend(kept)
    data: bytes = graph.SerializeToString()
    return data


def _multiply_accumulates(confinement: Confinement, model: bytes, rule: SizeRule) -> int:
    """Of the convolutions for one picture of 640x360, counted on a quarter of it."""
    graph = onnx.load_from_string(model)
    shapes = {t.name: tuple(t.dims) for t in graph.graph.initializer}
    each: dict[str, Callable[[tuple[int, ...]], int]] = {}
    for node in graph.graph.node:
        weights = shapes.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type not in ("Conv", "ConvTranspose") or not weights:
            continue
        taps = int(np.prod(weights[1:]))
        place = node.output[0] if node.op_type == "Conv" else node.input[0]
        each[place] = _counter(each.get(place), taps)
    if not each:
        return 0
    # Only the shapes are wanted: the results themselves would be hundreds of megabytes.
    del graph.graph.output[:]
    for number, place in enumerate(each):
        graph.graph.node.append(helper.make_node("Shape", [place], [f"shape/{number}"]))
        graph.graph.node.append(
            helper.make_node("Cast", [f"shape/{number}"], [f"length/{number}"], to=1)
        )
        graph.graph.output.append(
            helper.make_tensor_value_info(f"length/{number}", TensorProto.FLOAT, [None])
        )
    size = rule.fit(_SIZE)
    frame = np.zeros((1, size.height, size.width, 3), np.uint8)
    results = confinement.open(graph.SerializeToString()).run(None, {"frame": frame})
    lengths = (tuple(int(n) for n in result) for result in results)
    total = sum(each[place](shape) for place, shape in zip(each, lengths, strict=True))
    return round(total * 640 * 360 / (size.width * size.height))


def _counter(
    before: Callable[[tuple[int, ...]], int] | None, taps: int
) -> Callable[[tuple[int, ...]], int]:
    def count(shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * taps + (before(shape) if before else 0)

    return count
