"""Any ONNX net from picture to picture, behind our contract."""

from __future__ import annotations

import cv2
import numpy as np

from rtstyle.errors import UnsafeModel
from rtstyle.importers.confined import Confinement, RunError, Session
from rtstyle.importers.converted import Converted, parity_picture, resized
from rtstyle.importers.hints import Hints
from rtstyle.importers.measure import paint
from rtstyle.importers.opset import AGAIN, for_runtimes, opset_of
from rtstyle.importers.probe import Probe, normalised, painted, probe, show
from rtstyle.importers.wrap import PREFIX, ForeignGraph, wrap
from rtstyle.styles import admit
from rtstyle.types import Pixels, Size

_MOST_PIXELS = 1024 * 1024
"""Of a declared size that the original is run at."""
_FEW_PIXELS = 256 * 256
_MOST_APART = 0.12
"""Of 1: how far light and colours of one picture may lie apart between two sizes of it."""


def from_onnx(
    data: bytes, name: str, hints: Hints, picture: Pixels, confinement: Confinement
) -> Converted:
    """The net of an ONNX file as a graph of bytes.

    ``picture`` is uint8 ``(H, W, 3)`` RGB of any size, for probing and parity. Raises UnsafeModel
    where the file is refused, runs at one size only, or is too slow.
    """
    order = {"do": "graph", "name": name, "layout": hints.layout}
    try:
        answer, rest = confinement.build(order, [data])
        foreign = ForeignGraph.of(rest(), answer["facts"])
        session = confinement.open(foreign.model.SerializeToString())
    except RunError as error:
        raise UnsafeModel(
            f"{name} is refused: expected a graph that ONNX Runtime takes, found one of opset "
            f"{opset_of(foreign.model)} that it does not: {error}; {AGAIN}, or pip install -U "
            "onnxruntime"
        ) from error
    found = probe(session, foreign, hints, picture, name)
    model = wrap(foreign, found.convention, found.rule).SerializeToString()
    admit(model, name=name)
    notes = [f"found by probing: {found.convention}"]
    kind = f"ONNX, {found.convention}"
    if not found.batches:
        notes.append("it takes one picture at a time, not several at once")
    shown = parity_picture(picture, found.rule)
    if foreign.only is not None:
        height, width = foreign.only
        own = Size(width, height)
        kind += f", declared for {own} alone and freed"
        notes.append(
            f"the file declares pictures of {own} alone; its graph was freed and paints any size, "
            "but strokes are as large as they are at that one"
        )
        if width * height <= _MOST_PIXELS and found.rule.fit(own) == own:
            # Another number of pixels, which is not too many to run.
            few = width * height <= _FEW_PIXELS
            sides = (2 * width, 2 * height) if few else (width // 2, height // 2)
            other = resized(picture, found.rule.fit(Size(*sides)))
            try:
                _require_alike(confinement.open(model), resized(picture, own), other, name)
            except RunError as error:
                raise UnsafeModel(
                    f"{name} is refused: expected a net of free height and width, found one that "
                    f"fails at {other.shape[1]}x{other.shape[0]}: {error}"
                ) from error
            shown = resized(picture, own)
    expected = _by_original(data, foreign, found, shown, confinement, name)
    return Converted(model, kind, "foreign", found.rule, shown, expected, tuple(notes))


def _by_original(
    data: bytes,
    foreign: ForeignGraph,
    found: Probe,
    shown: Pixels,
    confinement: Confinement,
    name: str,
) -> Pixels:
    """What the file itself, nothing in it rewritten, makes of ``shown``."""
    height, width = foreign.fixed
    fits = height in (None, shown.shape[0]) and width in (None, shown.shape[1])
    names = (foreign.input, foreign.output)
    original, copies = foreign.model.SerializeToString(), 1
    if fits:
        original, copies = for_runtimes(data), foreign.pictures or 1
        names = (names[0].removeprefix(PREFIX), names[1].removeprefix(PREFIX))
    batch = np.repeat(normalised(shown, found.convention)[None], copies, axis=0)
    try:
        session = confinement.open(original)
        rows = show(session, names, foreign.kind, batch, found.convention.layout)
    except RunError as error:
        raise UnsafeModel(f"{name} is refused: it fails as it stands: {error}") from error
    if rows is None or rows.shape[1:] != shown.shape:
        raise UnsafeModel(
            f"{name} is refused: expected a picture, as large as the one it was given"
        )
    expected: Pixels = np.rint(np.clip(painted(rows[0], found.convention), 0, 255)).astype(np.uint8)
    return expected


def _require_alike(session: Session, own: Pixels, other: Pixels, name: str) -> None:
    """Raise UnsafeModel where the net paints a picture otherwise than at the size it was made for.

    Numbers that depend on the size may stand in a graph where no shape shows them.
    """
    height, width = other.shape[:2]
    small, at_home = (cv2.blur(paint(session, p).astype(np.float32), (9, 9)) for p in (other, own))
    home = cv2.resize(at_home, (width, height), interpolation=cv2.INTER_AREA)
    apart = float(np.abs(small - home).mean()) / 255
    if apart > _MOST_APART:
        raise UnsafeModel(
            f"{name} is refused: expected a net of free height and width, found one that paints "
            f"otherwise at sizes other than {own.shape[1]}x{own.shape[0]}; export it with dynamic "
            "axes"
        )
