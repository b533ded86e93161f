"""Pictures into the bytes of a file: stills, pages and moving pictures, and what was said of them.

Pillow writes them, as it reads them. Colours of sixteen bits are OpenCV's in a PNG, and a plain
strip of a TIFF here, since OpenCV says neither profile nor transparency there.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin, features

from rtstyle.errors import OutputNotWritable
from rtstyle.media.alpha import alpha_bytes
from rtstyle.media.deep import to_bytes, to_deep
from rtstyle.media.facts import EXIF, PROFILE, RESOLUTION, TEXT, XMP, Facts, fitting
from rtstyle.media.picture_file import Leaf
from rtstyle.media.under import AnyAlpha
from rtstyle.memory import out_of_memory, says_out_of_memory
from rtstyle.types import Pixels

QUALITY = 95
"""Of JPEG, WebP and AVIF."""
_ALL = (PROFILE, EXIF, XMP, RESOLUTION)
_MOST_MARKER = 65_000
"""Bytes that a segment of a JPEG has place for."""
_GIF_TICK = 10
"""Milliseconds."""
_GIF_COLOURS, _GIF_CLEAR = 256, 255
_HALF = 128
_WEBP_CLEAR = 0x10


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of picture file can hold."""

    format: str
    """Pillow's name."""
    holds: tuple[str, ...] = ()
    """Kinds of facts; see rtstyle.media.facts."""
    moves: bool = False
    pages: bool = False
    transparent: bool = False
    deep: bool = False


_PNG = Kind("PNG", (*_ALL, TEXT), moves=True, transparent=True, deep=True)
_JPEG = Kind("JPEG", _ALL)
_TIFF = Kind("TIFF", _ALL, pages=True, transparent=True, deep=True)
_WEBP = Kind("WEBP", (PROFILE, EXIF, XMP), moves=True, transparent=True)
KINDS = {
    ".png": _PNG,
    ".apng": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".jpe": _JPEG,
    ".jfif": _JPEG,
    ".webp": _WEBP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".gif": Kind("GIF", (TEXT,), moves=True, transparent=True),
    ".bmp": Kind("BMP", (RESOLUTION,)),
    ".dib": Kind("DIB", (RESOLUTION,)),
    ".ppm": Kind("PPM"),
    ".pnm": Kind("PPM"),
}
if features.check("avif"):
    KINDS[".avif"] = Kind("AVIF", (PROFILE, EXIF, XMP), moves=True, transparent=True)


@dataclass(frozen=True, slots=True)
class Motion:
    """How moving pictures are shown."""

    plays: int = 0
    """How often; 0 for without end."""
    still_first: bool = False
    """The first picture is only for programs that show none that moves (PNG)."""


def kind_of(path: Path) -> Kind | None:
    """What the ending of ``path`` can hold; None for those that OpenCV writes, or nobody does."""
    return KINDS.get(path.suffix.lower())


def can_write(path: Path) -> bool:
    """Whether the ending of ``path`` names a kind of picture that can be written."""
    suffix = path.suffix.lower()
    return suffix in KINDS or (bool(suffix) and cv2.haveImageWriter(f"x{suffix}"))


def encode(
    path: Path, leaves: Sequence[Leaf], facts: Facts, motion: Motion | None = None
) -> tuple[bytes, list[str]]:
    """The file that ``path`` is to be, and a sentence for each thing that it could not take.

    Several ``leaves`` are frames with a ``motion``, and pages without. Raises OutputNotWritable for
    a size that the format has no place for.
    """
    kind = kind_of(path)
    refused = OutputNotWritable(
        f"{path.name}: {leaves[0].pixels.shape[1]}x{leaves[0].pixels.shape[0]} does not fit into "
        f"{path.suffix.lower()}; use a .png name"
    )
    if kind is None:
        return _by_opencv(path, leaves[0], refused), []
    notes: list[str] = []
    if kind.format == "JPEG":
        facts, large = fitting(facts, _MOST_MARKER)
        notes += [f"{name} are too large for a JPEG and left out" for name in large]
    deep = len(leaves) == 1 and kind.deep and leaves[0].pixels.dtype == np.uint16
    try:
        if kind is _TIFF and len(leaves) == 1:
            return _tiff(leaves[0], facts), notes
        if deep:
            return _deep_png(leaves[0], facts), notes
        data = _shallow(kind, leaves, facts, motion)
    except (OSError, ValueError, cv2.error, struct.error, OverflowError, RuntimeError) as error:
        if says_out_of_memory(error):
            raise out_of_memory(f"while {path.name} was encoded") from error
        raise refused from error
    if kind.format == "GIF":
        notes.append("a GIF has 256 colours a picture: those painted were reduced to that many")
        if any(leaf.alpha is not None and _is_soft(leaf.alpha) for leaf in leaves):
            notes.append(
                "a GIF knows transparent and opaque only: what was half transparent is either; "
                "use .webp or .apng to keep it"
            )
    if motion is not None and len(leaves) > 1:
        notes += _joined(data, len(leaves))
    return data, notes


def _joined(data: bytes, count: int) -> list[str]:
    with Image.open(io.BytesIO(data)) as written:
        there = int(getattr(written, "n_frames", 1))
    if there >= count:
        return []
    return [
        f"{count - there} of {count} frames look as the one before and were joined to it, with "
        "their time"
    ]


def _by_opencv(path: Path, leaf: Leaf, refused: OutputNotWritable) -> bytes:
    try:
        bgr = cv2.cvtColor(to_bytes(leaf.pixels), cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(path.suffix.lower(), bgr)
    except cv2.error as error:
        if says_out_of_memory(error):
            raise out_of_memory(f"while {path.name} was encoded") from error
        raise refused from None
    if not done:
        raise refused
    return data.tobytes()


def _shallow(kind: Kind, leaves: Sequence[Leaf], facts: Facts, motion: Motion | None) -> bytes:
    settings = _settings(kind, facts)
    clear = any(leaf.alpha is not None for leaf in leaves)
    images = [_image(kind, leaf, clear=clear) for leaf in leaves]
    if len(images) > 1:
        settings |= {"save_all": True, "append_images": images[1:]}
        if motion is not None:
            settings |= _moving(kind, leaves, motion)
    elif kind.format == "GIF" and clear:
        settings["transparency"] = _GIF_CLEAR
    stream = io.BytesIO()
    images[0].save(stream, kind.format, **settings)
    data = stream.getvalue()
    return _said_clear(data) if kind.format == "WEBP" and clear else data


def _said_clear(data: bytes) -> bytes:
    """A WebP that says of itself that it is transparent: libwebp does not where each frame is a
    part of the picture that is opaque, and all around it is then shown black."""
    if data[12:16] != b"VP8X":
        return data
    return data[:20] + bytes([data[20] | _WEBP_CLEAR]) + data[21:]


def _settings(kind: Kind, facts: Facts) -> dict[str, Any]:
    """Pillow's options for a format, with what it is told of the facts."""
    held = facts.without([name for name in _ALL if name not in kind.holds])
    found: dict[str, Any] = {
        "icc_profile": held.icc,
        "exif": held.exif,
        "xmp": held.xmp,
        "dpi": held.dpi,
    }
    settings = {key: value for key, value in found.items() if value is not None}
    if kind.format in ("JPEG", "WEBP", "AVIF"):
        settings["quality"] = QUALITY
    if kind.format == "PNG":
        settings["pnginfo"] = _png_texts(facts)
        settings.pop("xmp", None)
    if kind.format == "TIFF":
        # The reason is the same as in _tiff; pages with Exif data are larger for it.
        settings["compression"] = "tiff_lzw" if facts.exif is None else "raw"
        settings |= _tiff_tags(held)
        settings.pop("xmp", None)
    if kind.format == "GIF" and facts.texts:
        settings["comment"] = facts.texts[0][1]
    return settings


def _png_texts(facts: Facts) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if facts.xmp is not None:
        info.add_itxt("XML:com.adobe.xmp", facts.xmp.decode("utf-8", "replace"))
    for keyword, text in facts.texts:
        info.add_text(keyword[:79] or "Comment", text)
    return info


def _tiff_tags(facts: Facts) -> dict[str, Any]:
    if facts.xmp is None:
        return {}
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[700] = 1
    tags[700] = facts.xmp
    return {"tiffinfo": tags}


def _image(kind: Kind, leaf: Leaf, *, clear: bool) -> Image.Image:
    pixels = to_bytes(leaf.pixels)
    alpha = None if leaf.alpha is None or not kind.transparent else alpha_bytes(leaf.alpha)
    if kind.format == "GIF":
        return _palette(pixels, alpha, clear=clear)
    if alpha is None:
        return Image.fromarray(pixels)
    return Image.fromarray(np.dstack([pixels, alpha]))


def _is_soft(alpha: AnyAlpha) -> bool:
    return bool(((alpha > 0) & (alpha < np.iinfo(alpha.dtype).max)).any())


def _palette(pixels: Pixels, alpha: Pixels | None, *, clear: bool) -> Image.Image:
    """256 colours; with ``clear`` one of them is for what is transparent, which a GIF knows whole
    or not at all."""
    image = Image.fromarray(pixels)
    if not clear:
        return image.quantize(_GIF_COLOURS, Image.Quantize.MEDIANCUT)
    image = image.quantize(_GIF_COLOURS - 1, Image.Quantize.MEDIANCUT)
    places = np.array(image)
    if alpha is not None:
        places[alpha < _HALF] = _GIF_CLEAR
    shown = Image.frombytes("P", image.size, places.tobytes())
    colours = list(image.getpalette() or [])
    shown.putpalette([*colours, *[0] * (3 * _GIF_COLOURS - len(colours))])
    shown.info["transparency"] = _GIF_CLEAR
    return shown


def _moving(kind: Kind, leaves: Sequence[Leaf], motion: Motion) -> dict[str, Any]:
    shown = leaves[1:] if motion.still_first and kind.format == "PNG" else leaves
    settings: dict[str, Any] = {"duration": _delays(kind, [leaf.delay for leaf in shown])}
    clear = any(leaf.alpha is not None for leaf in leaves)
    if kind.format == "GIF":
        # Each is whole, and goes before the next comes where that may be seen through.
        settings["disposal"] = 2 if clear else 1
        settings["optimize"] = False
        if clear:
            settings["transparency"] = _GIF_CLEAR
        if motion.plays != 1:
            settings["loop"] = max(0, motion.plays - 1)
        return settings
    settings["loop"] = motion.plays
    if kind.format == "PNG":
        settings |= {"blend": 0, "disposal": _disposals(shown)}
        settings["default_image"] = motion.still_first
    return settings


def _disposals(leaves: Sequence[Leaf]) -> list[int]:
    """Pillow joins frames that look alike only where they go in the same way."""
    found = [0]
    for before, after in pairwise(leaves):
        same = np.array_equal(before.pixels, after.pixels)
        found.append(1 - found[-1] if same else 0)
    return found


def _delays(kind: Kind, delays: Sequence[Fraction]) -> list[Any]:
    """In what the format counts in; what is rounded off one goes to the next."""
    if kind.format == "PNG":
        return [float(delay) for delay in delays]
    tick = _GIF_TICK if kind.format == "GIF" else 1
    found, now, said = [], Fraction(0), 0
    for delay in delays:
        now += delay
        end = round(now / tick) * tick
        found.append(end - said)
        said = end
    return found


def _deep_png(leaf: Leaf, facts: Facts) -> bytes:
    """OpenCV's, with what Pillow would have said put in front of the samples."""
    planes = [to_deep(leaf.pixels)[..., ::-1]]
    if leaf.alpha is not None:
        planes.append(_deep_alpha(leaf.alpha)[..., None])
    done, data = cv2.imencode(".png", np.ascontiguousarray(np.dstack(planes)))
    if not done:
        raise ValueError("OpenCV does not encode it")
    # A picture of one point that Pillow writes has all of them.
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "PNG", **_settings(_PNG, facts))
    whole = data.tobytes()
    said = b"".join(
        chunk
        for name, chunk in _chunks(stream.getvalue())
        if name not in (b"IHDR", b"IDAT", b"IEND")
    )
    head = 33
    return whole[:head] + said + whole[head:]


def _deep_alpha(alpha: AnyAlpha) -> AnyAlpha:
    return alpha if alpha.dtype == np.uint16 else np.multiply(alpha, 257, dtype=np.uint16)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and all bytes of each chunk of a PNG."""
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at : at + 12 + length]))
        at += 12 + length
    return found


def _tiff(leaf: Leaf, facts: Facts) -> bytes:
    """One strip, deflated, behind a directory that Pillow writes: with a compression Pillow leaves
    the writing to libtiff, which has no place for the dates and places of Exif data."""
    samples = leaf.pixels
    if leaf.alpha is not None:
        deep = samples.dtype == np.uint16
        samples = np.dstack([samples, _deep_alpha(leaf.alpha) if deep else alpha_bytes(leaf.alpha)])
    height, width, planes = samples.shape
    bits = 8 * samples.dtype.itemsize
    little = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
    strip = zlib.compress(np.ascontiguousarray(little).tobytes(), 6)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    across, down = facts.dpi or (72.0, 72.0)
    plain: dict[int, Any] = {256: width, 257: height, 258: (bits,) * planes, 259: 8, 262: 2}
    plain |= {273: 0, 277: planes, 278: height, 279: len(strip), 282: across, 283: down, 296: 2}
    for tag, value in plain.items():
        tags[tag] = value
    if planes == 4:
        tags[338] = 2
    for tag, kind, data in ((34675, 7, facts.icc), (700, 1, facts.xmp)):
        if data is not None:
            tags.tagtype[tag] = kind
            tags[tag] = data
    if facts.exif is not None:
        exif = Image.Exif()
        exif.load(facts.exif)
        for tag in exif:
            tags[tag] = exif.get_ifd(tag) if tag in (0x8769, 0x8825) else exif[tag]
    stream = io.BytesIO()
    tags.save(stream)
    return stream.getvalue() + strip
