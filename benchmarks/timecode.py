"""Pictures that carry their number, so that delay is read from what is seen and not from a label.

The number lies in a strip at the left as black and white blocks, one a bit, most significant on
top, and under them whether the count of white ones is odd. A stylizer would paint them over: who
measures shows the source left of ``SPLIT`` and the style right of it, while the net still runs on
the whole picture.
"""

from __future__ import annotations

import numpy as np

from rtstyle.types import Pixels

BITS = 8
MODULUS = 2**BITS
SPLIT = 0.16
"""Share of the width that stays as it is."""
STRIP = 0.1
"""Share of the width that the blocks take."""
_BLOCKS = BITS + 1


def stamp(pixels: Pixels, number: int) -> Pixels:
    """A copy of uint8 ``(H, W, 3)`` RGB that carries ``number`` modulo ``MODULUS``."""
    stamped = pixels.copy()
    height, width = pixels.shape[:2]
    edges = np.linspace(0, height, _BLOCKS + 1).round().astype(int)
    bits = _bits(number)
    for top, bottom, bit in zip(edges, edges[1:], [*bits, sum(bits) % 2], strict=False):
        stamped[top:bottom, : round(STRIP * width)] = 235 if bit else 20
    return stamped


def number_on(pixels: Pixels) -> int | None:
    """The number that uint8 ``(H, W, 3)`` RGB carries; None where it cannot be read."""
    height, width = pixels.shape[:2]
    column = pixels[:, round(0.25 * STRIP * width) : round(0.75 * STRIP * width)].mean((1, 2))
    middles = ((np.arange(_BLOCKS) + 0.5) * height / _BLOCKS).astype(int)
    white = [bool(column[middle] > 128) for middle in middles]
    if sum(white[:BITS]) % 2 != white[BITS]:
        return None
    return int("".join("01"[bit] for bit in white[:BITS]), 2)


def _bits(number: int) -> list[int]:
    return [number >> place & 1 for place in reversed(range(BITS))]
