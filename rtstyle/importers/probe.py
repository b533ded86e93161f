"""How a foreign graph wants its pictures, found by showing it one and looking at what comes back.

A style keeps where the picture is light and dark, and fills the range of values. Fed values in the
wrong range it saturates or fades, and the likeness goes; that is what tells the ranges apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rtstyle.errors import UnsafeModel
from rtstyle.importers.confined import RunError, Session
from rtstyle.importers.converted import resized
from rtstyle.importers.hints import LAYOUTS, ORDERS, RANGES, Convention, Hints, affine
from rtstyle.importers.wrap import ForeignGraph
from rtstyle.styles import SizeRule
from rtstyle.types import Pixels, Size

Floats = npt.NDArray[np.float32]

_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
_MINIMA = (32, 64, 128, 256)
_BASE = (128, 192)
"""Height and width of the probe, multiples of every one of _MULTIPLES."""
_MOST_PIXELS = 512 * 512
"""Of a declared size that the probe is shown at."""
_DTYPES: dict[int, Any] = {1: np.float32, 10: np.float16, 2: np.uint8}
_CLEARLY = 0.08
"""Likeness by which BGR must beat RGB, the usual order, to be believed."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found."""

    convention: Convention
    rule: SizeRule
    batches: bool
    """False where the net takes only one picture at a time."""


def probe(
    session: Session, foreign: ForeignGraph, hints: Hints, picture: Pixels, name: str
) -> Probe:
    """Find what ``hints`` leave open on ``picture``, uint8 ``(H, W, 3)`` RGB of any size.

    ``session`` runs the graph of ``foreign``. Raises UnsafeModel where the net does not run, takes
    one size only, gives another size back, or is too slow.
    """

    def run(shown: Floats, layout: str) -> Floats | None:
        try:
            return show(session, (foreign.input, foreign.output), foreign.kind, shown, layout)
        except RunError:
            return None

    layout = hints.layout or foreign.layout or _layout(run, picture, name)
    multiple = hints.size_multiple or _multiple(run, layout, foreign, name)
    minimum = next((m for m in _MINIMA if _keeps(run, layout, _up(m, multiple))), None)
    if minimum is None:
        raise UnsafeModel(f"{name} is refused: it takes no picture of up to 256 pixels a side")
    rule = SizeRule(minimum=_up(minimum, multiple)[0], multiple_of=multiple)
    small = resized(picture, _probe_size(foreign, rule))
    convention = _convention(run, hints, layout, small, foreign, name)
    twice = run(np.stack([normalised(small, convention)] * 2), layout)
    return Probe(convention, rule, twice is not None and len(twice) == 2)


def _probe_size(foreign: ForeignGraph, rule: SizeRule) -> Size:
    """The size the net was made for, where the file says so; then what it paints is surest."""
    if foreign.only is not None:
        own = Size(foreign.only[1], foreign.only[0])
        if rule.fit(own) == own and own.width * own.height <= _MOST_PIXELS:
            return own
    return rule.fit(Size(_BASE[1], _BASE[0]))


def normalised(picture: Pixels, convention: Convention) -> Floats:
    """``(H, W, 3)`` bytes as the net wants its values, still rows first."""
    scale, offset = affine(convention.range, convention.order)
    turned = picture if convention.order == "rgb" else picture[..., ::-1]
    values: Floats = turned.astype(np.float32) * np.array(scale, np.float32) + np.array(
        offset, np.float32
    )
    return values


def painted(values: Floats, convention: Convention) -> Floats:
    """What the net gave, rows first, as RGB of 0 to 255, neither clamped nor rounded."""
    scale, offset = affine(convention.output_range, convention.order)
    steps = np.array([1 / s for s in scale], np.float32)
    bright: Floats = (values - np.array(offset, np.float32)) * steps
    return bright if convention.order == "rgb" else bright[..., ::-1]


def show(
    session: Session, names: tuple[str, str], kind: int, shown: Floats, layout: str
) -> Floats | None:
    """``(N, H, W, 3)`` through the net and back rows first; None where no picture comes back.

    ``names`` are of input and output, ``kind`` is the input's, as TensorProto counts. Raises what
    ``Session.run`` raises.
    """
    batch = shown.transpose(0, 3, 1, 2) if layout == "nchw" else shown
    got = session.run([names[1]], {names[0]: np.ascontiguousarray(batch.astype(_DTYPES[kind]))})[0]
    if got.ndim != 4:
        return None
    rows: Floats = (got.transpose(0, 2, 3, 1) if layout == "nchw" else got).astype(np.float32)
    return rows


_Runner = Callable[[Floats, str], Floats | None]


def _keeps(run: _Runner, layout: str, size: tuple[int, int]) -> bool:
    shown = np.full((1, *size, 3), 0.5, np.float32)
    got = run(shown, layout)
    return got is not None and got.shape == shown.shape


def _up(side: int, multiple: int) -> tuple[int, int]:
    return (-(-side // multiple) * multiple,) * 2


def _layout(run: _Runner, picture: Pixels, name: str) -> str:
    shown = resized(picture, Size(_BASE[1], _BASE[0]))
    for layout in LAYOUTS:
        got = run((shown / np.float32(255))[None].astype(np.float32), layout)
        if got is not None and got.shape[-1] == 3:
            return layout
    raise UnsafeModel(
        f"{name} is refused: expected pictures as (N, 3, H, W) or (N, H, W, 3), and it runs on "
        "neither; a net of one size says so in its shapes, and --layout names its layout"
    )


def _multiple(run: _Runner, layout: str, foreign: ForeignGraph, name: str) -> int:
    for multiple in _MULTIPLES:
        # Multiples of exactly this, odd times it, in height and width apart.
        sizes = [(128 + multiple, 192 + multiple), (128 + 3 * multiple, 192 + 5 * multiple)]
        if all(_keeps(run, layout, size) for size in sizes):
            return multiple
    if foreign.only is not None and _keeps(run, layout, foreign.only):
        height, width = foreign.only
        raise UnsafeModel(
            f"{name} is refused: expected a net of free height and width, found one that runs at "
            f"{width}x{height} only, and its graph cannot be freed; export it with dynamic axes"
        )
    got = run(np.full((1, *_BASE, 3), 0.5, np.float32), layout)
    found = "no picture" if got is None else f"{got.shape[2]}x{got.shape[1]} of {got.shape[3]}"
    raise UnsafeModel(
        f"{name} is refused: expected a picture as large as the one it was given, found "
        f"{found} for one of {_BASE[1]}x{_BASE[0]}"
    )


def _convention(
    run: _Runner, hints: Hints, layout: str, small: Pixels, foreign: ForeignGraph, name: str
) -> Convention:
    """The way of feeding the net that gives the picture most alike in light and colour."""
    ranges = (hints.range,) if hints.range else RANGES
    if foreign.kind == 2:  # bytes
        ranges = ("0..255",)
    tried: list[tuple[float, Convention]] = []
    for values in ranges:
        rgb = Convention(layout, values, "0..255", "rgb")
        got = run(normalised(small, rgb)[None], layout)
        if got is None or not np.isfinite(got).all():
            continue
        out = hints.output_range or _output_range(got)
        rgb = replace(rgb, output_range=out)
        tried.append((_likeness(painted(got[0], rgb), small), rgb))
    if not tried:
        raise UnsafeModel(f"{name} is refused: what it paints holds no finite numbers")
    # A tie goes to the first, the more usual range.
    likeness, best = max(tried, key=lambda entry: round(entry[0], 2))
    if hints.order:
        return replace(best, order=hints.order)
    turned = replace(best, order=ORDERS[1])
    got = run(normalised(small, turned)[None], layout)
    if got is not None and _likeness(painted(got[0], turned), small) > likeness + _CLEARLY:
        return turned
    return best


def _output_range(values: Floats) -> str:
    low, high = (float(v) for v in np.quantile(values, (0.005, 0.995)))
    if high > 4 or low < -4:
        return "0..255"
    return "-1..1" if low < -0.15 else "0..1"


def _likeness(bright: Floats, picture: Pixels) -> float:
    """1 for the picture itself, less the further away light and colours are, details aside."""
    clamped = np.clip(bright, 0, 255)
    a, b = (cv2.blur(p.astype(np.float32), (9, 9)) for p in (clamped, picture))
    distance = float(np.abs(a - b).mean()) / 255
    lost = float((np.abs(bright - clamped) > 1).mean())
    gray = (a.mean(axis=2).ravel(), b.mean(axis=2).ravel())
    steady = min(float(g.std()) for g in gray) < 1
    alike = 0.0 if steady else float(np.corrcoef(*gray)[0, 1])
    return alike - 2 * distance - lost
