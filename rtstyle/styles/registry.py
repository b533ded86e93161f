"""The styles that come with rtstyle, and how a name or path becomes a style."""

from __future__ import annotations

import difflib
import os
import re
from contextlib import suppress
from pathlib import Path

from rtstyle.errors import OutputNotWritable, UnknownStyle, UnsafeModel
from rtstyle.styles.admission import EXPORT_HINT, admit, brief
from rtstyle.styles.library import find_user_style, user_folder, user_styles
from rtstyle.styles.pack import load_pack, read_bounded, verify
from rtstyle.styles.spec import MODEL_FILE, NAME_PATTERN, PACK_FILE, SizeRule, StyleSpec

PACKS = Path(__file__).resolve().parent / "packs"
BUNDLED: tuple[str, ...] = (
    "great-wave",
    "starry-night",
    "great-wave-32",
    "hayao",
    "hayao-fast",
    "shinkai",
    "shinkai-fast",
    "paprika",
    "paprika-fast",
)
"""Folders of ``PACKS``, the default style first."""

BARE_SIZE_RULE = SizeRule(minimum=32, multiple_of=8)
"""For a bare graph that does not say: enough for three halvings, and costs next to nothing."""

CHECKPOINT_SUFFIXES = frozenset((".pth", ".pt", ".ckpt", ".safetensors", ".npz"))


def bundled_styles() -> tuple[StyleSpec, ...]:
    """The styles that come with rtstyle, the default first."""
    return tuple(load_pack(PACKS / name) for name in BUNDLED)


def is_bundled(spec: StyleSpec) -> bool:
    """True where the model is a bundled one, whose hash was pinned when it was admitted."""
    return (
        spec.sha256 is not None
        and spec.file.parent.name in BUNDLED
        and spec.file.parent.parent == PACKS
    )


def find_style(name_or_path: str | Path) -> StyleSpec:
    """The style meant by a bundled or imported name, a pack folder or a bare ``.onnx`` file.

    Raises UnknownStyle where there is no such thing, ModelError for a broken pack, UnsafeModel
    for a file that is no graph of the contract.
    """
    asked = str(name_or_path)
    if asked in BUNDLED:
        return load_pack(PACKS / asked)
    if (imported := find_user_style(asked)) is not None:
        return imported
    path = Path(name_or_path)
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise UnknownStyle(_not_found(asked, path)) from error
    if path.is_dir():
        if not (path / PACK_FILE).is_file():
            raise UnknownStyle(f"the folder {brief(asked)} holds no {PACK_FILE}, so it is no style")
        return load_pack(path)
    if path.name == PACK_FILE:
        return load_pack(path.parent)
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        raise UnsafeModel(
            f"{brief(path.name)} is a training checkpoint, not a style; {EXPORT_HINT}, "
            "or, if others trained it: rtstyle styles import FILE"
        )
    return _bare(path.absolute())


def style_files(name_or_path: str | Path) -> tuple[Path, ...]:
    """The files that a style is read from; none is looked into, and each may be missing."""
    asked = str(name_or_path)
    path = Path(name_or_path)
    folder = PACKS / asked if asked in BUNDLED else path
    if asked not in BUNDLED and NAME_PATTERN.fullmatch(asked):
        with suppress(OutputNotWritable):
            own = user_folder() / asked
            folder = own if os.path.exists(own / PACK_FILE) else path
    if folder.name == PACK_FILE:
        folder = folder.parent
    return (path, folder / PACK_FILE, folder / MODEL_FILE)


def read_model(spec: StyleSpec) -> bytes:
    """The model's bytes, checked and fit for a runtime.

    A bundled model needs no more than its hash; any other is admitted too, since whoever wrote the
    pack wrote its hash as well. Raises what ``verify`` and ``admit`` raise.
    """
    data = verify(spec)
    if not is_bundled(spec):
        admit(data, name=spec.file.name)
    return data


def _bare(file: Path) -> StyleSpec:
    facts = admit(read_bounded(file), name=file.name)
    name = re.sub(r"[^a-z0-9_-]+", "-", file.stem.lower()).strip("-")[:64] or "style"
    return StyleSpec(
        name=name,
        title=brief(file.stem),
        family="foreign",
        file=file,
        sha256=None,
        size_rule=facts.size_rule or BARE_SIZE_RULE,
        licence="unknown",
        source=f"the file {brief(file.name)}",
    )


def _not_found(asked: str, path: Path) -> str:
    shown = brief(asked)
    if len(path.parts) > 1 or path.suffix:
        return f"no such style file or folder: {shown}; check the path"
    names = [*BUNDLED, *(spec.name for spec in user_styles().specs)]
    near = difflib.get_close_matches(asked.lower(), names, n=2, cutoff=0.5)
    if near:
        return f"no style named {shown}; did you mean {' or '.join(near)}?"
    known = f"a bundled style ({', '.join(BUNDLED)}), " if BUNDLED else ""
    return f"no style named {shown}; give {known}a pack folder or an .onnx file"
