"""What every kind of import hands on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rtstyle.styles import SizeRule
from rtstyle.types import Pixels, Size

_PARITY_SIZE = Size(320, 192)


@dataclass(frozen=True, slots=True)
class Converted:
    """A foreign net behind the contract, and what the net it was made from paints."""

    model: bytes
    kind: str
    """For people: ``pytorch/examples TransformerNet``."""
    family: str
    rule: SizeRule
    shown: Pixels
    """A picture of a size that the net takes as it is."""
    expected: Pixels
    """What the original's maths, at float32, makes of it."""
    notes: tuple[str, ...] = ()


def parity_picture(picture: Pixels, rule: SizeRule) -> Pixels:
    """``picture`` at a size that ``rule`` takes as it is, near 320x192."""
    return resized(picture, rule.fit(_PARITY_SIZE))


def resized(picture: Pixels, size: Size) -> Pixels:
    """uint8 ``(H, W, 3)`` as large as ``size``, its shape aside."""
    fitted = cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return fitted.astype(np.uint8, copy=False)
