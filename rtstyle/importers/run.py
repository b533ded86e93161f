"""From a file of others to a pack in the user's folder, or to an error and nothing left behind."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx

from rtstyle.errors import ModelError, UnsafeModel, UsageError
from rtstyle.importers.hints import LAYOUTS, Convention, Hints
from rtstyle.importers.probe import normalised, open_session, painted, probe
from rtstyle.importers.wrap import ForeignGraph, read_graph, wrap
from rtstyle.styles import SizeRule, StyleSpec, admit, check_new_name, install, read_bounded
from rtstyle.styles.registry import BUNDLED
from rtstyle.types import Pixels, Size

MAX_DIFFERENCE = 1
"""Of 255: two roundings of the same real number may fall apart by one."""
_PARITY_SIZE = Size(320, 192)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found and left."""

    spec: StyleSpec
    kind: str
    """For people: ``pytorch/examples TransformerNet``, ``ONNX``."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Converted:
    """A foreign net behind the contract, compared with what it was made from."""

    model: bytes
    kind: str
    family: str
    rule: SizeRule
    difference: int
    """Of 255, at float32, to the original's maths."""
    notes: tuple[str, ...] = ()


def import_style(
    file: Path,
    *,
    picture: Pixels,
    name: str | None = None,
    licence: str = "unknown",
    hints: Hints | None = None,
    overwrite: bool = False,
) -> Imported:
    """Make the style net ``file`` a pack that is found by name.

    ``picture`` is a uint8 ``(H, W, 3)`` RGB picture of about a photo's colours, for probing and
    parity. Raises UsageError for a name that is none, OutputExists for one in use, ModelError or
    UnsafeModel for a file that is no style net or does not paint the same behind the contract.
    """
    hints = hints or Hints()
    name = name or _name_from(file)
    check_new_name(name, taken=BUNDLED, overwrite=overwrite)
    data = read_bounded(file)
    if file.suffix.lower() == ".onnx":
        converted = _from_onnx(data, file.name, hints, picture)
    else:
        if hints.given:
            raise UsageError(
                "--layout, --range, --output-range, --order and --size-multiple are for ONNX files"
            )
        from rtstyle.importers.checkpoint import from_checkpoint  # torch is slow to come

        converted = from_checkpoint(data, file.name, _parity_picture(picture, SizeRule(32, 4)))
    if converted.difference > MAX_DIFFERENCE:
        raise ModelError(
            f"{file.name} is refused: the imported graph differs from the original by "
            f"{converted.difference}/255, expected at most {MAX_DIFFERENCE}"
        )
    admit(converted.model, name=file.name)
    title = re.sub(r"[-_]+", " ", name).strip().title() or name
    digest = hashlib.sha256(data).hexdigest()
    shown = "".join(c if c.isprintable() else "?" for c in file.name)
    spec = install(
        name,
        model=converted.model,
        title=title,
        family=converted.family,
        size_rule=converted.rule,
        licence=licence,
        source=f"imported from {shown} ({converted.kind}), sha256 {digest}",
        measured={
            "max_difference_fp32": float(converted.difference),
            "gmac_640x360": round(multiply_accumulates(converted.model, converted.rule) / 1e9, 1),
        },
        overwrite=overwrite,
    )
    return Imported(spec, converted.kind, converted.notes)


def _name_from(file: Path) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", file.stem.lower()).strip("-")[:64]
    if not name:
        raise UsageError(f"{file.name!r} gives no name; choose one with --as")
    return name


def _parity_picture(picture: Pixels, rule: SizeRule) -> Pixels:
    size = rule.fit(_PARITY_SIZE)
    fitted: Pixels = cv2.resize(
        picture, (size.width, size.height), interpolation=cv2.INTER_AREA
    ).astype(np.uint8)
    return fitted


def _from_onnx(data: bytes, name: str, hints: Hints, picture: Pixels) -> Converted:
    foreign = read_graph(data, name)
    _admit_before_running(foreign, hints, name)
    found = probe(foreign, hints, picture, name)
    model = wrap(foreign, found.convention, found.rule).SerializeToString()
    admit(model, name=name)
    shown = _parity_picture(picture, found.rule)
    original = open_session(foreign.model.SerializeToString())
    batch = normalised(shown, found.convention)[None]
    planes = found.convention.layout == "nchw"
    fed = np.ascontiguousarray(batch.transpose(0, 3, 1, 2) if planes else batch)
    kind = {1: np.float32, 10: np.float16, 2: np.uint8}[foreign.kind]
    got = original.run([foreign.output], {foreign.input: fed.astype(kind)})[0].astype(np.float32)
    rows = got.transpose(0, 2, 3, 1) if planes else got
    expected = np.rint(np.clip(painted(rows[0], found.convention), 0, 255))
    difference = compare(model, shown, expected.astype(np.uint8))
    notes = [f"found by probing: {found.convention}"]
    if not found.batches:
        notes.append("it takes one picture at a time, not several at once")
    return Converted(
        model, f"ONNX, {found.convention}", "foreign", found.rule, difference, tuple(notes)
    )


def _admit_before_running(foreign: ForeignGraph, hints: Hints, name: str) -> None:
    """Refuse what would fill the memory before it is run for the first time."""
    known = hints.layout or foreign.layout
    layouts = (known,) if known else LAYOUTS
    for layout in layouts:
        guess = Convention(layout, "0..1", "0..1", "rgb")
        try:
            admit(wrap(foreign, guess).SerializeToString(), name=name)
            return
        except UnsafeModel:
            if layout == layouts[-1]:
                raise


def compare(model: bytes, picture: Pixels, expected: Pixels) -> int:
    """The largest difference, of 255, between what the graph paints and ``expected``."""
    got = open_session(model).run(None, {"frame": picture[None]})[0][0]
    return int(np.abs(got.astype(np.int16) - expected.astype(np.int16)).max())


def multiply_accumulates(model: bytes, rule: SizeRule) -> int:
    """Of the convolutions for one picture of 640x360, counted on a quarter of it."""
    graph = onnx.load_from_string(model)
    shapes = {t.name: tuple(t.dims) for t in graph.graph.initializer}
    each: dict[str, Callable[[tuple[int, ...]], int]] = {}
    for node in graph.graph.node:
        weights = shapes.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type not in ("Conv", "ConvTranspose") or not weights:
            continue
        taps = int(np.prod(weights[1:]))
        place = node.output[0] if node.op_type == "Conv" else node.input[0]
        each[place] = _counter(each.get(place), taps)
        graph.graph.output.append(onnx.ValueInfoProto(name=place))
    if not each:
        return 0
    counted = {value.name: None for value in graph.graph.output[1:]}
    del graph.graph.output[1:]
    graph.graph.output.extend(onnx.ValueInfoProto(name=place) for place in counted)
    size = rule.fit(Size(320, 180))
    frame = np.zeros((1, size.height, size.width, 3), np.uint8)
    results = open_session(graph.SerializeToString()).run(list(counted), {"frame": frame})
    total = sum(each[place](r.shape) for place, r in zip(counted, results, strict=True))
    return round(total * 640 * 360 / (size.width * size.height))


def _counter(
    before: Callable[[tuple[int, ...]], int] | None, taps: int
) -> Callable[[tuple[int, ...]], int]:
    def count(shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * taps + (before(shape) if before else 0)

    return count
