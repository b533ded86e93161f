"""A pack on disk: read with a closed schema, written so that a half-written one never runs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import NoReturn

from rtstyle.errors import (
    DiskFull,
    HashMismatch,
    ModelError,
    OutputExists,
    OutputNotWritable,
    UnsafeModel,
)
from rtstyle.files import TOKEN, beside, is_disk_full, rename_new
from rtstyle.own_names import OwnNames
from rtstyle.styles.admission import admit, brief
from rtstyle.styles.spec import (
    FAMILIES,
    MAX_MODEL_BYTES,
    MODEL_FILE,
    NAME_PATTERN,
    PACK_FILE,
    PACK_FORMAT,
    SizeRule,
    StyleSpec,
)

_MAX_CARD_BYTES = 64 * 2**10
_MAX_TEXT = 2000
_LARGEST_SIDE = 4096
_MOST_FIGURES = 100
_LARGEST_FIGURE = 1e12
"""Of ``measured``: billions of operations and decibels stay far below."""
_LARGEST_REACH = 3.4e38
"""Of ``activations``: the end of float32, which the tensors are of."""
_FIGURE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = frozenset(
    ("format", "name", "title", "family", "sha256", "size_rule", "licence", "source", "measured")
)
_OPTIONAL = frozenset(("activations",))
_MOST_TENSORS = 500
_PAIR = re.compile(r"\[\s+(-?[\d.e-]+),\s+(-?[\d.e-]+)\s+\]")
"""A range as json spreads it over four lines."""
_OURS = re.compile(
    rf"(?:{re.escape(PACK_FILE)}|{re.escape(MODEL_FILE)})(?:\.[0-9a-f]{{{TOKEN}}}\.part)?"
    rf"|\.(?:{re.escape(PACK_FILE)}|{re.escape(MODEL_FILE)})\.[0-9]+\.part"
)
"""Names of a pack's files and of what a broken-off writing of them leaves."""


def load_pack(folder: str | Path) -> StyleSpec:
    """The style in ``folder``, whose ``style.json`` is checked; the model is not read yet.

    Raises ModelError naming the file and the key where it departs from the schema.
    """
    root = Path(folder).absolute()
    where = f"{brief(root.name)}/{PACK_FILE}"
    spec = _spec(_read_card(root / PACK_FILE, where), root, where)
    if not _is_file(spec.file, where):
        raise ModelError(
            f"{brief(root.name)} holds no {MODEL_FILE}; export or download the pack again"
        )
    return spec


def write_pack(
    folder: str | Path,
    *,
    model: Path | bytes,
    name: str,
    title: str,
    family: str,
    size_rule: SizeRule,
    licence: str,
    source: str,
    measured: dict[str, float],
    overwrite: bool = False,
) -> StyleSpec:
    """Write ``style.json`` and ``model.onnx`` into ``folder``, made where missing.

    The model is admitted first, and the card, which holds its hash, is put in place last: whatever
    interrupts the writing, what lies there is the old pack, the new one, or refused by its hash.
    Raises OutputExists for a folder that holds a pack unless ``overwrite``, or files of a pack's
    names that are none in any case, OutputNotWritable, DiskFull, UnsafeModel for a graph outside
    the contract, ModelError for a value that ``load_pack`` would refuse.
    """
    root = Path(folder).absolute()
    shown = brief(root.name)
    data = read_bounded(model) if isinstance(model, Path) else model
    admit(data, name=MODEL_FILE)
    card: dict[str, object] = {
        "format": PACK_FORMAT,
        "name": name,
        "title": title,
        "family": family,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_rule": {"minimum": size_rule.minimum, "multiple_of": size_rule.multiple_of},
        "licence": licence,
        "source": source,
        "measured": measured,
    }
    _spec(card, root, f"{shown}/{PACK_FILE}")
    _put(root, card, data, ours=check_replaceable(root, overwrite=overwrite))
    return load_pack(root)


def check_replaceable(root: Path, *, overwrite: bool) -> tuple[str, ...]:
    """The files of a pack in ``root`` that may be replaced; raises OutputExists for any other of
    their names."""
    shown = brief(root.name)
    there = tuple(name for name in (PACK_FILE, MODEL_FILE) if os.path.lexists(root / name))
    if there and not overwrite:
        what = "a pack" if PACK_FILE in there else MODEL_FILE
        raise OutputExists(f"{shown} holds {what} already; choose another folder")
    if there and not _is_pack(root):
        raise OutputExists(
            f"{shown} holds {' and '.join(there)}, but that is no style of rtstyle, so nothing was "
            "replaced; choose another folder, or move them away"
        )
    return there


def _is_pack(root: Path) -> bool:
    """Whether the card is one of ours, be it of another version, and nothing of it a link."""
    try:
        card = _read_card(root / PACK_FILE, PACK_FILE)
    except ModelError:
        return False
    return card.keys() >= _KEYS and foreign_entry(root, only=(PACK_FILE, MODEL_FILE)) is None


def foreign_entry(folder: Path, *, only: tuple[str, ...] | None = None) -> str | None:
    """A name in ``folder`` (of ``only`` these) that no writing of a pack leaves: another name, or
    no regular file; None where there is none. Raises OSError."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if only is not None and entry.name not in only:
            continue
        if not _OURS.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
            return entry.name
    return None


def discard_pack(folder: Path) -> None:
    """Delete the files of a pack, and the folder where nothing else is in it; raises OSError."""
    for name in os.listdir(folder):
        if _OURS.fullmatch(name) and stat.S_ISREG(os.lstat(folder / name).st_mode):
            os.unlink(folder / name)
    os.rmdir(folder)


def add_calibration(
    spec: StyleSpec, activations: dict[str, tuple[float, float]], psnr_int8_db: float
) -> StyleSpec:
    """Write into the card of a pack how far its activations reach; the model stays as it is.

    Raises HashMismatch where that is another model, and what ``write_pack`` raises.
    """
    verify(spec)
    root = spec.file.parent
    where = f"{brief(root.name)}/{PACK_FILE}"
    card = _read_card(root / PACK_FILE, where)
    _spec(card, root, where)
    card["measured"] = {**spec.measured, "psnr_int8_db": psnr_int8_db}
    card["activations"] = {name: list(reach) for name, reach in activations.items()}
    _spec(card, root, where)
    _put(root, card, None, ours=(PACK_FILE,))
    return load_pack(root)


def _put(
    root: Path, card: dict[str, object], model: bytes | None, *, ours: tuple[str, ...]
) -> None:
    shown = brief(root.name)
    text = _PAIR.sub(r"[\1, \2]", json.dumps(card, indent=2, ensure_ascii=False)) + "\n"
    files = {} if model is None else {MODEL_FILE: model}
    files[PACK_FILE] = text.encode()
    try:
        if root.exists():
            names = OwnNames(root, ours=ours)
            for name, data in files.items():
                names.write(name, data)
        else:
            _put_new(root, files)
    except FileExistsError:
        raise OutputExists(
            f"{shown}: its files' names were taken meanwhile; choose another folder"
        ) from None
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"no room left for the pack {shown}; free some and retry") from error
        reason = error.strerror or type(error).__name__
        raise OutputNotWritable(
            f"the pack {shown} cannot be written ({reason}); choose another folder"
        ) from error


def _put_new(root: Path, files: dict[str, bytes]) -> None:
    """A whole folder at once, so that none with half a pack is ever left."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    new = beside(root)
    new.mkdir()
    try:
        names = OwnNames(new)
        for name, data in files.items():
            names.write(name, data)
        rename_new(new, root)
    except BaseException:
        with contextlib.suppress(OSError):
            discard_pack(new)
        raise


def verify(spec: StyleSpec) -> bytes:
    """Read the model once and compare its hash; what was checked is what the caller then runs.

    Raises ModelError where the file cannot be read, UnsafeModel where it is larger than 64 MB,
    HashMismatch where it is not the file the pack describes. A spec without a hash is only read.
    """
    data = read_bounded(spec.file)
    if spec.sha256 is not None and hashlib.sha256(data).hexdigest() != spec.sha256:
        raise HashMismatch(
            f"{brief(spec.file.name)} of style {spec.name} is not the file its {PACK_FILE} "
            "describes: it is damaged or was changed; export or download the pack again"
        )
    return data


def read_bounded(file: Path) -> bytes:
    """The bytes of a model file of at most 64 MB; raises ModelError or UnsafeModel."""
    shown = brief(file.name)
    try:
        if not file.is_file():  # a pipe or a device would block or never end
            raise ModelError(f"{shown} is not there, or no plain file; check the path")
        with file.open("rb") as stream:
            data = stream.read(MAX_MODEL_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(f"{shown} cannot be read ({reason}); check its rights") from error
    if len(data) > MAX_MODEL_BYTES:
        raise UnsafeModel(
            f"{shown} is refused: it is larger than {MAX_MODEL_BYTES >> 20} MB, "
            "which no net for real time is"
        )
    return data


def _is_file(file: Path, where: str) -> bool:
    try:
        return file.is_file()
    except OSError as error:  # a folder that may not be entered
        reason = error.strerror or type(error).__name__
        raise ModelError(f"{where} cannot be read ({reason}); check its rights") from error


def _refuse(where: str, what: str) -> NoReturn:
    raise ModelError(f"{where}: {what}; export or download the pack again")


def _read_card(file: Path, where: str) -> dict[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("a key stands there twice")
        return result

    def no_constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is no number")

    try:
        if not _is_file(file, where):
            raise ModelError(f"{where} is missing, so the folder is no pack; check the path")
        with file.open("rb") as stream:
            data = stream.read(_MAX_CARD_BYTES + 1)
        if len(data) > _MAX_CARD_BYTES:
            _refuse(where, f"larger than {_MAX_CARD_BYTES >> 10} kB")
        card = json.loads(data, object_pairs_hook=unique, parse_constant=no_constant)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(f"{where} cannot be read ({reason}); check its rights") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{where} is no valid JSON ({brief(str(error))}); export or download the pack again"
        ) from error
    if not isinstance(card, dict):
        _refuse(where, "must hold an object")
    return card


def _spec(card: dict[str, object], root: Path, where: str) -> StyleSpec:
    """The style ``card`` describes; raises ModelError for a wrong key, type or value."""
    number = card.get("format")
    if type(number) is not int or number != PACK_FORMAT:
        _refuse(where, f'"format" must be {PACK_FORMAT}; a newer rtstyle may know this one')
    if unknown := sorted(card.keys() - _KEYS - _OPTIONAL):
        _refuse(where, f"unknown key {brief(repr(unknown[0]))}")
    if missing := sorted(_KEYS - card.keys()):
        _refuse(where, f'the key "{missing[0]}" is missing')

    def text(key: str) -> str:
        value = card[key]
        if (
            not isinstance(value, str)
            or not 1 <= len(value) <= _MAX_TEXT
            or not value.isprintable()
        ):
            _refuse(where, f'"{key}" must be one line of text')
        return value

    name = text("name")
    if not NAME_PATTERN.fullmatch(name):
        _refuse(where, f'"name" must match {NAME_PATTERN.pattern}')
    family = text("family")
    if family not in FAMILIES:
        _refuse(where, f'"family" must be one of {", ".join(FAMILIES)}')
    digest = text("sha256")
    if not _DIGEST.fullmatch(digest):
        _refuse(where, '"sha256" must be 64 hexadecimal digits in lower case')
    return StyleSpec(
        name=name,
        title=text("title"),
        family=family,
        file=root / MODEL_FILE,
        sha256=digest,
        size_rule=_size_rule(card["size_rule"], where),
        licence=text("licence"),
        source=text("source"),
        measured=_measured(card["measured"], where),
        activations=_activations(card.get("activations", {}), where),
    )


def _size_rule(value: object, where: str) -> SizeRule:
    if not isinstance(value, dict) or value.keys() != {"minimum", "multiple_of"}:
        _refuse(where, '"size_rule" must hold "minimum" and "multiple_of" and nothing else')
    for side in value.values():
        if type(side) is not int or not 1 <= side <= _LARGEST_SIDE:
            _refuse(where, f'"size_rule" takes whole numbers from 1 to {_LARGEST_SIDE}')
    return SizeRule(minimum=value["minimum"], multiple_of=value["multiple_of"])


def _measured(value: object, where: str) -> dict[str, float]:
    if not isinstance(value, dict) or len(value) > _MOST_FIGURES:
        _refuse(where, '"measured" must hold numbers by name')
    figures: dict[str, float] = {}
    for key, figure in value.items():
        found = _number(figure, _LARGEST_FIGURE)
        if not _FIGURE_NAME.fullmatch(key) or found is None:
            _refuse(where, f'"measured" holds {brief(repr(key))}, which is no finite number')
        figures[key] = found
    return figures


def _activations(value: object, where: str) -> dict[str, tuple[float, float]]:
    if not isinstance(value, dict) or len(value) > _MOST_TENSORS:
        _refuse(where, '"activations" must hold ranges by tensor')
    ranges: dict[str, tuple[float, float]] = {}
    for key, reach in value.items():
        pair = [_number(one, _LARGEST_REACH) for one in reach] if isinstance(reach, list) else []
        low, high = pair if len(pair) == 2 else (None, None)
        if low is None or high is None or not 1 <= len(key) <= _MAX_TEXT:
            _refuse(where, f'"activations" holds {brief(repr(key))}, which is no pair of numbers')
        if not low <= 0.0 <= high or low == high:
            _refuse(where, f'"activations" holds {brief(repr(key))}, whose range is none around 0')
        ranges[key] = (low, high)
    return ranges


def _number(value: object, largest: float) -> float | None:
    """A number of JSON as a double; None for what is none, or lies beyond ``largest``.

    JSON's whole numbers have no end, so they are compared before they are converted.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if -largest <= value <= largest else None
