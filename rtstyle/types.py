"""The data that travels between layers: frozen, with unit, range and shape stated per field.

Time is an integer pts counted in a Fraction time base; seconds are made once, at the edge.
Header facts (``*_in_header``) may be wrong; measured facts stand in RunReport.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""uint8 RGB: ``(H, W, 3)`` for one picture, ``(N, H, W, 3)`` for a batch."""

Alpha = npt.NDArray[np.uint8]
"""uint8 ``(H, W)``: how opaque each pixel is, 0 (not there) to 255."""

DeepPixels = npt.NDArray[np.uint16]
"""uint16 RGB of the same shapes: 0 is black and 65535 white, whatever the source's depth."""

AnyPixels = npt.NDArray[np.uint8 | np.uint16]
"""Either; all pictures of one source are alike."""

UNSPECIFIED = 2
"""The code point of ITU-T H.273 for "unspecified" (matrix, primaries and transfer alike)."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels, both at least 1."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a size must be at least 1x1, got {self.width}x{self.height}")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def is_even(self) -> bool:
        """Whether both sides are, as 4:2:0 colour asks of most encoders."""
        return self.width % 2 == 0 and self.height % 2 == 0

    @property
    def transposed(self) -> Size:
        """The size after a quarter turn."""
        return Size(self.height, self.width)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and its place in time."""

    pixels: AnyPixels
    """uint8 (0..255) or uint16 (0..65535) ``(H, W, 3)`` RGB, upright; uint16 only from a source
    that was opened to give it."""
    pts: int
    """Presentation time in units of ``time_base``."""
    time_base: Fraction
    """Seconds a tick."""
    duration: int | None
    """How long it is shown, in ticks; None where the container does not say."""
    index: int
    """Count of frames delivered before this one; never used to compute time."""
    alpha: Alpha | None = None
    """uint8 ``(H, W)``, 0 transparent to 255 opaque; None where there is none, and all is opaque.
    ``pixels`` are straight, not multiplied by it."""
    captions: bytes = b""
    """Closed captions that come with the picture: triplets of ATSC A/53's cc_data."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"pixels must be (H, W, 3), got {self.pixels.shape}")
        if self.pixels.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"pixels must be uint8 or uint16, got {self.pixels.dtype}")
        if self.alpha is not None:
            if self.alpha.shape != self.pixels.shape[:2]:
                raise ValueError(
                    f"alpha must be {self.pixels.shape[:2]} as pixels are, got {self.alpha.shape}"
                )
            if self.alpha.dtype != np.uint8:
                raise TypeError(f"alpha must be uint8, got {self.alpha.dtype}")
        if self.time_base <= 0:
            raise ValueError(f"time_base must be positive, got {self.time_base}")

    @property
    def size(self) -> Size:
        """Width and height of ``pixels``."""
        return Size(self.pixels.shape[1], self.pixels.shape[0])

    @property
    def seconds(self) -> Fraction:
        """Presentation time in seconds, exact."""
        return self.pts * self.time_base

    def __repr__(self) -> str:
        return f"Frame({self.size}, pts={self.pts}, time_base={self.time_base})"


@dataclass(frozen=True, slots=True)
class Colour:
    """How YCbCr samples mean colours, as code points of ITU-T H.273 (FFmpeg uses the same)."""

    matrix: int = UNSPECIFIED
    """1 BT.709, 5 BT.470BG, 6 SMPTE 170M, 9 BT.2020 non-constant, 0 RGB, 2 unspecified."""
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool | None = None
    """True 0..255, False 16..235; None where the stream does not say."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a container."""

    index: int
    kind: str
    """``video``, ``audio``, ``subtitle``, ``data`` or ``attachment``."""
    codec: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Sphere:
    """How a picture lies on a sphere round the viewer."""

    projection: str
    """``equirectangular``, ``equirectangular tile`` or ``cubemap``; else ``of another kind``."""
    pose: tuple[int, int, int] = (0, 0, 0)
    """Yaw, pitch and roll, in 1/65536 of a degree."""
    bounds: tuple[int, int, int, int] = (0, 0, 0, 0)
    """What is missing of the sphere left, above, right and below, in 1/2**32 of the whole."""
    padding: int = 0
    """Pixels round each face of a cube."""

    def __str__(self) -> str:
        turned = ", ".join(f"{angle / 2**16:g}" for angle in self.pose) if any(self.pose) else ""
        return self.projection + (f", turned by {turned} degrees" if turned else "")


@dataclass(frozen=True, slots=True)
class Stereo:
    """How the pictures for two eyes lie in one."""

    layout: str
    """``side by side``, ``top and bottom`` and others; else ``of another kind``."""
    inverted: bool = False
    """Whether the right eye's comes first."""

    def __str__(self) -> str:
        return self.layout + (", the right one first" if self.inverted else "")


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the container's header says of the video stream that is read."""

    size: Size
    """Upright: after ``rotation`` was applied."""
    time_base: Fraction
    average_rate: Fraction | None
    """Frames a second; None where unknown. For display and rate control only."""
    frames_in_header: int | None
    """Of those that are shown; None where the header does not say."""
    duration_in_header: Fraction | None
    """Seconds."""
    rotation: int
    """Degrees clockwise that were applied to make frames upright: 0, 90, 180 or 270."""
    pixel_aspect: Fraction
    """Width of a pixel over its height, of the upright picture; 1 where unknown."""
    colour: Colour
    """What the frames mean as they are given: BT.709 where HDR was tone-mapped."""
    codec: str
    streams: tuple[StreamInfo, ...] = ()
    start_pts: int = 0
    """pts of the clip's first picture, in ``time_base``: the zero of a user's start and end."""
    frames_hidden: int = 0
    """How many more the file holds that no player shows, since they lie outside its edits."""
    alpha: bool = False
    """Whether pictures may be transparent; each frame then brings its own ``alpha``."""
    bits: int = 8
    """Of the deepest component of a stored sample."""
    mirrored: bool = False
    """Whether left and right were exchanged, after ``rotation``, to show frames as players do."""
    sphere: Sphere | None = None
    """Where pictures lie on a sphere (360 degree films)."""
    stereo: Stereo | None = None
    """Where pictures hold one for each eye."""
    timecode_rate: Fraction | None = None
    """Frames a second that the source's timecode counts; None where it has none."""


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """What a source had to swallow so far."""

    decode_failures: int = 0
    """Packets that could not be decoded and were skipped."""
    repaired_timestamps: int = 0
    """Frames whose missing, repeated or backward pts was replaced."""
    reconnects: int = 0
    """Times a live source was lost and found again."""
    notes: tuple[str, ...] = ()
    """One sentence per thing that was read otherwise than a viewer would expect."""


@dataclass(frozen=True, slots=True)
class SinkReport:
    """What a sink wrote."""

    path: str
    frames: int
    bytes: int
    notes: tuple[str, ...] = ()
    """One sentence per thing that was done otherwise than a reader would expect."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that an output may have kept of its input."""

    name: str
    """Its kind, with a number where there are several: ``frames``, ``audio 2``."""
    kept: bool
    detail: str
    """One line: what was found, and why where something is not kept."""
    required: bool = True
    """False where not keeping it is no fault: the container has no place for it, or the caller
    allows it."""

    @property
    def kind(self) -> str:
        """The name without its number."""
        return self.name.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What of one file is in another."""

    input: str
    output: str
    checks: tuple[Check, ...]

    @property
    def kept(self) -> bool:
        """Whether everything is kept that should be."""
        return not self.lost

    @property
    def lost(self) -> tuple[Check, ...]:
        """What should have been kept and is not."""
        return tuple(check for check in self.checks if check.required and not check.kept)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is accepted; anything beyond raises LimitExceeded."""

    max_pixels: int = 2**26
    """Width times height of one picture."""
    max_frames: int | None = None
    max_seconds: float | None = None
    max_upload_bytes: int = 4 * 2**30
    max_clients: int = 4
    max_decode_failures: int = 64
    """Undecodable packets in a row before the source is given up as corrupt."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """Which backend runs, and why."""

    name: str
    """``openvino``, ``onnxruntime``, ``tensorrt``, ``tensorrt-rtx``, ``fake``."""
    device: str
    """As the backend names it: ``CPU``, ``CUDA:0``."""
    precision: str
    """What runs: ``fp32``, ``bf16`` or ``fp16``."""
    requested: str
    """What the caller asked for, as ``backend/precision``: ``auto/auto``."""
    reason: str
    """One clause: why this backend and precision were taken."""

    def __str__(self) -> str:
        return f"{self.name} {self.precision} on {self.device} ({self.reason})"


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one conversion did; every figure measured, none from a header."""

    input: str
    output: str
    style: str
    size: Size
    frames_in: int
    frames_out: int
    dropped: int
    decode_failures: int
    repaired_timestamps: int
    seconds: float
    """Wall clock from the first read to the finished file."""
    fps: float
    """frames_out over seconds."""
    latency_p50_ms: float
    """Median time a frame spent in the net."""
    latency_p95_ms: float
    backend: BackendInfo
    seconds_per_stage: dict[str, float] = field(default_factory=dict)
    """Busy seconds of ``decode``, ``stylize`` and ``encode``; they overlap."""
    notes: tuple[str, ...] = ()
    """Everything degraded, skipped or repaired, one sentence each."""
    finished_with_loss: bool = False
    """More than 1 % of the frames promised by the header did not decode."""
