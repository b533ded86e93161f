"""Published generators as plain formulas over their state dicts, and the names in those dicts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

_ANIMEGAN_BLOCKS = {
    "block_a.0": (3, 32, 7),
    "block_a.1": (32, 64, 3),
    "block_a.2": (64, 64, 3),
    "block_b.0": (64, 128, 3),
    "block_b.1": (128, 128, 3),
    "block_c.0": (128, 128, 3),
    "block_c.5": (256, 128, 3),
    "block_d.0": (128, 128, 3),
    "block_d.1": (128, 128, 3),
    "block_e.0": (128, 64, 3),
    "block_e.1": (64, 64, 3),
    "block_e.2": (64, 32, 7),
}
_ANIMEGAN_RESIDUAL = {"1": (128, 256), "2": (256, 256), "3": (256, 256), "4": (256, 256)}


def _numbers(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        spread = torch.randn(shape, generator=chance)
        # About as large as trained ones: kernels keep the variance, scales are near one.
        inputs = spread[0].numel()
        state[name] = spread / inputs**0.5 if len(shape) == 4 else 0.1 * spread
        if len(shape) == 1 and name.endswith(("weight", "scale")):
            state[name] = 1 + 0.2 * spread
    return state


def animegan_state(seed: int = 0) -> dict[str, Tensor]:
    """Made-up weights under every name of github.com/bryandlee/animegan2-pytorch, in its shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs, kernel) in _ANIMEGAN_BLOCKS.items():
        shapes[f"{name}.1.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{name}.2.weight"] = shapes[f"{name}.2.bias"] = (outputs,)
    for number, (inputs, outputs) in _ANIMEGAN_RESIDUAL.items():
        name, wide = f"block_c.{number}.layers", 2 * inputs
        shapes[f"{name}.0.1.weight"] = (wide, inputs, 1, 1)
        shapes[f"{name}.0.2.weight"] = shapes[f"{name}.0.2.bias"] = (wide,)
        shapes[f"{name}.1.1.weight"] = (wide, 1, 3, 3)
        shapes[f"{name}.1.1.bias"] = (wide,)
        shapes[f"{name}.1.2.weight"] = shapes[f"{name}.1.2.bias"] = (wide,)
        shapes[f"{name}.2.weight"] = (outputs, wide, 1, 1)
        shapes[f"{name}.3.weight"] = shapes[f"{name}.3.bias"] = (outputs,)
    shapes["out_layer.0.weight"] = (3, 32, 1, 1)
    return _numbers(shapes, seed)


def normalised(
    x: Tensor, weight: Tensor, bias: Tensor, dims: tuple[int, ...], eps: float
) -> Tensor:
    """``(N, C, H, W)`` to mean 0 and variance 1 over ``dims``, then weight and bias a channel."""
    mean = x.mean(dims, keepdim=True)
    variance = (x - mean).pow(2).mean(dims, keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * weight[:, None, None] + bias[:, None, None]


def animegan_painting(state: Mapping[str, Tensor], x: Tensor, *, align_corners: bool) -> Tensor:
    """What the port's net of these weights makes of ``(N, 3, H, W)`` in [-1, 1]."""

    def norm(x: Tensor, name: str) -> Tensor:
        return normalised(x, state[f"{name}.weight"], state[f"{name}.bias"], (1, 2, 3), 1e-5)

    def rectified(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    def block(x: Tensor, name: str, *, halves: bool = False) -> Tensor:
        weight = state[f"{name}.1.weight"]
        edge = weight.shape[-1] // 2
        sides = (0, 1, 0, 1) if halves else (edge, edge, edge, edge)
        padded = functional.pad(x, sides, mode="reflect")
        separate = weight.shape[1] == 1
        bias = state.get(f"{name}.1.bias")
        groups = x.shape[1] if separate else 1
        convolved = functional.conv2d(padded, weight, bias, stride=1 + halves, groups=groups)
        return rectified(norm(convolved, f"{name}.2"))

    def residual(x: Tensor, name: str) -> Tensor:
        y = block(block(x, f"{name}.layers.0"), f"{name}.layers.1")
        y = norm(functional.conv2d(y, state[f"{name}.layers.2.weight"]), f"{name}.layers.3")
        return x + y if x.shape == y.shape else y

    def doubled(x: Tensor, size: tuple[int, int]) -> Tensor:
        return functional.interpolate(x, size, mode="bilinear", align_corners=align_corners)

    height, width = x.shape[-2:]
    y = block(block(block(x, "block_a.0"), "block_a.1", halves=True), "block_a.2")
    y = block(block(y, "block_b.0", halves=True), "block_b.1")
    y = block(y, "block_c.0")
    for number in _ANIMEGAN_RESIDUAL:
        y = residual(y, f"block_c.{number}")
    y = doubled(block(y, "block_c.5"), (height // 2, width // 2))
    y = doubled(block(block(y, "block_d.0"), "block_d.1"), (height, width))
    for name in ("block_e.0", "block_e.1", "block_e.2"):
        y = block(y, name)
    return functional.conv2d(y, state["out_layer.0.weight"]).tanh()


_CARTOONGAN_CONVS = {
    "conv01_1": (64, 3, 7, 7),
    "conv02_1": (128, 64, 3, 3),
    "conv02_2": (128, 128, 3, 3),
    "conv03_1": (256, 128, 3, 3),
    "conv03_2": (256, 256, 3, 3),
    **{f"conv{k:02}_{part}": (256, 256, 3, 3) for k in range(4, 12) for part in (1, 2)},
    "deconv01_1": (256, 128, 3, 3),
    "deconv01_2": (128, 128, 3, 3),
    "deconv02_1": (128, 64, 3, 3),
    "deconv02_2": (64, 64, 3, 3),
    "deconv03_1": (3, 64, 7, 7),
}
_CARTOONGAN_NORMS = {
    "in01_1": 64,
    "in02_1": 128,
    "in03_1": 256,
    **{f"in{k:02}_{part}": 256 for k in range(4, 12) for part in (1, 2)},
    "in12_1": 128,
    "in13_1": 64,
}


def cartoongan_state(seed: int = 0) -> dict[str, Tensor]:
    """Made-up weights under every name of CartoonGAN's published generators, in their shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in _CARTOONGAN_CONVS.items():
        shapes[f"{name}.weight"] = shape
        transposed = name in ("deconv01_1", "deconv02_1")
        shapes[f"{name}.bias"] = (shape[1] if transposed else shape[0],)
    for name, channels in _CARTOONGAN_NORMS.items():
        shapes[f"{name}.scale"] = shapes[f"{name}.shift"] = (channels,)
    return _numbers(shapes, seed)


def cartoongan_painting(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """What the published net of these weights makes of ``(N, 3, H, W)`` in [-1, 1]."""

    def conv(x: Tensor, name: str, *, stride: int = 1, reflect: int = 0) -> Tensor:
        if reflect:
            x = functional.pad(x, (reflect,) * 4, mode="reflect")
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.conv2d(x, weight, bias, stride=stride, padding=0 if reflect else 1)

    def doubled(x: Tensor, name: str) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        n, c, h, w = x.shape
        # Zeros between the pixels and behind them, then the kernel turned round.
        spread = x.new_zeros(n, c, 2 * h + 2, 2 * w + 2)
        spread[..., 1 : 2 * h + 1 : 2, 1 : 2 * w + 1 : 2] = x
        return functional.conv2d(spread, weight.flip(2, 3).transpose(0, 1), bias)

    def norm(x: Tensor, name: str) -> Tensor:
        return normalised(x, state[f"{name}.scale"], state[f"{name}.shift"], (2, 3), 1e-9)

    y = norm(conv(x, "conv01_1", reflect=3), "in01_1").relu()
    for k in ("02", "03"):
        y = conv(conv(y, f"conv{k}_1", stride=2), f"conv{k}_2")
        y = norm(y, f"in{k}_1").relu()
    for number in range(4, 12):
        k = f"{number:02}"
        inner = norm(conv(y, f"conv{k}_1", reflect=1), f"in{k}_1").relu()
        y = y + norm(conv(inner, f"conv{k}_2", reflect=1), f"in{k}_2")
    for k, last in (("01", "in12_1"), ("02", "in13_1")):
        y = norm(conv(doubled(y, f"deconv{k}_1"), f"deconv{k}_2"), last).relu()
    return conv(y, "deconv03_1", reflect=3).tanh()
