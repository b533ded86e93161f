"""Photos in, a pack that runs in int8 out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast

import cv2

from rtstyle.backends import Calibration, calibrate
from rtstyle.errors import InputError, ModelError
from rtstyle.media import is_picture, read_image
from rtstyle.styles import StyleSpec, add_calibration
from rtstyle.types import Pixels

_MOST_PHOTOS = 48
_SHORT_SIDE = 288


def calibrate_pack(spec: StyleSpec, photos: Path) -> Calibration:
    """Measure on pictures below ``photos`` how far activations reach, and note it in the card.

    Raises InputError for too few pictures, ModelError where the style is no pack or does not suit
    int8 (the card then stays as it is), BackendUnavailable without OpenVINO.
    """
    if spec.sha256 is None:
        raise ModelError(
            f"{spec.file.name} has no card to note it in: rtstyle styles import it first"
        )
    calibration = calibrate(spec, [_read(path) for path in _chosen(photos)])
    add_calibration(spec, calibration.activations, calibration.psnr_int8_db)
    return calibration


def _chosen(folder: Path) -> list[Path]:
    """Some pictures, which depends on their names alone."""
    try:
        found = [p for p in folder.rglob("*") if is_picture(p.name) and p.is_file()]
    except OSError as error:
        raise InputError(
            f"{folder} cannot be looked through ({error.strerror}); name a folder of photos alone"
        ) from error
    if len(found) < 2:
        raise InputError(
            f"{folder}: {len(found)} photos found; calibrating needs at least 2 (better 40)"
        )

    def digest(path: Path) -> str:
        return hashlib.sha256(str(path.relative_to(folder)).encode()).hexdigest()

    return sorted(found, key=digest)[:_MOST_PHOTOS]


def _read(path: Path) -> Pixels:
    picture = read_image(path)
    height, width = picture.shape[:2]
    scale = _SHORT_SIDE / min(height, width)
    if scale >= 1:
        return picture
    size = (round(width * scale), round(height * scale))
    return cast(Pixels, cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
