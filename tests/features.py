"""Feature nets with random weights, in each of the file kinds that load_features knows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

VGG19_BLOCKS = (2, 2, 4, 4, 4)
VGG16_BLOCKS = (2, 2, 3, 3, 3)


def _conv(state: dict[str, Tensor], key: str, inputs: int, outputs: int, kernel: int = 3) -> None:
    spread = (2 / (inputs * kernel * kernel)) ** 0.5
    state[f"{key}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * spread
    state[f"{key}.bias"] = torch.randn(outputs) * 0.1


def compressed_state(channels: int = 4) -> dict[str, Tensor]:
    """Keys as the 16x-compressed VGG-19 has them: conv0, conv11 ... conv51, conv11_aux ..."""
    torch.manual_seed(1)
    state: dict[str, Tensor] = {}
    _conv(state, "conv0", 3, 3, 1)
    inputs = 3
    for block, count in enumerate((2, 2, 4, 4, 1), start=1):
        for conv in range(1, count + 1):
            _conv(state, f"conv{block}{conv}", inputs, channels)
            inputs = channels
        _conv(state, f"conv{block}1_aux", channels, 2 * channels, 1)
    return state


def sequential_state(channels: int = 4) -> dict[str, Tensor]:
    """Keys as the full-width encoder up to relu3_1 has them: 0 (1x1), 2, 5, 9, 12, 16."""
    torch.manual_seed(2)
    state: dict[str, Tensor] = {}
    _conv(state, "0", 3, 3, 1)
    inputs = 3
    for number in (2, 5, 9, 12, 16):
        _conv(state, str(number), inputs, channels)
        inputs = channels
    return state


def torchvision_state(blocks: tuple[int, ...], channels: int = 4) -> dict[str, Tensor]:
    """Keys as torchvision numbers them: convolution, ReLU, ..., pool after each block."""
    torch.manual_seed(3)
    state: dict[str, Tensor] = {}
    number, inputs = 0, 3
    for count in blocks:
        for _ in range(count):
            _conv(state, f"features.{number}", inputs, channels)
            inputs, number = channels, number + 2
        number += 1
    state["classifier.0.weight"] = torch.zeros(2, 2)
    return state


def feature_file(folder: Path) -> Path:
    """A small compressed feature net on disk."""
    file = folder / "features.safetensors"
    save_file(compressed_state(), file)
    return file


def photo_folder(folder: Path, count: int = 8, side: int = 96) -> Path:
    """Random grainy pictures as JPEG files."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(5)
    for index in range(count):
        coarse = chance.integers(0, 256, size=(6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (side + 32, side), interpolation=cv2.INTER_CUBIC)
        grain = chance.normal(0, 12, picture.shape)
        grainy = np.clip(picture + grain, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:02d}.jpg"), grainy)
    return folder
