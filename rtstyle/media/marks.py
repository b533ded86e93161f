"""What a picture is meant to be looked at with: a sphere round the viewer, two pictures in one.

FFmpeg's muxers write it only for streams that were given it, which PyAV does not do; it is put
into the finished file. mp4 and mov: boxes st3d and sv3d (Spherical Video V2). Matroska and WebM:
StereoMode, and Projection (RFC 9559, 5.1.4.1.28).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from rtstyle.media.boxes import box, full_box
from rtstyle.types import Sphere, Stereo

_PROJECTIONS = {0: "equirectangular", 1: "cubemap", 2: "equirectangular tile"}
_LAYOUTS = {
    1: "side by side",
    2: "top and bottom",
    3: "one after the other",
    4: "checkerboard",
    5: "side by side, in quincunx",
    6: "in lines",
    7: "in columns",
}
_BYTES = 36
_OTHER = "of another kind"
_INVERTED = 1
_OF_MP4 = {"top and bottom": 1, "side by side": 2}
_OF_MATROSKA = {
    ("side by side", False): "left_right",
    ("side by side", True): "right_left",
    ("top and bottom", False): "top_bottom",
    ("top and bottom", True): "bottom_top",
    ("checkerboard", False): "checkerboard_lr",
    ("checkerboard", True): "checkerboard_rl",
    ("in lines", False): "row_interleaved_lr",
    ("in lines", True): "row_interleaved_rl",
    ("in columns", False): "col_interleaved_lr",
    ("in columns", True): "col_interleaved_rl",
    ("one after the other", False): "block_lr",
    ("one after the other", True): "block_rl",
}
_OF_WEBM = ("left_right", "right_left", "top_bottom", "bottom_top")
_FIXED = 2**16


def sphere_of(said: Mapping[str, bytes]) -> Sphere | None:
    """The sphere that side data of a picture tell of, by their kinds; None where there is none."""
    data = said.get("SPHERICAL", b"")
    if len(data) < _BYTES:
        return None
    kind, yaw, pitch, roll, left, top, right, bottom, padding = struct.unpack_from("=4i5I", data)
    return Sphere(
        projection=_PROJECTIONS.get(kind, _OTHER),
        pose=(yaw, pitch, roll),
        bounds=(left, top, right, bottom),
        padding=padding,
    )


def stereo_of(said: Mapping[str, bytes]) -> Stereo | None:
    """How two pictures lie in one; None where there is one."""
    data = said.get("STEREO3D", b"")
    if len(data) < _BYTES:
        return None
    kind, flags, view = struct.unpack_from("=3i", data)
    if kind == 0 and view == 0:
        return None
    return Stereo(_LAYOUTS.get(kind, _OTHER), bool(flags & _INVERTED))


def holds_sphere(muxer: str, sphere: Sphere) -> bool:
    """Whether a container has a place for it."""
    return muxer in ("mp4", "mov", "matroska", "webm") and sphere.projection != _OTHER


def holds_stereo(muxer: str, stereo: Stereo) -> bool:
    """Whether a container has a place for it."""
    if muxer in ("mp4", "mov"):
        return stereo.layout in _OF_MP4 and not stereo.inverted
    mode = stereo_mode(stereo)
    return mode is not None and (muxer == "matroska" or (muxer == "webm" and mode in _OF_WEBM))


def stereo_mode(stereo: Stereo) -> str | None:
    """FFmpeg's name of Matroska's StereoMode."""
    return _OF_MATROSKA.get((stereo.layout, stereo.inverted))


def picture_boxes(sphere: Sphere | None, stereo: Stereo | None) -> bytes:
    """What goes into the entry of the pictures of an mp4 or mov that holds them."""
    boxes = b""
    if stereo is not None:
        boxes += full_box(b"st3d", bytes([_OF_MP4[stereo.layout]]))
    if sphere is not None:
        projection = full_box(b"prhd", struct.pack(">3i", *sphere.pose)) + _shape(sphere)
        boxes += box(b"sv3d", full_box(b"svhd", b"rtstyle\0") + box(b"proj", projection))
    return boxes


def _shape(sphere: Sphere) -> bytes:
    if sphere.projection == "cubemap":
        return full_box(b"cbmp", struct.pack(">II", 0, sphere.padding))
    left, top, right, bottom = sphere.bounds
    return full_box(b"equi", struct.pack(">4I", top, bottom, left, right))


def projection_of(sphere: Sphere) -> tuple[int, bytes, tuple[float, float, float]]:
    """Matroska's ProjectionType, ProjectionPrivate and the degrees of yaw, pitch and roll."""
    kind = 2 if sphere.projection == "cubemap" else 1
    yaw, pitch, roll = (angle / _FIXED for angle in sphere.pose)
    return kind, _shape(sphere)[8:], (yaw, pitch, roll)
