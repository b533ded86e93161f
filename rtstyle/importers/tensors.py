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

MOST_BYTES = 256 * 2**20
"""What a file of at most 64 MB may unpack to."""
_WRAPPERS = ("state_dict", "generator", "model", "net", "params", "params_ema", "g")
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
        elif suffix == "safetensors":
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
            f"found a damaged one, or one that holds other things ({type(error).__name__})"
        ) from error
    if isinstance(state, dict):
        inner = next((state[k] for k in _WRAPPERS if isinstance(state.get(k), dict)), None)
        state = inner if inner is not None else state
    if not isinstance(state, dict) or not state:
        raise UnsafeModel(
            f"{name} is refused: expected tensors by name, found a {type(state).__name__}"
        )
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UnsafeModel(
            f"{name} is refused: expected tensors by name, found other things as well"
        )
    if odd := next((k for k, v in state.items() if not _is_whole(v)), None):
        raise UnsafeModel(
            f"{name} is refused: expected tensors whose numbers are all in the file, found that "
            f"{odd[:60]!r} of {'x'.join(map(str, state[odd].shape))} is none"
        )
    if sum(v.numel() * v.element_size() for v in state.values()) > MOST_BYTES:
        raise UnsafeModel(f"{name} is refused: expected at most {MOST_BYTES >> 20} MB of tensors")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    if any(_TRAINED.fullmatch(key) for key in state):
        # Arrays saved of a TensorFlow checkpoint may have the optimizer's beside them.
        state = {key: value for key, value in state.items() if _TRAINED.fullmatch(key)}
    return _plain_names(state)


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
