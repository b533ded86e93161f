"""A picture file, opened with care: how large it is and how many pictures it holds is known before
one of them is decoded.

Pillow reads it: it is the one library that knows moving GIF, PNG and WebP, pages of TIFF, CMYK,
profiles, Exif and XMP alike, and it gives for JPEG and WebP the very samples that OpenCV gives. It
has no RGB of sixteen bits; that is decoded by OpenCV.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from rtstyle.errors import CorruptInput, LimitExceeded, NotAVideo, RtstyleError
from rtstyle.media.facts import (
    Facts,
    profile_space,
    read_facts,
    to_srgb,
    turned,
    without_profile,
)
from rtstyle.media.header import picture_size, unreadable_kind
from rtstyle.media.under import AnyAlpha
from rtstyle.memory import available_memory, out_of_memory, says_out_of_memory
from rtstyle.types import AnyPixels, Limits, Size

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF")
"""Those that are photos or drawings of many programs; Pillow's others are given no byte."""
_MOVING = ("GIF", "PNG", "WEBP", "AVIF")
_DEEP = ("PNG", "TIFF", "PPM")
"""Formats that OpenCV reads with sixteen bits."""
_TIFF_BITS, _TIFF_KIND, _FLOATS = 258, 339, 3
_MOST_AT_ONCE = 2**29
"""Pixels of all pictures of one file together: 1.5 GB of colours."""
_MOST_COUNT = 100_000
_LEAST_BYTES = 6
"""A pixel: as the library decodes it, and as it is given on."""
USUAL_DELAY, SHORTEST_DELAY = 100, 10
"""Milliseconds: browsers show for the first what is to be shown for less than twice the other."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One picture of a file."""

    pixels: AnyPixels
    """``(H, W, 3)`` RGB, upright; uint16 where the file has more than 8 bits and OpenCV reads it,
    else uint8."""
    alpha: AnyAlpha | None = None
    """``(H, W)``, of the type of ``pixels``; None where all of it is opaque."""
    delay: Fraction = Fraction(0)
    """Milliseconds that it is shown; 0 for what does not move."""


class PictureFile:
    """An opened picture file. Use it as a context, and from one thread."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Raises NotAVideo, CorruptInput, LimitExceeded and BackendOutOfMemory."""
        try:
            self.data = path.read_bytes()
        except OSError as error:
            raise NotAVideo(f"{str(path)!r} cannot be read ({error.strerror}); check it") from None
        self._path, self._limits = path, limits
        self._stated = picture_size(self.data)
        self.notes: list[str] = []
        """What was read otherwise than a viewer would expect."""
        if self._stated is not None:
            self._check(self._stated)
            _check_memory(self._stated)
        self._image = self._opened()
        self.facts = Facts()
        """Known once a picture was read."""
        self._said = False
        self._converted = False
        self.count = 1
        """How many pictures it holds: frames of a moving one, or pages."""
        with self._failures():
            if self._image is not None:
                self._check(Size(*self._image.size))
                self.count = int(getattr(self._image, "n_frames", 1))
        if self._image is not None and self._image.format == "MPO":
            self._note(
                f"the file holds {self.count} pictures (MPO); the first, the photo, is painted"
            )
            self.count = 1
        self.bits = self._count_bits()
        """A sample, of the file."""

    @property
    def kind(self) -> str:
        """Pillow's name of the format; empty where Pillow does not know it."""
        return "" if self._image is None else str(self._image.format)

    @property
    def moves(self) -> bool:
        """Whether it is a film, not pages."""
        return self.count > 1 and self.kind in _MOVING

    @property
    def size(self) -> Size | None:
        """As stored, of the first picture; None where only decoding tells."""
        return self._stated if self._image is None else Size(*self._image.size)

    @property
    def plays(self) -> int:
        """How often a moving picture is shown; 0 for without end."""
        info = {} if self._image is None else self._image.info
        loop = info.get("loop")
        if self.kind == "GIF":
            # The number is that of repetitions, and none is told where there is none.
            return 1 if loop is None else 0 if loop == 0 else int(loop) + 1
        return int(loop or 0)

    @property
    def still_first(self) -> bool:
        """Whether the first picture of a PNG is for programs that show none that moves."""
        return self._image is not None and bool(self._image.info.get("default_image"))

    def check_total(self) -> None:
        """Refuse what is too much to be held at once; raises LimitExceeded."""
        size = self.size
        if size is None:
            return
        if self.count > _MOST_COUNT or self.count * size.width * size.height > _MOST_AT_ONCE:
            way = "paint it as a film: rtstyle video" if self.moves else "split it first"
            raise LimitExceeded(
                f"{str(self._path)!r}: {self.count} pictures of {size} are more than are held at "
                f"once; {way}"
            )

    def first(self) -> Leaf:
        """The picture, or the first of them; raises CorruptInput, LimitExceeded, NotAVideo."""
        return self._leaf(0)

    def leaves(self) -> Iterator[Leaf]:
        """All of them in their order; raises what ``first`` raises."""
        for number in range(self.count):
            yield self._leaf(number)

    def close(self) -> None:
        """Calling it twice is allowed."""
        if self._image is not None:
            self._image.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> Image.Image | None:
        """None where only OpenCV may know the file."""
        with _quietly():
            try:
                return Image.open(io.BytesIO(self.data), formats=_FORMATS)
            except Image.DecompressionBombError as error:
                raise LimitExceeded(f"{str(self._path)!r}: {error}; scale it down first") from None
            except Exception as error:  # of many kinds, struct.error and zlib.error among them
                if says_out_of_memory(error):
                    raise out_of_memory("while a picture was read") from error
        if (said := unreadable_kind(self.data)) is not None:
            raise NotAVideo(f"{str(self._path)!r} is {said}")
        if self._stated is not None:
            raise self._damaged()
        return None

    def _leaf(self, number: int) -> Leaf:
        if self._image is None:
            decoded = _by_opencv(self.data)
            if decoded is None:
                raise NotAVideo(
                    f"{str(self._path)!r} is not a picture that can be read; save it as PNG or JPEG"
                )
            self._check(Size(decoded.shape[1], decoded.shape[0]))
            self.bits = 8 * decoded.dtype.itemsize
            return _of_opencv(decoded)
        with self._failures():
            self._image.seek(number)
            self._check(Size(*self._image.size))
            orientation = 1
            leaf = self._deep() if number == 0 else None
            if leaf is not None:
                # Pillow's own reading turns a TIFF, OpenCV's does not.
                stored = self._image.getexif().get(0x0112, 1)
                orientation = stored if isinstance(stored, int) and 1 <= stored <= 8 else 1
            self._image.load()
            shown = leaf or self._shallow()
            if not self._said:
                self._said = True
                self.facts, turn, notes = read_facts(self._image)
                self.notes.extend(notes)
                self._turn = turn
                if self._converted:
                    self.facts = without_profile(self.facts)
                elif self.facts.icc is not None and profile_space(self.facts.icc) != "RGB":
                    self.facts = without_profile(self.facts)
                    self._note("its colour profile is damaged, or of other colours: left out")
            turn = orientation if leaf is not None else self._turn
            return Leaf(
                cast(AnyPixels, turned(shown.pixels, turn)),
                None if shown.alpha is None else turned(shown.alpha, turn),
                self._delay(),
            )

    _turn = 1

    def _delay(self) -> Fraction:
        if not self.moves or self._image is None:
            return Fraction(0)
        said = self._image.info.get("duration", 0)
        delay = Fraction(said).limit_denominator(65535) if said else Fraction(0)
        return Fraction(USUAL_DELAY) if delay <= SHORTEST_DELAY and self.kind != "PNG" else delay

    def _deep(self) -> Leaf | None:
        """The first picture by OpenCV where that gives more than eight bits."""
        # Samples of other depths it does not scale.
        if self.bits not in (16, 32) or self.count > 1 or self.kind not in _DEEP:
            return None
        if self._image is not None and self._image.mode in ("CMYK", "LAB"):
            return None
        decoded = _by_opencv(self.data)
        if decoded is None or decoded.dtype == np.uint8:
            return None
        return _of_opencv(decoded)

    def _shallow(self) -> Leaf:
        """The picture at hand, by Pillow."""
        assert self._image is not None
        image = self._image
        if image.has_transparency_data:
            both = np.asarray(image.convert("RGBA"))
            opaque = bool((both[..., 3] == 255).all())
            alpha = None if opaque else both[..., 3].copy()
            return Leaf(np.ascontiguousarray(both[..., :3]), alpha, Fraction(0))
        return Leaf(np.array(self._in_rgb(image)), None, Fraction(0))

    def _in_rgb(self, image: Image.Image) -> Image.Image:
        if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
            values = np.asarray(image).astype(np.float64)
            most = 257.0 if self.bits <= 16 else 65537.0 * 257.0
            return Image.fromarray(
                np.clip(np.rint(values / most), 0, 255).astype(np.uint8)
            ).convert("RGB")
        if image.mode == "F":
            values = np.clip(np.rint(np.asarray(image) * 255), 0, 255)
            return Image.fromarray(values.astype(np.uint8)).convert("RGB")
        icc = image.info.get("icc_profile")
        space = profile_space(icc if isinstance(icc, bytes) else None)
        grey = image.mode in ("1", "L") and space == "GRAY"
        if image.mode in ("CMYK", "LAB") or grey:
            matching = {"CMYK": "CMYK", "LAB": "Lab"}.get(image.mode, "GRAY")
            source = image.convert("L") if grey else image
            done = to_srgb(source, icc) if space == matching and isinstance(icc, bytes) else None
            self._converted = True
            how = "as its profile says" if done is not None else "without a profile"
            self._note(f"{'grey' if grey else image.mode} colours were converted to sRGB, {how}")
            if done is not None:
                return done
        return image.convert("RGB")

    def _count_bits(self) -> int:
        if self._image is None:
            return 8
        if self.kind == "PNG":
            return 16 if self.data[24:25] == b"\x10" else 8
        if self.kind == "TIFF":
            tags = cast("dict[int, Any]", getattr(self._image, "tag_v2", {}))
            found = tags.get(_TIFF_BITS, (8,))
            return max(8, *map(int, found if isinstance(found, tuple) else (found,)))
        if self.kind == "PPM":
            plain = re.sub(rb"#[^\n]*\n", b" ", self.data[:1024]).split()
            most = int(plain[3]) if len(plain) > 3 and plain[3].isdigit() else 255
            if plain[0] in (b"P1", b"P4"):
                return 8
            # One that is not all ones is no depth that OpenCV scales.
            return max(8, most.bit_length() if most in (1023, 4095, 65535) else 12 * (most > 255))
        return 8

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _check(self, size: Size) -> None:
        if size.width * size.height > self._limits.max_pixels:
            raise LimitExceeded(
                f"{str(self._path)!r}: {size} is more than the {self._limits.max_pixels} pixels "
                "allowed; scale it down first"
            )

    def _damaged(self) -> CorruptInput:
        return CorruptInput(f"{str(self._path)!r} is damaged; copy or download it again")

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """What Pillow raises of a file, of which it has many kinds, as ours."""
        with _quietly():
            try:
                yield
            except RtstyleError:
                raise
            except Image.DecompressionBombError as error:
                raise LimitExceeded(f"{str(self._path)!r}: {error}; scale it down first") from None
            except Exception as error:
                if says_out_of_memory(error):
                    raise out_of_memory("while a picture was read") from error
                raise self._damaged() from error


def _check_memory(size: Size) -> None:
    """Refuse a picture that there is no memory for, as it is decoded and as it is given on."""
    room = available_memory()
    if room is not None and room.bytes < _LEAST_BYTES * size.width * size.height:
        raise out_of_memory(f"before a picture of {size} was read")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without Pillow's warnings: sizes are bounded here, and what is damaged is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _by_opencv(data: bytes) -> npt.NDArray[np.generic] | None:
    for way in (cv2.IMREAD_UNCHANGED, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH):
        try:
            # Typed as never None, which it is for what OpenCV cannot read.
            picture: npt.NDArray[np.generic] | None = cv2.imdecode(
                np.frombuffer(data, np.uint8), way
            )
        except cv2.error as error:
            if says_out_of_memory(error):
                raise out_of_memory("while a picture was read") from error
            picture = None
        if picture is not None:
            return picture
    return None


def _of_opencv(decoded: npt.NDArray[np.generic]) -> Leaf:
    """Grey, BGR or BGRA of any depth as RGB of 8 or 16 bits and transparency."""
    samples = decoded if decoded.ndim == 3 else decoded[..., None]
    values: npt.NDArray[Any] = samples
    if samples.dtype.kind == "f":
        held = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
        values = np.rint(np.clip(held, 0, 1) * 65535).astype(np.uint16)
    elif samples.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"samples of {samples.dtype}")
    planes = values.shape[2]
    alpha = values[..., -1] if planes in (2, 4) else None
    if alpha is not None and bool((alpha == np.iinfo(alpha.dtype).max).all()):
        alpha = None
    colour = values[..., 2::-1] if planes >= 3 else np.repeat(values[..., :1], 3, axis=2)
    return Leaf(
        cast(AnyPixels, np.ascontiguousarray(colour)),
        None if alpha is None else np.ascontiguousarray(alpha),
        Fraction(0),
    )
