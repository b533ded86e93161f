"""Does the exported graph paint what the torch net paints? Checked on real photos, or no export."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rtstyle.errors import ModelError
from rtstyle.export.graph import ByteGraph
from rtstyle.styles import LEAST_PSNR_DB, SizeRule, psnr
from rtstyle.types import Pixels

MAX_DIFFERENCE = 1
"""Of 255, at float32: two roundings of the same real number may fall apart by one."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The worst figures over all pictures."""

    max_difference: int
    """Of 255, graph at float32 against torch at float32."""
    psnr_bf16_db: float
    """Convolutions in bfloat16, statistics in float32, against float32."""
    psnr_fp16_db: float
    pictures: int

    def __str__(self) -> str:
        return (
            f"float32 differs by at most {self.max_difference}/255, "
            f"bf16 {self.psnr_bf16_db:.1f} dB, fp16 {self.psnr_fp16_db:.1f} dB "
            f"on {self.pictures} photos"
        )

    def require(self) -> None:
        """Raise ModelError where a bound does not hold."""
        if self.max_difference > MAX_DIFFERENCE:
            raise ModelError(
                f"export refused: the graph differs from torch by {self.max_difference}/255 "
                f"(at most {MAX_DIFFERENCE}); the net uses something the exporter changes"
            )
        for name, figure in (("bf16", self.psnr_bf16_db), ("fp16", self.psnr_fp16_db)):
            if figure < LEAST_PSNR_DB:
                raise ModelError(
                    f"export refused: {name} has {figure:.1f} dB against float32 (at least "
                    f"{LEAST_PSNR_DB:.0f}); train longer or with a lower --rate, so that "
                    "activations stay small"
                )


@torch.no_grad()
def check_parity(
    net: nn.Module,
    graph: Callable[[Pixels], Pixels],
    pictures: Sequence[Pixels],
    rule: SizeRule,
) -> Parity:
    """Compare torch at float32 with the graph at float32 and torch at reduced precision.

    ``graph`` takes uint8 ``(1, H, W, 3)``; ``pictures`` are uint8 ``(H, W, 3)``, cut to the sizes
    that the rule accepts. Raises ValueError without pictures.
    """
    if not pictures:
        raise ValueError("parity needs at least one picture")
    reference = ByteGraph(net).eval()
    worst_difference = 0
    worst = {torch.bfloat16: math.inf, torch.float16: math.inf}
    for picture in pictures:
        batch = _cut(picture, rule)[None]
        frame = torch.from_numpy(batch)
        expected: Pixels = reference(frame).numpy()
        got = graph(batch)
        difference = np.abs(expected.astype(np.int16) - got.astype(np.int16))
        worst_difference = max(worst_difference, int(difference.max()))
        for precision in worst:
            with torch.autocast("cpu", precision):
                reduced: Pixels = reference(frame).numpy()
            worst[precision] = min(worst[precision], psnr(expected, reduced))
    return Parity(worst_difference, worst[torch.bfloat16], worst[torch.float16], len(pictures))


def _cut(picture: Pixels, rule: SizeRule) -> Pixels:
    height, width = (side - side % rule.multiple_of for side in picture.shape[:2])
    if min(height, width) < rule.minimum:
        raise ModelError(f"a parity photo of {width}x{height} is below the net's {rule.minimum}")
    return np.ascontiguousarray(picture[:height, :width])
