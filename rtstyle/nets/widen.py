"""Function-preserving widening of a trained net (Net2WiderNet: Chen et al., arXiv:1511.05641).

A wide net that begins as the narrow one needs a fraction of the iterations of one that begins at
random.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtstyle.nets.johnson import JohnsonNet

_NOISE = 0.02
"""Of each kernel's standard deviation: copies must differ, or they learn the same for ever."""


def widen(net: JohnsonNet, width: int, *, noise: float = _NOISE) -> JohnsonNet:
    """A net of ``width`` that computes what ``net`` computes, up to the noise.

    Copies of a channel pass their norm with the same statistics, so sharing the following kernel
    among the copies keeps the sum. Raises ValueError where ``width`` is no multiple of the net's.
    """
    if width < net.width or width % net.width:
        raise ValueError(f"cannot widen {net.width} channels to {width}: not a multiple")
    factor = width // net.width
    wide = JohnsonNet(width, len(net.residual))
    narrow_layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.InstanceNorm2d)]
    wide_layers = [m for m in wide.modules() if isinstance(m, nn.Conv2d | nn.InstanceNorm2d)]
    with torch.no_grad():
        for old, new in zip(narrow_layers, wide_layers, strict=True):
            grown = new.weight.shape[0] // old.weight.shape[0]
            assert new.bias is not None and old.bias is not None, "every layer of ours has one"
            new.bias.copy_(old.bias.repeat(grown))
            if isinstance(old, nn.Conv2d):
                new.weight.copy_(_widen_kernel(old.weight, grown, factor, noise))
            else:
                new.weight.copy_(old.weight.repeat(grown))
    return wide


def _widen_kernel(kernel: Tensor, grown: int, factor: int, noise: float) -> Tensor:
    inputs = 1 if kernel.shape[1] == 3 else factor
    repeated = kernel.repeat(grown, inputs, 1, 1) / inputs
    return repeated + torch.randn_like(repeated) * repeated.std() * noise
