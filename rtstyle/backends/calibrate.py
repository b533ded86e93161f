"""Whether a style can run in int8 without being seen to, measured on photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtstyle.backends.int8 import Range, measure_activations, share_of_ends
from rtstyle.backends.openvino import OpenVinoStylizer
from rtstyle.errors import ModelError
from rtstyle.styles.likeness import LEAST_PSNR_DB, psnr
from rtstyle.styles.registry import read_model
from rtstyle.styles.spec import StyleSpec
from rtstyle.types import Pixels, Size

_DIGITS = 5
_CHEAP_ENDS = 0.1
"""The first and the last convolution see and make the pictures' own 256 levels, so that they are
worth float32 where they are a small share of the work (in nets with wide kernels they are not)."""
_COUNTED = Size(256, 256)
_CHECKED = 4
"""Every fourth picture is for checking, and no range is taken from it."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a card says of int8."""

    activations: dict[str, Range]
    psnr_int8_db: float
    """The worst of all pictures, against float32."""
    pictures: int


def calibrate(spec: StyleSpec, pictures: Sequence[Pixels]) -> Calibration:
    """Measure ``spec``'s activations on ``pictures`` and what int8 then costs on others of them.

    ``pictures`` are at least two, uint8 ``(H, W, 3)`` RGB, cut to sizes the net takes. Raises
    ModelError where int8 stays below LEAST_PSNR_DB, BackendUnavailable without OpenVINO,
    ValueError for too few pictures.
    """
    fitted = [_cut(picture, spec) for picture in pictures]
    checked = fitted[::_CHECKED]
    measured = [one for place, one in enumerate(fitted) if place % _CHECKED]
    if not measured:
        raise ValueError("calibrating needs at least two pictures")
    model = read_model(spec)
    # Opened first: it says what is wrong where OpenVINO or the graph is not there.
    with OpenVinoStylizer(spec, precision="fp32") as exact:
        wanted = [exact(picture[None])[0] for picture in checked]
        ranges = measure_activations(model, measured)
        if share_of_ends(model, spec.size_rule.fit(_COUNTED)) < _CHEAP_ENDS:
            ranges = dict(list(ranges.items())[1:-1]) or ranges
    activations = {name: (_rounded(low), _rounded(high)) for name, (low, high) in ranges.items()}
    worst = _worst(spec, activations, checked, wanted)
    if worst < LEAST_PSNR_DB:
        raise ModelError(
            f"style {spec.name} does not suit int8: {worst:.1f} dB against float32, and "
            f"{LEAST_PSNR_DB:.0f} are the least; it runs as before"
        )
    return Calibration(activations, round(worst, 1), len(fitted))


def _worst(
    spec: StyleSpec,
    activations: dict[str, Range],
    pictures: Sequence[Pixels],
    wanted: Sequence[Pixels],
) -> float:
    """The least PSNR in dB with these ranges."""
    with OpenVinoStylizer(replace(spec, activations=activations), precision="int8") as quantized:
        return min(
            psnr(one, quantized(picture[None])[0])
            for one, picture in zip(wanted, pictures, strict=True)
        )


def _cut(picture: Pixels, spec: StyleSpec) -> Pixels:
    multiple = spec.size_rule.multiple_of
    height, width = (side - side % multiple for side in picture.shape[:2])
    if Size(width, height) != spec.size_rule.fit(Size(width, height)):
        raise ModelError(
            f"a photo of {width}x{height} is below the {spec.size_rule.minimum} pixels that style "
            f"{spec.name} needs; take larger ones"
        )
    return np.ascontiguousarray(picture[:height, :width])


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
