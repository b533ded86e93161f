"""rtstyle: a real-time stylizer of video and pictures.

    import rtstyle

    report = rtstyle.stylize_video("holiday.mp4", "painted.mp4", "great-wave")
    picture = rtstyle.stylize_image("face.jpg", "great-wave", output="face-painted.png")
    with rtstyle.open_stylizer("great-wave") as paint:
        painted = paint(batch)  # uint8 (N, H, W, 3) RGB, any size

Importing this package loads nothing heavy: each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtstyle.errors import (
        BackendError,
        BackendOutOfMemory,
        BackendUnavailable,
        CameraBusy,
        CameraError,
        CameraLost,
        CorruptInput,
        DiskFull,
        DownloadFailed,
        EncoderUnavailable,
        HashMismatch,
        InputError,
        Interrupted,
        LimitExceeded,
        ModelError,
        NotAVideo,
        NoVideoStream,
        OutputError,
        OutputExists,
        OutputNotWritable,
        RtstyleError,
        UnknownStyle,
        UnsafeModel,
        UsageError,
    )
    from rtstyle.media import verify_video
    from rtstyle.pipeline import Progress, open_stylizer, stylize_image, stylize_video
    from rtstyle.styles import SizeRule, StyleSpec, bundled_styles, find_style
    from rtstyle.types import (
        DEFAULT_LIMITS,
        BackendInfo,
        Check,
        Colour,
        Fidelity,
        Frame,
        Limits,
        Pixels,
        RunReport,
        SinkReport,
        Size,
        SourceHealth,
        StreamInfo,
        VideoInfo,
    )

__version__ = "0.1.0"

_PLACES = {
    "rtstyle.errors": (
        "BackendError",
        "BackendOutOfMemory",
        "BackendUnavailable",
        "CameraBusy",
        "CameraError",
        "CameraLost",
        "CorruptInput",
        "DiskFull",
        "DownloadFailed",
        "EncoderUnavailable",
        "HashMismatch",
        "InputError",
        "Interrupted",
        "LimitExceeded",
        "ModelError",
        "NoVideoStream",
        "NotAVideo",
        "OutputError",
        "OutputExists",
        "OutputNotWritable",
        "RtstyleError",
        "UnknownStyle",
        "UnsafeModel",
        "UsageError",
    ),
    "rtstyle.media": ("verify_video",),
    "rtstyle.pipeline": ("Progress", "open_stylizer", "stylize_image", "stylize_video"),
    "rtstyle.styles": ("SizeRule", "StyleSpec", "bundled_styles", "find_style"),
    "rtstyle.types": (
        "DEFAULT_LIMITS",
        "BackendInfo",
        "Check",
        "Colour",
        "Fidelity",
        "Frame",
        "Limits",
        "Pixels",
        "RunReport",
        "SinkReport",
        "Size",
        "SourceHealth",
        "StreamInfo",
        "VideoInfo",
    ),
}
_PLACE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "DEFAULT_LIMITS",
    "BackendError",
    "BackendInfo",
    "BackendOutOfMemory",
    "BackendUnavailable",
    "CameraBusy",
    "CameraError",
    "CameraLost",
    "Check",
    "Colour",
    "CorruptInput",
    "DiskFull",
    "DownloadFailed",
    "EncoderUnavailable",
    "Fidelity",
    "Frame",
    "HashMismatch",
    "InputError",
    "Interrupted",
    "LimitExceeded",
    "Limits",
    "ModelError",
    "NoVideoStream",
    "NotAVideo",
    "OutputError",
    "OutputExists",
    "OutputNotWritable",
    "Pixels",
    "Progress",
    "RtstyleError",
    "RunReport",
    "SinkReport",
    "Size",
    "SizeRule",
    "SourceHealth",
    "StreamInfo",
    "StyleSpec",
    "UnknownStyle",
    "UnsafeModel",
    "UsageError",
    "VideoInfo",
    "__version__",
    "bundled_styles",
    "find_style",
    "open_stylizer",
    "stylize_image",
    "stylize_video",
    "verify_video",
]


def __getattr__(name: str) -> object:
    module = _PLACE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
