"""What a style is: a pack folder with ``style.json`` beside ``model.onnx``.

The graph's contract: one input ``frame`` and one output, both uint8 ``(N, H, W, 3)`` RGB with
dynamic N, H and W. Normalising, transposing, clamping and rounding are inside the graph.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from rtstyle.types import Size

NAME_PATTERN = re.compile(r"[a-z0-9_-]{1,64}")
PACK_FORMAT = 1
PACK_FILE = "style.json"
MODEL_FILE = "model.onnx"
MAX_MODEL_BYTES = 64 * 2**20
FAMILIES = ("johnson", "animegan", "cartoongan", "foreign")


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Which picture sizes a net takes as they are; others are padded by reflection and cropped."""

    minimum: int = 1
    """Least width and least height in pixels."""
    multiple_of: int = 1
    """Width and height must be multiples of this."""

    def fit(self, size: Size) -> Size:
        """The smallest accepted size that holds ``size``."""

        def up(length: int) -> int:
            length = max(length, self.minimum)
            return -(-length // self.multiple_of) * self.multiple_of

        return Size(up(size.width), up(size.height))


@dataclass(frozen=True, slots=True)
class StyleSpec:
    """A style that can be run."""

    name: str
    """Matches NAME_PATTERN."""
    title: str
    """For people: "The Great Wave"."""
    family: str
    """``johnson``, ``animegan``, ``cartoongan``, ``foreign``."""
    file: Path
    """The ONNX file, absolute."""
    sha256: str | None
    """Hex digest the file must have; None for a bare file that comes without a pack."""
    size_rule: SizeRule
    licence: str
    """SPDX identifier, or the words of whoever made it."""
    source: str
    """How and from what it was made."""
    measured: dict[str, float] = field(default_factory=dict)
    """Figures of the export's parity check and costs: ``max_difference_fp32`` (of 255),
    ``psnr_bf16_db``, ``psnr_fp16_db``, ``psnr_int8_db``, ``gmac_640x360``."""
    activations: dict[str, tuple[float, float]] = field(default_factory=dict)
    """How far the tensors that convolutions read reach, by name; empty where int8 was not
    calibrated or cannot be used."""

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise ValueError(f"style name {self.name!r} must match {NAME_PATTERN.pattern}")
