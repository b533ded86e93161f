"""Nets as compilers like them: the same maths from parts that they fuse."""

from __future__ import annotations

import copy

from torch import Tensor, nn


class SignedEnds(nn.Module):
    """A net of pictures in [-1, 1] as one of pictures in [0, 1]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` in [0, 1] -> the same shape and range."""
        y: Tensor = self.net(x * 2 - 1)
        return y * 0.5 + 0.5


class SpelledLayerNorm(nn.Module):
    """Group norm of one group as means over channels and places.

    Exported as torch exports group norm it becomes Reshape, InstanceNormalization, Reshape, and
    OpenVINO changes the layout before and after each. Means it fuses into one operator in place.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight = nn.Parameter(norm.weight.detach()[:, None, None], requires_grad=False)
        self.bias = nn.Parameter(norm.bias.detach()[:, None, None], requires_grad=False)
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> the same shape."""
        centred = x - x.mean((1, 2, 3), keepdim=True)
        variance = (centred * centred).mean((1, 2, 3), keepdim=True)
        return centred / (variance + self.eps).sqrt() * self.weight + self.bias


def spelled_out(net: nn.Module) -> nn.Module:
    """A copy of ``net`` with its layer norms (group norms of one group) spelled out."""
    copied = copy.deepcopy(net)
    for name, module in list(copied.named_modules()):
        if isinstance(module, nn.GroupNorm) and module.num_groups == 1 and module.affine:
            parent, _, own = name.rpartition(".")
            setattr(copied.get_submodule(parent), own, SpelledLayerNorm(module))
    return copied
