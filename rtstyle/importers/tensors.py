"""Files of weights read as plain tensors; what else they hold is refused, never run."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import re
import warnings
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rtstyle.errors import ModelError, UnsafeModel
from rtstyle.importers.places import files_of
from rtstyle.styles import is_safetensors

MOST_BYTES = 256 * 2**20
"""What a file of at most 64 MB may unpack to."""
_WRAPPERS = (
    *("state_dict", "model_state_dict", "generator", "generator_state_dict", "model", "net"),
    *("net_state_dict", "netG", "G", "G_state_dict", "gen", "params_ema", "params", "ema", "g"),
    *("weights", "model_ema", "generator_ema", "transformer", "style_model"),
)
"""What training scripts keep the weights of the net that paints under, the likeliest first."""
_DEEPEST = 3
_AHEAD = ("module.", "_orig_mod.", "model.", "net.", "generator.", "netG.", "G.")
"""What wrappers of nets put before every name."""
_SAVE_ONE = "torch.save(torch.load(file)[NAME], 'weights.pth')"
_MOST_ENTRIES = 20_000
"""Of an archive: a net has some hundred tensors, each an entry."""
_TRAINED = re.compile(r"Variable(_\d+)?(:0)?")
"""Variables without a name of their own; the rest is what the optimizer keeps."""


def read_tensorflow(prefix: Path) -> tuple[dict[str, Tensor], str]:
    """The trained variables of a TensorFlow checkpoint, and the SHA-256 of its files in hex.

    Raises ModelError where TensorFlow is not installed, UnsafeModel for what it cannot read.
    """
    name = prefix.name
    files = files_of(prefix)
    digest = hashlib.sha256()
    try:
        size = sum(file.stat().st_size for file in files)
        if size > MOST_BYTES:
            raise UnsafeModel(
                f"{name} is refused: expected a checkpoint of at most {MOST_BYTES >> 20} MB"
            )
        for file in files:
            with file.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(f"{name} cannot be read ({reason}); check its files") from error
    tensorflow = _import_tensorflow(name)
    try:
        reader = tensorflow.train.load_checkpoint(str(prefix))
        shapes = reader.get_variable_to_shape_map()
        wanted = [key for key in shapes if _TRAINED.fullmatch(key)]
        # A checkpoint holds its numbers as they are, none of them in less than a byte.
        if sum(prod(shapes[key]) for key in wanted) > min(size, MOST_BYTES // 4):
            raise ValueError("it unpacks to too much")
        state = {key: torch.from_numpy(np.array(reader.get_tensor(key))) for key in wanted}
    except Exception as error:
        # What wants too much memory is named as that, through this error's cause.
        raise UnsafeModel(
            f"{name} is refused: expected a checkpoint of TensorFlow, found a damaged one or one "
            f"that holds other things ({type(error).__name__})"
        ) from error
    if not state:
        raise ModelError(
            f"{name} is refused: expected the variables of lengstrom/fast-style-transfer, found "
            f"{len(shapes)} others"
        )
    return _plain_names(state), digest.hexdigest()


def _import_tensorflow(name: str) -> Any:  # noqa: ANN401 - ships no types, and is rarely there
    # It reports its processor and its start at length.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("tensorflow")
    except ImportError as error:
        raise ModelError(
            f"{name} is a checkpoint of TensorFlow, which is not installed: pip install "
            "tensorflow, or where it is: numpy.savez('net.npz', **{k: r.get_tensor(k) for k in "
            "r.get_variable_to_shape_map()}) of r = tf.train.load_checkpoint(...), and import that"
        ) from error


def read_tensors(data: bytes, name: str) -> dict[str, Tensor]:
    """The tensors by name, without what training wraps them in; never unpickled freely.

    Raises UnsafeModel where the file is damaged or holds anything else.
    """
    stream = io.BytesIO(data)
    suffix = name.rpartition(".")[2].lower()
    try:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as archive:
                entries = archive.infolist()
                if len(entries) > _MOST_ENTRIES:
                    raise ValueError(f"it holds {len(entries)} entries")
                if sum(entry.file_size for entry in entries) > MOST_BYTES:
                    raise ValueError(f"it unpacks to more than {MOST_BYTES >> 20} MB")
        stream.seek(0)
        state: Any
        if suffix == "npz":
            with np.load(stream, allow_pickle=False) as arrays:
                state = {key: torch.from_numpy(np.array(arrays[key])) for key in arrays.files}
        elif suffix == "safetensors" or is_safetensors(data):
            from safetensors.torch import load

            state = load(data)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about archives of TorchScript, refused below
                state = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:
        # The loaders' own words advise to switch their protection off; where they ran out of memory
        # this error's cause tells.
        raise UnsafeModel(
            f"{name} is refused: expected a file of plain tensors (.pth, .pt, .safetensors, .npz), "
            f"found a damaged one, or one that holds other things ({type(error).__name__}); "
            "download it again, or save net.state_dict() alone"
        ) from error
    state = _weights_in(state, name)
    if odd := next((k for k, v in state.items() if not _is_whole(v)), None):
        raise UnsafeModel(
            f"{name} is refused: expected tensors whose numbers are all in the file, found that "
            f"{odd[:60]!r} of {'x'.join(map(str, state[odd].shape))} is none"
        )
    if sum(v.numel() * v.element_size() for v in state.values()) > MOST_BYTES:
        raise UnsafeModel(f"{name} is refused: expected at most {MOST_BYTES >> 20} MB of tensors")
    state = _short_names(state)
    if any(_TRAINED.fullmatch(key) for key in state):
        # Arrays saved of a TensorFlow checkpoint may have the optimizer's beside them.
        state = {key: value for key, value in state.items() if _TRAINED.fullmatch(key)}
    return _plain_names(state)


def _weights_in(state: Any, name: str) -> dict[str, Tensor]:  # noqa: ANN401 - what a file holds
    """The tensors by name of what a checkpoint holds; raises UnsafeModel."""
    for _ in range(_DEEPEST):
        if not isinstance(state, dict) or not state:
            break
        if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
            return state
        state = _inner(state, name)
    raise UnsafeModel(
        f"{name} is refused: expected tensors by name, found "
        f"{'nothing' if state in ({}, [], ()) else f'a {type(state).__name__}'}; save "
        "net.state_dict() of the net that paints"
    )


def _inner(state: dict[Any, Any], name: str) -> Any:  # noqa: ANN401 - as above
    """The part of a checkpoint that holds the weights."""
    held = {k: v for k, v in state.items() if isinstance(k, str) and _holds_tensors(v)}
    for wrapper in _WRAPPERS:
        if wrapper in held:
            return held[wrapper]
    if len(held) == 1:
        return next(iter(held.values()))
    if len(held) > 1:
        raise UnsafeModel(
            f"{name} is refused: it holds several sets of weights ({_listed(held)}); save the one "
            f"that paints: {_SAVE_ONE}"
        )
    if "param_groups" in state:
        raise UnsafeModel(
            f"{name} is refused: it is the state of an optimizer, without the weights of the net; "
            "take the file beside it that holds the model's state_dict"
        )
    raise UnsafeModel(
        f"{name} is refused: expected tensors by name, found other things ({_listed(state)}); save "
        "net.state_dict() of the net that paints"
    )


def _holds_tensors(value: object, depth: int = _DEEPEST) -> bool:
    if not isinstance(value, dict) or not value or depth == 0 or "param_groups" in value:
        return False
    if all(isinstance(v, Tensor) for v in value.values()):
        return all(isinstance(k, str) for k in value)
    return any(_holds_tensors(inner, depth - 1) for inner in value.values())


def _listed(state: dict[Any, Any]) -> str:
    names = [str(key)[:40] for key in list(state)[:4]]
    return "".join(c if c.isprintable() else "?" for c in ", ".join(names))


def _short_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what stands before every name."""
    while ahead := next((a for a in _AHEAD if all(k.startswith(a) for k in state)), None):
        state = {key.removeprefix(ahead): value for key, value in state.items()}
    return {key.removeprefix("module."): value for key, value in state.items()}


def _is_whole(tensor: Tensor) -> bool:
    """Whether it holds every number that its shape promises, and at least one.

    A shape of no numbers has lengths that nothing stands for, and so has one that repeats the few
    there are (by strides of 0); either would make a net as large as whoever wrote it likes.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return False
    needed = tensor.numel() * tensor.element_size()
    return 0 < needed <= tensor.untyped_storage().nbytes()


def _plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removesuffix(":0"): value for key, value in state.items()}
