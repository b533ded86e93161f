"""Whether memory suffices, told before it is taken: by the graph's shapes and what a runtime makes
of them, against what the system has left.

The figures were measured as the largest resident size of whole processes (640x360, 1920x1080 and
3840x2160, nets of 43 to 293 numbers a pixel) and lie above all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rtstyle.backends.processor import usable_cores
from rtstyle.errors import BackendOutOfMemory
from rtstyle.memory import Room, available_memory, more_of, shown
from rtstyle.styles.footprint import KEY, numbers_a_pixel
from rtstyle.styles.registry import bundled_styles
from rtstyle.styles.spec import StyleSpec
from rtstyle.types import BackendInfo, Size

_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 2.1}
"""Of a number in OpenVINO; in int8 what lies between convolutions mostly stays wide."""
_ONNXRUNTIME, _REPEATED = 1.9, 3.5
"""Times the graph's own figure: its arena grows by powers of two, and the second run, which knows
the pattern of the first, is given a block beside those."""
_PICTURES = 12
"""Bytes a pixel of the pictures that go in and come out, with their copies."""
_FIXED = 32 * 2**20
_WEIGHTS = 3
"""Times the file: as it was read, as it is packed for the processor, and while that is done."""
_MOST_SIDE_BY_SIDE = 8
_MOST_NUMBERS = 4096.0
_HEIGHTS = (2160, 1440, 1080, 720, 540, 360)


class Foreseeable(Protocol):
    """A stylizer that can tell what it will take."""

    @property
    def spec(self) -> StyleSpec: ...

    @property
    def info(self) -> BackendInfo: ...

    def working_bytes(
        self, size: Size, *, batch: int = 1, repeated: bool = False
    ) -> int | None: ...

    def lighter(self) -> tuple[str, ...]: ...


def numbers_of(spec: StyleSpec, data: bytes | None = None) -> float | None:
    """What a style holds at once for each pixel: of its card, else of its graph ``data``."""
    told = spec.measured.get(KEY)
    if told is not None and 0 < told <= _MOST_NUMBERS:
        return told
    if data is None:
        return None
    try:
        import onnx
    except ImportError:
        return None
    return numbers_a_pixel(onnx.load_from_string(data), spec.size_rule)


def on_openvino(
    spec: StyleSpec, numbers: float | None, precision: str, size: Size, *, batch: int = 1
) -> int | None:
    """Bytes that OpenVINO takes for ``batch`` pictures; each that runs beside others has its own.

    None where ``numbers``, of ``numbers_of``, is.
    """
    if numbers is None:
        return None
    beside = max(1, min(batch, usable_cores(), _MOST_SIDE_BY_SIDE))
    return _taken(spec, numbers * _BYTES[precision] * beside, size, batch)


def on_onnxruntime(
    spec: StyleSpec, numbers: float | None, size: Size, *, batch: int = 1, repeated: bool = False
) -> int | None:
    """Bytes that ONNX Runtime takes on the processor; see ``on_openvino``."""
    if numbers is None:
        return None
    times = _REPEATED if repeated else _ONNXRUNTIME
    return _taken(spec, numbers * 4 * times * batch, size, batch)


def _taken(spec: StyleSpec, a_pixel: float, size: Size, batch: int) -> int:
    fitted = spec.size_rule.fit(size)
    weights = _WEIGHTS * spec.file.stat().st_size if spec.file.is_file() else 0
    pixels = fitted.width * fitted.height
    return round(pixels * (a_pixel + _PICTURES * batch)) + weights + _FIXED


def refuse_beyond(stylizer: Foreseeable, size: Size, batch: int) -> None:
    """Raise BackendOutOfMemory where ``batch`` pictures of ``size`` do not fit into memory.

    What is not known, of the style or of the system, is not refused.
    """
    need = stylizer.working_bytes(size, batch=batch)
    if need is None or need <= 0:
        return
    room = available_memory()
    if room is None or need <= room.bytes:
        return

    def fits(spec: StyleSpec, precision: str, smaller: Size) -> bool:
        taken = need_of(stylizer, spec, precision, smaller, batch=batch)
        return taken is not None and taken <= room.bytes

    raise refusal(f"a picture of {size}", stylizer, size, need, room, fits)


def need_of(
    stylizer: Foreseeable,
    spec: StyleSpec,
    precision: str,
    size: Size,
    *,
    batch: int = 1,
    repeated: bool = False,
) -> int | None:
    """What another style, precision or size would take where ``stylizer`` runs."""
    if spec is stylizer.spec and precision == stylizer.info.precision:
        return stylizer.working_bytes(size, batch=batch, repeated=repeated)
    numbers = numbers_of(spec)
    if stylizer.info.name == "openvino":
        return on_openvino(spec, numbers, precision, size, batch=batch)
    return on_onnxruntime(spec, numbers, size, batch=batch, repeated=repeated)


Fits = Callable[[StyleSpec, str, Size], bool]
"""Whether a style in a precision at a size would."""


def refusal(
    what: str, stylizer: Foreseeable, size: Size, need: int, room: Room, fits: Fits
) -> BackendOutOfMemory:
    """That ``what`` needs more than there is, and what would do; only what would is named."""
    spec, info = stylizer.spec, stylizer.info
    ways = []
    if (style := _smaller_style(stylizer, size, fits)) is not None:
        ways.append(f"take --style {style}")
    if (
        precision := next((p for p in stylizer.lighter() if fits(spec, p, size)), None)
    ) is not None:
        ways.append(f"take --precision {precision}")
    smaller = next((s for s in scaled_down(size) if fits(spec, info.precision, s)), None)
    if smaller is not None:
        ways.append(f"scale the source down to {smaller}")
    ways.append(more_of(room))
    return BackendOutOfMemory(
        f"{what} in style {spec.name} and {info.precision} needs about {shown(need)} of memory, "
        f"and {room.source} has {shown(room.bytes)} left; {', or '.join(ways)}"
    )


def _smaller_style(stylizer: Foreseeable, size: Size, fits: Fits) -> str | None:
    """A bundled style that fits: one of the same manner, else the one nearest in cost."""
    own, precision = stylizer.spec, stylizer.info.precision
    others = [spec for spec in bundled_styles() if spec.name != own.name]
    fitting = [spec for spec in others if fits(spec, precision, size)]
    alike = [spec for spec in fitting if spec.name.startswith(f"{own.name.split('-')[0]}-")]
    if alike:
        return alike[0].name
    return max(fitting, key=lambda spec: numbers_of(spec) or 0.0).name if fitting else None


def scaled_down(size: Size) -> list[Size]:
    """Usual sizes below ``size`` of its shape, even, the largest first."""
    found = []
    for height in _HEIGHTS:
        short = min(size.width, size.height)
        if height < short:
            width, tall = (_even(side * height / short) for side in (size.width, size.height))
            found.append(Size(width, tall))
    return found


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)
