"""Weight files of others, read as plain tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtstyle.errors import ModelError


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file or a torch state dict (never unpickled freely).

    Raises ModelError where the file cannot be read or holds anything else.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{file}: cannot be read as weights ({type(error).__name__})") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{file}: not a state dict of tensors")
    return state
