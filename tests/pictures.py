"""Picture files of the kinds that people have: moving ones, pages, deep, transparent, told of."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageSequence

from rtstyle.types import Pixels
from tests.clips import moving_picture

SIZE = (40, 30)
DELAYS = (100, 200, 50, 120)
"""Milliseconds of the frames of ``moving``."""


def frames_of(path: Path) -> list[npt.NDArray[np.uint8]]:
    """Every picture of a file as RGBA, by Pillow alone."""
    with Image.open(path) as image:
        return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]


def delays_of(path: Path) -> list[float]:
    """Milliseconds of each frame."""
    found = []
    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            frame.load()
            found.append(float(frame.info["duration"]))
    return found


def loop_of(path: Path) -> int | None:
    """As the format counts it."""
    with Image.open(path) as image:
        found = image.info.get("loop")
        return None if found is None else int(found)


def flat(index: int, *, clear: bool = False) -> Image.Image:
    """A frame of few colours, so that a GIF holds it exactly: a square that moves on a ground."""
    pixels = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    pixels[..., :3] = (20, 90, 160)
    pixels[..., 3] = 0 if clear else 255
    pixels[8:20, 4 + 6 * index : 14 + 6 * index] = (200, 40 + 20 * index, 10, 255)
    return Image.fromarray(pixels) if clear else Image.fromarray(pixels[..., :3].copy())


def moving(path: Path, *, clear: bool = False, loop: int | None = 0, **more: Any) -> Path:  # noqa: ANN401 - Pillow's options
    """A moving GIF, PNG or WebP of four frames, by its ending."""
    images = [flat(index, clear=clear) for index in range(len(DELAYS))]
    settings: dict[str, Any] = {"duration": list(DELAYS), "append_images": images[1:]}
    if path.suffix == ".gif":
        settings["disposal"] = 2
    elif path.suffix == ".webp":
        settings["lossless"] = True
    else:
        settings |= {"format": "PNG", "blend": 0}
    if loop is not None:
        settings["loop"] = loop
    images[0].save(path, save_all=True, **{**settings, **more})
    return path


def pages(path: Path, count: int = 3, **more: Any) -> Path:  # noqa: ANN401 - Pillow's options
    """A TIFF of several pages, each of another size."""
    images = [
        Image.fromarray(moving_picture((40 + 4 * index, 30), index)) for index in range(count)
    ]
    images[0].save(path, save_all=True, append_images=images[1:], **more)
    return path


@functools.cache
def profile() -> bytes:
    """A profile of RGB; made once, since the second of its making is in it."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def photo(path: Path, *, orientation: int = 1, size: Sequence[int] = SIZE) -> Path:
    """A JPEG, PNG, WebP or TIFF with profile, Exif, XMP and resolution."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    exif[0x8769] = {0x9003: "2024:05:06 07:08:09"}
    exif[0x8825] = {0x0001: "N"}
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d" '
        b'dc:title="A title"/></x:xmpmeta>' % orientation
    )
    settings: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": profile(), "dpi": (300, 300)}
    if path.suffix not in (".png", ".tif"):
        settings |= {"xmp": xmp, "quality": 95}
    Image.fromarray(moving_picture((size[0], size[1]), 2)).save(path, **settings)
    return path


def with_thumbnail(path: Path) -> Path:
    """A JPEG whose Exif data holds a small copy of the picture, as cameras write it."""
    small = io.BytesIO()
    Image.new("RGB", (16, 12), (255, 0, 0)).save(small, "JPEG")
    marker = small.getvalue()
    head = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x0f\0\x02\0\0\0\x04ABC\0" + b"\0\0\0\x1a"
    entries = b"\0\x02" + b"\x02\x01\0\x04\0\0\0\x01" + (56).to_bytes(4, "big")
    entries += b"\x02\x02\0\x04\0\0\0\x01" + len(marker).to_bytes(4, "big") + b"\0\0\0\0"
    exif = b"Exif\0\0" + head + entries + marker
    Image.fromarray(moving_picture(SIZE, 1)).save(path, exif=exif, quality=95)
    return path


def clear_picture(path: Path) -> Path:
    """A disc that is seen, on a ground that is not and is black, with a soft edge between."""
    rows, columns = np.mgrid[0:60, 0:60]
    away = np.hypot(rows - 30, columns - 30)
    alpha = np.clip((22 - away) * 64, 0, 255).astype(np.uint8)
    pixels = np.zeros((60, 60, 4), np.uint8)
    pixels[..., :3] = (180, 170, 160)
    pixels[alpha == 0] = 0
    pixels[..., 3] = alpha
    Image.fromarray(pixels).save(path)
    return path


def rgb(path: Path) -> Pixels:
    """The first picture, by Pillow alone."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
