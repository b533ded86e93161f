"""How alike two pictures are: the figure of reduced precision on a style's card."""

from __future__ import annotations

import math

import numpy as np

from rtstyle.types import Pixels

EQUAL_DB = 100.0
"""What equal pictures have: a card holds finite numbers only."""
LEAST_PSNR_DB = 40.0
"""At reduced precision: below it, differences can be seen in flat areas."""


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB, at most EQUAL_DB."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return EQUAL_DB if error == 0 else min(EQUAL_DB, 10 * math.log10(255**2 / error))
