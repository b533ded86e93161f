"""From a checkpoint to a pack that ``--style`` runs, or to an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from torch import nn

from rtstyle.errors import ModelError
from rtstyle.export.graph import multiply_accumulates, to_onnx
from rtstyle.export.parity import Parity, check_parity
from rtstyle.runtimes import import_onnxruntime
from rtstyle.styles import SizeRule, StyleSpec, write_pack
from rtstyle.styles.footprint import KEY, numbers_a_pixel
from rtstyle.types import Pixels


@dataclass(frozen=True, slots=True)
class PackCard:
    """What a pack says of itself."""

    name: str
    """Matches rtstyle.styles.NAME_PATTERN."""
    title: str
    family: str
    licence: str
    source: str


def export_pack(
    net: nn.Module,
    output: Path,
    card: PackCard,
    *,
    rule: SizeRule,
    photos: Sequence[Pixels],
    overwrite: bool = False,
) -> tuple[StyleSpec, Parity]:
    """Export ``net``, check it against torch on ``photos``, and write the pack folder ``output``.

    ``photos`` are uint8 ``(H, W, 3)`` RGB, any sizes. Raises ModelError where parity fails,
    OutputExists for a folder that holds a pack unless ``overwrite``; then nothing is written.
    """
    net = net.eval()
    model = to_onnx(net, rule)
    parity = check_parity(net, _run_plainly(model), photos, rule)
    parity.require()
    measured = {
        "max_difference_fp32": float(parity.max_difference),
        "psnr_bf16_db": round(parity.psnr_bf16_db, 1),
        "psnr_fp16_db": round(parity.psnr_fp16_db, 1),
        "gmac_640x360": round(multiply_accumulates(net, 360, 640) / 1e9, 1),
    }
    held = numbers_a_pixel(onnx.load_from_string(model), rule)
    if held is not None:
        measured[KEY] = held
    spec = write_pack(
        output,
        model=model,
        name=card.name,
        title=card.title,
        family=card.family,
        size_rule=rule,
        licence=card.licence,
        source=card.source,
        measured=measured,
        overwrite=overwrite,
    )
    return spec, parity


def _run_plainly(model: bytes) -> Callable[[Pixels], Pixels]:
    """The graph at float32 through ONNX Runtime, with no option that trades accuracy for speed."""
    onnxruntime = import_onnxruntime()
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"export refused: ONNX Runtime does not take it: {error}") from error

    def run(batch: Pixels) -> Pixels:
        result: Pixels = session.run(None, {"frame": batch})[0]
        return result

    return run
