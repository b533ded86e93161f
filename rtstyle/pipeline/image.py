"""One picture in, one stylized picture out; all frames of one that moves, and all pages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from rtstyle.backends import Stylizer
from rtstyle.media import (
    Facts,
    Leaf,
    Motion,
    PictureFile,
    check_image_output,
    extend_colours,
    kind_of,
    on_white,
    open_picture,
    pixels_in_srgb,
    profile_name,
    to_bytes,
    to_deep,
    write_leaves,
)
from rtstyle.memory import memory_told
from rtstyle.pipeline.brush import Brush, Style, check_choice, open_brush
from rtstyle.types import DEFAULT_LIMITS, AnyPixels, Limits, Pixels

_log = logging.getLogger(__name__)
_PROFILE = "colour profile"


@dataclass(frozen=True, slots=True)
class PictureReport:
    """What became of one picture file."""

    output: str
    """Empty where nothing was to be written."""
    frames_in: int
    """Pictures in the source: frames or pages."""
    frames_out: int
    notes: tuple[str, ...]
    """Everything that is otherwise than in the source, one sentence each."""

    @property
    def finished_with_loss(self) -> bool:
        """Whether frames or pages are missing from the result."""
        return self.frames_out < self.frames_in


@memory_told("while a picture was stylized")
def stylize_image(
    source: str | Path | Pixels,
    style: Style | None,
    *,
    output: str | Path | None = None,
    strength: float = 1.0,
    backend: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    on_report: Callable[[PictureReport], None] | None = None,
    stylizer: Stylizer | None = None,
) -> Pixels:
    """Stylize one picture and return it as uint8 ``(H, W, 3)`` RGB; write it where ``output`` says.

    ``source`` is a file or uint8 ``(H, W, 3)`` RGB. ``style`` is a bundled style's name, a pack
    folder, an ONNX file or a StyleSpec; ``stylizer`` one that is loaded already (then ``style``
    may be None, ``backend`` and ``precision`` are not looked at, and it stays open).
    ``strength`` 0..1 mixes the stylized picture with the source; 0 is the source.

    A file keeps what the kind of ``output`` can hold: transparency (under which the net is shown
    the nearest visible colour), colour profile, Exif and XMP data, resolution and 16 bits a sample;
    a moving GIF, PNG, WebP or AVIF keeps its frames and their times, a TIFF its pages. What is
    returned is the first picture, laid on white where it is transparent. ``on_report`` hears what
    is otherwise than in the source; without it that is logged as a warning.

    Raises UsageError, InputError, OutputError, ModelError and BackendError; ValueError or
    TypeError where an array is not a picture. What can be refused is refused before the style is
    loaded, and a refused or failed call leaves no file.
    """
    check_choice(strength=strength, backend=backend, precision=precision)
    file = Path(source) if isinstance(source, str | Path) else None
    target = None if output is None else Path(output)
    if target is not None:
        check_image_output(target, source=file, overwrite=overwrite)
    choice = {"strength": strength, "backend": backend, "precision": precision}
    if not isinstance(source, str | Path):
        # A copy, since at strength 0 the picture itself is handed back.
        pixels = _checked(source).copy()
        with open_brush(style, **choice, stylizer=stylizer) as brush:  # type: ignore[arg-type]
            painted = cast(Pixels, brush(pixels[np.newaxis])[0])
        notes = []
        if target is not None:
            notes = write_leaves(target, [Leaf(painted)], overwrite=overwrite)
        _tell(PictureReport(str(output or ""), 1, 1, tuple(notes)), "a picture", on_report)
        return painted
    with open_picture(source, limits=limits) as picture:
        work = _Copy(picture, target, strength)
        with open_brush(style, **choice, stylizer=stylizer) as brush:  # type: ignore[arg-type]
            leaves = work.paint(brush)
    report = work.write(leaves, overwrite)
    _tell(report, str(source), on_report)
    first = leaves[0]
    return to_bytes(first.pixels if first.alpha is None else on_white(first.pixels, first.alpha))


def _tell(
    report: PictureReport, name: str, on_report: Callable[[PictureReport], None] | None
) -> None:
    if on_report is not None:
        on_report(report)
        return
    for note in report.notes:
        _log.warning("%s: %s", name, note)


class _Copy:
    """A picture file and the one that it becomes."""

    def __init__(self, picture: PictureFile, target: Path | None, strength: float) -> None:
        """Reads the first picture, so that what cannot be read is refused before a style is loaded.
        Raises InputError."""
        self._picture, self._target, self._strength = picture, target, strength
        self._kind = None if target is None else kind_of(target)
        self._notes: list[str] = []
        self._whole = picture.count > 1 and self._takes_all()
        if self._whole:
            picture.check_total()
        self._first = picture.first()
        self._facts = Facts()

    def _takes_all(self) -> bool:
        if self._kind is None:
            return False
        return self._kind.moves if self._picture.moves else self._kind.pages

    def paint(self, brush: Brush) -> list[Leaf]:
        """Every picture that the target takes; raises InputError and BackendError."""
        found = self._picture.leaves() if self._whole else [self._first]
        leaves = [self._painted(brush, leaf) for leaf in found]
        self._facts = self._picture.facts
        self._notes += self._picture.notes
        self._say_frames()
        self._say_depth()
        return self._in_srgb(leaves)

    def write(self, leaves: list[Leaf], overwrite: bool) -> PictureReport:
        """Raises OutputError."""
        if self._target is not None:
            lost = [k for k in self._facts.kinds if self._kind is None or k not in self._kind.holds]
            if lost:
                self._note(f"{_ending(self._target)} holds no {', no '.join(lost)}: left out")
            motion = None
            if self._picture.moves and self._whole:
                motion = Motion(self._picture.plays, self._picture.still_first)
            self._notes += write_leaves(
                self._target, leaves, facts=self._facts, motion=motion, overwrite=overwrite
            )
        return PictureReport(
            str(self._target or ""), self._picture.count, len(leaves), tuple(self._notes)
        )

    def _painted(self, brush: Brush, leaf: Leaf) -> Leaf:
        pixels, alpha = leaf.pixels, leaf.alpha
        if alpha is not None and not (self._kind is not None and self._kind.transparent):
            if self._target is not None:
                self._note(
                    f"transparent pixels are laid on white: {_ending(self._target)} has no "
                    "transparency; use .png or .webp"
                )
                pixels, alpha = on_white(pixels, alpha), None
        elif alpha is not None and self._strength > 0:
            pixels = extend_colours(pixels, alpha)
        if pixels.dtype == np.uint16 and not self._deep:
            pixels = to_bytes(pixels)
        painted: AnyPixels = brush(pixels[np.newaxis])[0]
        return Leaf(to_deep(painted) if self._deep_in(leaf) else painted, alpha, leaf.delay)

    @property
    def _deep(self) -> bool:
        return self._kind is not None and self._kind.deep

    def _deep_in(self, leaf: Leaf) -> bool:
        return self._deep and leaf.pixels.dtype == np.uint16

    def _in_srgb(self, leaves: list[Leaf]) -> list[Leaf]:
        """Colours of a profile that the target cannot hold, as what is taken without one."""
        icc = self._facts.icc
        held = self._kind is not None and _PROFILE in self._kind.holds
        if icc is None or held or self._target is None:
            return leaves
        converted = [pixels_in_srgb(to_bytes(one.pixels), icc) for one in leaves]
        if any(pixels is None for pixels in converted):
            return leaves
        self._facts = self._facts.without([_PROFILE])
        self._note(
            f"colours were converted from {profile_name(icc)} to sRGB: {_ending(self._target)} "
            "holds no colour profile"
        )
        return [
            Leaf(cast(Pixels, pixels), one.alpha, one.delay)
            for pixels, one in zip(converted, leaves, strict=True)
        ]

    def _say_frames(self) -> None:
        count = self._picture.count
        if count == 1 or self._whole:
            return
        if self._picture.moves:
            way = "name a .gif, .png, .webp or .mp4 to keep all"
            self._note(f"the file moves and has {count} frames, only the first is painted: {way}")
        else:
            self._note(
                f"the file has {count} pages, only the first is painted: name a .tif to keep all"
            )

    def _say_depth(self) -> None:
        bits = self._picture.bits
        if bits <= 8 or self._target is None:
            return
        if not self._deep_in(self._first):
            self._note(
                f"8 of the source's {bits} bits a sample are kept"
                + ("" if self._deep else "; use .png or .tif to keep more")
            )
        elif self._strength > 0:
            self._note(
                f"the net paints with 8 bits a sample; the source's {bits} are kept only in what "
                "--strength leaves of it"
            )

    def _note(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)


def _ending(path: Path) -> str:
    return path.suffix.lower()


def _checked(pixels: Pixels) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"a picture must be (H, W, 3), got {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise TypeError(f"a picture must be uint8, got {pixels.dtype}")
    return pixels
