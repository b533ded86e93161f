"""Whether a style can run in int8 without being seen to, measured on photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtstyle.backends.int8 import Range, measure_activations
from rtstyle.backends.openvino import OpenVinoStylizer
from rtstyle.errors import ModelError
from rtstyle.styles.likeness import LEAST_PSNR_DB, psnr
from rtstyle.styles.registry import read_model
from rtstyle.styles.spec import StyleSpec
from rtstyle.types import Pixels, Size

_DIGITS = 5
_WORTH_DB = 3.0
"""What it must bring to leave the first and the last convolution in float32: they see and make the
pictures' own 256 levels, and in some nets they are where the time goes."""
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
    # Opened first: it says what is wrong where OpenVINO or the graph is not there.
    with OpenVinoStylizer(spec, precision="fp32") as exact:
        wanted = [exact(picture[None])[0] for picture in checked]
        ranges = measure_activations(read_model(spec), measured)
    every = {name: (_rounded(low), _rounded(high)) for name, (low, high) in ranges.items()}
    inner = dict(list(every.items())[1:-1])
    found = every, _worst(spec, every, checked, wanted)
    if inner:
        with_ends_exact = _worst(spec, inner, checked, wanted)
        if with_ends_exact >= found[1] + _WORTH_DB:
            found = inner, with_ends_exact
    activations, worst = found
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
