"""What a picture file says beside its samples: profile, Exif, XMP, resolution, texts."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from rtstyle.types import Pixels

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
"""Orientations by which width and height change places."""
_OF_EXIF = (0x8769, 0x8825)
_OF_TIFF = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, *_OF_EXIF)
"""What of a TIFF's tags describes the photo and not how the file is built."""
_ASSUMED_DPI = ((72, 72), (96, 96))
"""What programs take where nothing is said."""
_BESIDE = (b"MotionPhoto", b"MicroVideo", b"hdrgm:")
"""In the XMP of telephones: there is a short film, or a map of brighter lights, in the file."""
_MOST_TEXT = 2**20

PROFILE, EXIF, XMP, RESOLUTION, TEXT = "colour profile", "Exif data", "XMP data", "dpi", "texts"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is carried over from a picture to its stylized copy; None where there is none."""

    icc: bytes | None = None
    """The ICC profile that the RGB values are of."""
    exif: bytes | None = None
    """Upright, without the small copy of the picture that cameras put in."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    """Samples an inch, across and down."""
    texts: tuple[tuple[str, str], ...] = ()
    """Of a PNG or GIF: keyword and text."""

    def without(self, kinds: Collection[str]) -> Facts:
        """Less what of ``kinds`` there is."""
        return Facts(
            icc=None if PROFILE in kinds else self.icc,
            exif=None if EXIF in kinds else self.exif,
            xmp=None if XMP in kinds else self.xmp,
            dpi=None if RESOLUTION in kinds else self.dpi,
            texts=() if TEXT in kinds else self.texts,
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of what there is and would be missed."""
        said = self.dpi is not None and tuple(map(round, self.dpi)) not in _ASSUMED_DPI
        there = (self.icc, self.exif, self.xmp, said, self.texts)
        names = (PROFILE, EXIF, XMP, RESOLUTION, TEXT)
        return tuple(name for name, value in zip(names, there, strict=True) if value)


def read_facts(image: Image.Image) -> tuple[Facts, int, list[str]]:
    """The facts of an opened picture whose samples were read, how it is to be turned (Exif's
    number, 1 for upright), and notes."""
    notes: list[str] = []
    exif, orientation = _exif(image)
    xmp = image.info.get("xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    if not isinstance(xmp, bytes):
        xmp = None
    if xmp is not None and any(mark in xmp for mark in _BESIDE):
        notes.append(
            "the file holds a short film or a map of bright lights beside the photo (as telephones "
            "make): only the photo is painted, and its XMP data, which tells of them, is left out"
        )
        xmp = None
    dpi = _dpi(image.info.get("dpi"))
    if dpi is not None and orientation in _TURNED:
        dpi = dpi[::-1]
    icc = image.info.get("icc_profile")
    facts = Facts(
        icc=icc if isinstance(icc, bytes) and icc else None,
        exif=exif,
        xmp=None if xmp is None else _upright(xmp),
        dpi=dpi,
        texts=_texts(image),
    )
    return facts, orientation, notes


def turned(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """``(H, W, ...)`` upright, by Exif's number."""
    if orientation in _TURNED:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def profile_space(icc: bytes | None) -> str | None:
    """``RGB``, ``GRAY``, ``CMYK``...; None where there is no profile or one that is damaged."""
    if icc is None:
        return None
    try:
        return str(ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space).strip()
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None


def profile_name(icc: bytes) -> str:
    """What a profile calls itself, for messages."""
    try:
        name = str(ImageCms.getProfileDescription(io.BytesIO(icc)))
    except (OSError, ValueError, ImageCms.PyCMSError):
        return "its colour profile"
    return "".join(c for c in name if c.isprintable())[:60].strip() or "its colour profile"


def to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    """``image`` (RGB, L, CMYK or LAB) in sRGB; None where its profile cannot be used."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None


def pixels_in_srgb(pixels: Pixels, icc: bytes) -> Pixels | None:
    """uint8 RGB of the profile ``icc`` in sRGB; None where the profile cannot be used."""
    converted = to_srgb(Image.fromarray(pixels), icc)
    return None if converted is None else np.asarray(converted)


def fitting(facts: Facts, most_marker: int) -> tuple[Facts, tuple[str, ...]]:
    """``facts`` less those that are larger than a JPEG has place for, and their names."""
    sizes = {EXIF: facts.exif, XMP: facts.xmp}
    large = tuple(k for k, value in sizes.items() if value and len(value) > most_marker)
    return facts.without(large), large


def without_profile(facts: Facts) -> Facts:
    """For what is sRGB now."""
    return replace(facts, icc=None)


def _exif(image: Image.Image) -> tuple[bytes | None, int]:
    exif = image.getexif()
    found = exif.get(_ORIENTATION, 1)
    orientation = found if isinstance(found, int) and 1 <= found <= 8 else 1
    kept = Image.Exif()
    try:
        if image.format == "TIFF":
            for tag in _OF_TIFF:
                value = exif.get_ifd(tag) if tag in _OF_EXIF else exif.get(tag)
                if value:
                    kept[tag] = value
        elif exif:
            kept.load(exif.tobytes())
            if _ORIENTATION in kept:
                del kept[_ORIENTATION]
        return (kept.tobytes() if kept else None), orientation
    except Exception:  # tags that are damaged, of any kind; the photo is not
        return None, orientation


def _upright(xmp: bytes) -> bytes:
    xmp = re.sub(rb'(tiff:Orientation=["\'])[0-9](["\'])', rb"\g<1>1\2", xmp)
    return re.sub(rb"(<tiff:Orientation>)[0-9](</tiff:Orientation>)", rb"\g<1>1\2", xmp)


def _dpi(said: object) -> tuple[float, float] | None:
    try:
        across, down = (float(n) for n in said)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # One a inch is what Pillow says of a TIFF that says nothing.
    sane = 1 < across < 1e6 and 1 < down < 1e6
    return (across, down) if sane else None


def _texts(image: Image.Image) -> tuple[tuple[str, str], ...]:
    if image.format == "PNG":
        found = getattr(image, "text", {})
        return tuple(
            (str(key), str(value))
            for key, value in found.items()
            if len(value) <= _MOST_TEXT
            and key != "XML:com.adobe.xmp"
            and not key.lower().startswith("raw profile")
        )
    comment = image.info.get("comment")
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    if not isinstance(comment, str) or not comment.strip("\0 ") or len(comment) > _MOST_TEXT:
        return ()
    return (("Comment", comment.strip("\0 ")),)
