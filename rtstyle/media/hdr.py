"""HDR pictures (PQ and HLG) as SDR ones: BT.709 for a display of BT.1886.

Light is counted in cd/m². Diffuse white of HDR, 203 cd/m² (ITU-R BT.2408, table 1), is the most an
SDR picture shows; the EETF of ITU-R BT.2390 (5.4.1) leaves what is darker than its knee as it is
and bends the rest, highlights included, into what is left. Colours that BT.709 cannot hold are
first drawn towards grey of their own luminance; then the curve is applied to the largest of R, G
and B, which keeps hue and saturation of highlights where bending each of them would bleach them.

All of it is one function of a pixel, tabulated once as a cube over the coded R'G'B'.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import av
import av.filter
import numpy as np
import numpy.typing as npt
from av.buffer import Buffer
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from rtstyle.errors import DiskFull, OutputNotWritable
from rtstyle.files import is_disk_full
from rtstyle.media.sidedata import side_data_of
from rtstyle.types import UNSPECIFIED, Colour, DeepPixels

HDR_MODES = ("tonemap", "refuse")
"""What can be done with an HDR source."""

SDR = Colour(matrix=1, primaries=1, transfer=1, full_range=False)
"""What tone-mapped pictures mean: BT.709 throughout."""

WHITE = 203.0
"""cd/m² of HDR that become SDR's white."""

_PQ, _HLG = 16, 18
_HLG_PEAK = 1000.0
"""cd/m² of the display for which BT.2100 gives HLG the system gamma 1.2."""
_USUAL_PEAK = 1000.0
"""cd/m² to which films without a word on it were most likely graded."""
_PQ_PEAK = 10000.0
_SDR_GAMMA = 2.4
"""Of BT.1886 with a black of zero."""
_STEPS = 65
_MATRIX_ICTCP = 14

_CHROMATICITIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""x and y of R, G and B; white is D65 in all (ITU-T H.273, table 2)."""
_D65 = (0.3127, 0.3290)

Light = npt.NDArray[np.float64]


def is_hdr(colour: Colour) -> bool:
    """Whether the transfer is PQ or HLG."""
    return colour.transfer in (_PQ, _HLG)


def hdr_name(colour: Colour) -> str:
    """``PQ`` or ``HLG``."""
    return "HLG" if colour.transfer == _HLG else "PQ"


def is_ictcp(colour: Colour) -> bool:
    """Whether the samples are no YCbCr but ICtCp, which nothing here converts."""
    return colour.matrix == _MATRIX_ICTCP


def said_hdr(colour: Colour) -> Colour:
    """An HDR ``colour`` with BT.2020 for what it leaves unsaid."""
    return Colour(
        matrix=9 if colour.matrix == UNSPECIFIED else colour.matrix,
        primaries=9 if colour.primaries == UNSPECIFIED else colour.primaries,
        transfer=colour.transfer,
        full_range=colour.full_range,
    )


def peak_of(frame: VideoFrame, colour: Colour) -> float:
    """cd/m² of the brightest that a picture's film holds, from white (203) up.

    For PQ its content light level, else its mastering display's, else 1000; for HLG 1000, since it
    is relative to its display.
    """
    if colour.transfer == _HLG:
        return _HLG_PEAK
    level = _side_data(frame, "CONTENT_LIGHT_LEVEL")
    if len(level) >= 8:
        peak = float(struct.unpack_from("=I", level)[0])
        if WHITE < peak <= _PQ_PEAK:
            return peak
    display = _side_data(frame, "MASTERING_DISPLAY_METADATA")
    # Eight rationals of primaries and white, then least and most luminance, then two flags.
    if len(display) >= 88 and struct.unpack_from("=i", display, 84)[0]:
        over, under = struct.unpack_from("=ii", display, 72)
        if under > 0 and WHITE < over / under <= _PQ_PEAK:
            return float(over / under)
    return _USUAL_PEAK


def _side_data(frame: VideoFrame, kind: str) -> bytes:
    # Its stub knows one kind only.
    found = cast(Mapping[str, Buffer], side_data_of(frame)).get(kind)
    return b"" if found is None else bytes(found)


def pq_light(code: Light) -> Light:
    """cd/m² of PQ's 0..1 (SMPTE ST 2084, BT.2100 table 4)."""
    power = np.power(np.clip(code, 0, 1), 1 / _M2)
    light = np.maximum(power - _C1, 0) / (_C2 - _C3 * power)
    return _PQ_PEAK * np.power(light, 1 / _M1)


def pq_code(light: Light) -> Light:
    """PQ's 0..1 of cd/m²."""
    power = np.power(np.clip(light / _PQ_PEAK, 0, 1), _M1)
    return cast(Light, np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2))


_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def hlg_light(code: Light, luma: tuple[float, float, float]) -> Light:
    """cd/m² of HLG's 0..1, ``(..., 3)``, on a display of 1000 (BT.2100 table 5).

    ``luma``: how much of luminance R, G and B of its primaries make.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    luminance = scene @ np.array(luma)
    return cast(Light, _HLG_PEAK * np.power(luminance, 0.2)[..., None] * scene)


def eetf(light: Light, peak: float) -> Light:
    """BT.2390 (5.4.1): cd/m² up to ``peak`` brought into 0..203; black stays black.

    Strictly growing up to ``peak``; what is brighter is white.
    """
    top = float(pq_code(np.array(peak)))
    code = np.clip(pq_code(light) / top, 0, 1)
    most = float(pq_code(np.array(WHITE))) / top
    knee = 1.5 * most - 0.5
    t = np.clip((code - knee) / (1 - knee), 0, 1)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return pq_light(np.where(code < knee, code, bent) * top)


def tone_map(code: Light, colour: Colour, peak: float) -> Light:
    """SDR's R'G'B' 0..1 for HDR's, both ``(..., 3)``; ``peak`` in cd/m²."""
    primaries = colour.primaries if colour.primaries in _CHROMATICITIES else 9
    to_xyz = _xyz_from_rgb(primaries)
    if colour.transfer == _HLG:
        red, green, blue = (float(part) for part in to_xyz[1])
        light = hlg_light(code, (red, green, blue))
    else:
        light = pq_light(code)
    to_sdr = _xyz_from_rgb(1)
    light = _held(light @ (np.linalg.inv(to_sdr) @ to_xyz).T, to_sdr[1])
    largest = np.maximum(light.max(axis=-1, keepdims=True), 1e-9)
    light = light * (eetf(largest, peak) / largest) / WHITE
    return cast(Light, np.power(np.clip(light, 0, 1), 1 / _SDR_GAMMA))


def _held(light: Light, luma: Light) -> Light:
    """Colours of which a component is below zero, drawn towards grey of their luminance."""
    grey = (light @ luma)[..., None]
    least = light.min(axis=-1, keepdims=True)
    share = np.where(least < 0, grey / np.maximum(grey - least, 1e-12), 1.0)
    return cast(Light, np.maximum(grey + share * (light - grey), 0))


def _xyz_from_rgb(primaries: int) -> Light:
    """(3, 3), from the chromaticities (SMPTE RP 177); its second row is luminance."""
    xyz = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in _CHROMATICITIES[primaries]]).T
    white = np.array([_D65[0] / _D65[1], 1.0, (1 - _D65[0] - _D65[1]) / _D65[1]])
    return cast(Light, xyz * np.linalg.solve(xyz, white))


@cache
def _cube(transfer: int, primaries: int, peak: float) -> str:
    """The function as a .cube file, red running fastest."""
    steps = np.linspace(0, 1, _STEPS)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    code = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    values = tone_map(code, Colour(primaries=primaries, transfer=transfer), peak)
    lines = map("%.6f %.6f %.6f".__mod__, map(tuple, values.tolist()))
    return f"LUT_3D_SIZE {_STEPS}\n" + "\n".join(lines) + "\n"


class ToneMap:
    """Turns RGB of an HDR source into BT.709's; its cube is computed once a process."""

    def __init__(self, colour: Colour, peak: float) -> None:
        """``colour`` is the source's, ``peak`` what ``peak_of`` says."""
        self._cube = _cube(colour.transfer, colour.primaries, peak)
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, ...] = ()

    def __call__(self, pixels: DeepPixels) -> DeepPixels:
        """uint16 ``(H, W, 3)`` RGB of the source's transfer into the same of BT.709."""
        if self._graph is None or self._shape != pixels.shape:
            self._graph, self._shape = self._prepare(pixels), pixels.shape
        self._graph.push(VideoFrame.from_ndarray(pixels, format="gbrp16le"))
        mapped = cast(VideoFrame, self._graph.pull())
        return cast(DeepPixels, mapped.to_ndarray())

    def _prepare(self, pixels: DeepPixels) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        height, width = pixels.shape[:2]
        source = graph.add_buffer(
            width=width, height=height, format=VideoFormat("gbrp16le"), time_base=Fraction(1, 1000)
        )
        try:
            with tempfile.TemporaryDirectory(prefix="rtstyle-") as folder:
                # The filter takes a file and reads it at once.
                file = Path(folder, "tone.cube")
                file.write_text(self._cube, encoding="ascii")
                table = graph.add("lut3d", file=str(file), interp="tetrahedral")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            kind = DiskFull if is_disk_full(error) else OutputNotWritable
            raise kind(
                f"a table of {len(self._cube) >> 20} MB for HDR cannot be kept while it is read "
                f"({reason}); set TMPDIR to a folder with room"
            ) from error
        sink = graph.add("buffersink")
        source.link_to(table)
        table.link_to(sink)
        graph.configure()
        return graph
