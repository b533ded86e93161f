"""How a foreign net wants its pictures: what a user may say of it, and what is found by probing."""

from __future__ import annotations

from dataclasses import dataclass

LAYOUTS = ("nchw", "nhwc")
RANGES = ("0..1", "-1..1", "0..255", "imagenet")
"""imagenet: [0, 1] less the mean of ImageNet, by its deviation, as torchvision's nets want it."""
ORDERS = ("rgb", "bgr")

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Hints:
    """What the user says of an ONNX file; None is found by probing."""

    layout: str | None = None
    """Of LAYOUTS."""
    range: str | None = None
    """Of RANGES: values of the input."""
    output_range: str | None = None
    """Of RANGES: values of the output."""
    order: str | None = None
    """Of ORDERS: of input and output."""
    size_multiple: int | None = None
    """Width and height must be multiples of this."""

    @property
    def given(self) -> bool:
        """True where anything was said."""
        return self != Hints()


@dataclass(frozen=True, slots=True)
class Convention:
    """How a net takes and gives pictures, complete."""

    layout: str
    range: str
    output_range: str
    order: str

    def __str__(self) -> str:
        return (
            f"{self.layout.upper()}, {self.order.upper()}, {self.range} in, {self.output_range} out"
        )


def affine(values: str, order: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and offset a channel, in ``order``, from bytes to the range ``values``."""
    if values == "imagenet":
        scale = tuple(1 / (255 * d) for d in _DEVIATION)
        offset = tuple(-m / d for m, d in zip(_MEAN, _DEVIATION, strict=True))
        return (scale, offset) if order == "rgb" else (scale[::-1], offset[::-1])
    factor, shift = {"0..1": (1 / 255, 0.0), "-1..1": (2 / 255, -1.0), "0..255": (1.0, 0.0)}[values]
    return (factor,) * 3, (shift,) * 3
