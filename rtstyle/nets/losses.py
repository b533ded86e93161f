"""Perceptual losses (Johnson et al., arXiv:1603.08155, section 3.2; Gatys et al., CVPR 2016).

Departure from both papers: content and style terms are divided by their target's energy. A weight
then means the same for every feature net, layer, width and painting, and a content loss of 1 says
that the photo's features are lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def gram_matrix(features: Tensor) -> Tensor:
    """``(N, C, H, W)`` -> ``(N, C, C)`` float32: inner products of channels over H * W."""
    n, c, h, w = features.shape
    flat = features.reshape(n, c, h * w)
    return (flat @ flat.transpose(1, 2)).float() / (h * w)


class ContentLoss(nn.Module):
    """Squared feature difference over the target's squared norm (section 3.2, equation 2)."""

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Two ``(N, C, H, W)`` -> scalar, 0 where equal, about 1 where unrelated."""
        target = target.float()
        return (features.float() - target).square().mean() / target.square().mean()


class StyleLoss(nn.Module):
    """Squared Gram difference over the target's squared norm, summed over layers (equation 4).

    ``targets`` maps layer names to the style picture's Gram matrices ``(1, C, C)``.
    """

    def __init__(self, targets: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.layers = tuple(targets)
        for layer, gram in targets.items():
            self.register_buffer(layer, gram.detach())

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """``{layer: (N, C, H, W)}`` -> scalar, 0 where every Gram matrix is the target's."""
        total = torch.zeros((), device=next(iter(features.values())).device)
        for layer in self.layers:
            target = self.get_buffer(layer)
            difference = gram_matrix(features[layer]) - target
            energy = target.square().sum()
            total = total + difference.square().sum(dim=(1, 2)).mean() / energy
        return total


class TotalVariationLoss(nn.Module):
    """Mean squared difference of neighbours (section 3.2), which quiets hatching in flat areas."""

    def forward(self, picture: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> scalar."""
        vertical = (picture[..., 1:, :] - picture[..., :-1, :]).square().mean()
        horizontal = (picture[..., :, 1:] - picture[..., :, :-1]).square().mean()
        return vertical + horizontal
