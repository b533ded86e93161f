"""From a file of others to a pack in the user's folder, or to an error and nothing left behind."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtstyle.errors import ModelError, UnsafeModel, UsageError
from rtstyle.importers.confined import Confinement, RunError
from rtstyle.importers.converted import Converted, parity_picture
from rtstyle.importers.graph import from_onnx
from rtstyle.importers.hints import Hints
from rtstyle.importers.measure import measure, paint
from rtstyle.styles import (
    LEAST_PSNR_DB,
    SizeRule,
    StyleSpec,
    admit,
    brief,
    check_new_name,
    install,
    other_kind,
    read_bounded,
)
from rtstyle.styles.registry import BUNDLED
from rtstyle.types import Pixels

MAX_DIFFERENCE = 1
"""Of 255: two roundings of the same real number may fall apart by one."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found and left."""

    spec: StyleSpec
    kind: str
    """For people: ``pytorch/examples TransformerNet``, ``ONNX``."""
    notes: tuple[str, ...]


def import_style(
    file: Path,
    *,
    picture: Pixels,
    name: str | None = None,
    licence: str = "unknown",
    hints: Hints | None = None,
    align_corners: bool | None = None,
    overwrite: bool = False,
) -> Imported:
    """Make the style net ``file`` a pack that is found by name.

    ``picture`` is a uint8 ``(H, W, 3)`` RGB picture of about a photo's colours, for probing,
    parity and what is measured. ``align_corners`` is how AnimeGANv2 upsamples, None for the
    default. Raises UsageError for a name that is none, or for what is said of a file it does not
    fit, OutputExists for a name in use, ModelError or UnsafeModel for a file that is no style net,
    takes too long, or does not paint the same behind the contract.
    """
    hints = hints or Hints()
    name = name or _name_from(file)
    check_new_name(name, taken=BUNDLED, overwrite=overwrite)
    with Confinement(file.name) as confinement:
        converted, digest = _converted(file, hints, align_corners, picture, confinement)
        difference = _parity(converted, file.name, confinement)
        measured = measure(confinement, converted.model, converted.rule, picture)
    shown = "".join(c if c.isprintable() else "?" for c in file.name)
    spec = install(
        name,
        model=converted.model,
        title=re.sub(r"[-_]+", " ", name).strip().title() or name,
        family=converted.family,
        size_rule=converted.rule,
        licence=licence,
        source=f"imported from {shown} ({converted.kind}), sha256 {digest}",
        measured={"max_difference_fp32": float(difference), **measured},
        overwrite=overwrite,
    )
    coarse = [n for n in ("bf16", "fp16") if measured.get(f"psnr_{n}_db", 99.0) < LEAST_PSNR_DB]
    unknown = [n for n in ("bf16", "fp16") if f"psnr_{n}_db" not in measured]
    warnings = [
        f"{n} has {measured[f'psnr_{n}_db']:.1f} dB against float32, which can be seen; where the "
        f"backend takes {n}, give --precision fp32"
        for n in coarse
    ]
    unmeasured = [f"what {n} does to it could not be measured here" for n in unknown]
    return Imported(spec, converted.kind, (*converted.notes, *warnings, *unmeasured))


def _converted(
    file: Path,
    hints: Hints,
    align_corners: bool | None,
    picture: Pixels,
    confinement: Confinement,
) -> tuple[Converted, str]:
    """The net behind the contract, and the SHA-256 of what it was read from, in hex."""
    if file.suffix.lower() == ".onnx":
        if align_corners is not None:
            raise UsageError("--align-corners is for AnimeGANv2 checkpoints, not for ONNX files")
        data = read_bounded(file)
        converted = from_onnx(data, file.name, hints, picture, confinement)
        return converted, hashlib.sha256(data).hexdigest()
    if hints.given:
        raise UsageError(
            "--layout, --range, --output-range, --order and --size-multiple are for ONNX files"
        )
    if os.path.isfile(file / "saved_model.pb"):
        raise UnsafeModel(
            f"{brief(file.name)} is refused: it is a TensorFlow SavedModel; convert it to ONNX, "
            "python -m tf2onnx.convert --saved-model FOLDER --output net.onnx, and import that"
        )
    from rtstyle.importers.places import tensorflow_prefix

    prefix = tensorflow_prefix(file)
    data = read_bounded(file) if prefix is None else b""
    if prefix is None and (other := other_kind(data, onnx=False)) is not None:
        raise UnsafeModel(f"{brief(file.name)} is refused: {other}")
    shown = parity_picture(picture, SizeRule(32, 4))
    order = {
        "do": "weights",
        "name": file.name,
        "prefix": None if prefix is None else str(prefix),
        "shape": list(shown.shape),
        "align_corners": align_corners,
    }
    try:
        answer, rest = confinement.build(order, [shown.tobytes(), data])
        model, painted = rest(), rest()
    except RunError as error:
        raise UnsafeModel(
            f"{file.name} is refused: expected weights that make a net, found: {error}"
        ) from error
    # The net's process holds torch and the weights; a graph is run in one without.
    confinement.close()
    made = Converted(
        model,
        answer["kind"],
        answer["family"],
        SizeRule(*answer["rule"]),
        shown,
        np.frombuffer(painted, np.uint8).reshape(shown.shape),
        tuple(answer["notes"]),
    )
    return made, answer["digest"] or hashlib.sha256(data).hexdigest()


def _parity(converted: Converted, name: str, confinement: Confinement) -> int:
    """The largest difference, of 255, to the original; raises ModelError where it is too large."""
    admit(converted.model, name=name)
    try:
        got = paint(confinement.open(converted.model), converted.shown)
    except RunError as error:
        raise UnsafeModel(
            f"{name} is refused: expected a graph that ONNX Runtime runs, found: {error}"
        ) from error
    difference = int(np.abs(got.astype(np.int16) - converted.expected.astype(np.int16)).max())
    if difference > MAX_DIFFERENCE:
        raise ModelError(
            f"{name} is refused: the imported graph differs from the original by "
            f"{difference}/255, expected at most {MAX_DIFFERENCE}"
        )
    return difference


def _name_from(file: Path) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", file.stem.lower()).strip("-")[:64]
    if not name:
        raise UsageError(f"{file.name!r} gives no name; choose one with --as")
    return name
