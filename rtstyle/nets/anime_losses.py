"""Losses of AnimeGAN (Chen, Liu and Chen, ISICA 2019, section 3.2), each on its own.

Numbers in brackets are the paper's equations; where version 2's code
(github.com/TachibanaYoshino/AnimeGANv2, ``tools/ops.py``) says more than the paper, it decides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtstyle.nets.losses import gram_matrix

SMOOTH_WEIGHT = 0.1
"""Of edge-smoothed anime among the discriminator's terms: more makes the edges too sharp (10)."""

_LUMA = (0.299, 0.587, 0.114)
_DETAIL_KERNEL = 5
_YUV = (
    _LUMA,
    (-0.14714119, -0.28886916, 0.43601035),
    (0.61497538, -0.51496512, -0.10001026),
)
"""BT.601 with analogue scales, as ``tf.image.rgb_to_yuv`` has it."""


def to_grey(pictures: Tensor) -> Tensor:
    """RGB ``(N, 3, H, W)`` -> its BT.601 luma in three equal channels, in the same range."""
    weights = pictures.new_tensor(_LUMA)[:, None, None]
    return (pictures * weights).sum(dim=1, keepdim=True).expand_as(pictures)


def to_yuv(pictures: Tensor) -> Tensor:
    """RGB ``(N, 3, H, W)`` in [0, 1] -> Y in [0, 1], U and V around 0, the same shape."""
    matrix = pictures.new_tensor(_YUV)[:, :, None, None]
    return functional.conv2d(pictures, matrix)


class GeneratorAdversarialLoss(nn.Module):
    """Least squares: the discriminator should take what was generated for anime (6)."""

    def forward(self, generated: Tensor) -> Tensor:
        """Logits ``(N, 1, H, W)`` -> scalar, 0 where all are 1."""
        return (generated.float() - 1).square().mean()


class DiscriminatorLoss(nn.Module):
    """Least squares over four kinds of picture (10): 1 for anime, 0 for the other three.

    Grey anime keeps the generator from grey pictures; edge-smoothed anime makes it draw edges.
    """

    def __init__(self, smooth_weight: float = SMOOTH_WEIGHT) -> None:
        super().__init__()
        self.smooth_weight = smooth_weight

    def forward(self, anime: Tensor, generated: Tensor, grey: Tensor, smooth: Tensor) -> Tensor:
        """Logits ``(N, 1, H, W)`` of each kind -> scalar, 0 where every one is right."""
        return (
            (anime.float() - 1).square().mean()
            + generated.float().square().mean()
            + grey.float().square().mean()
            + self.smooth_weight * smooth.float().square().mean()
        )


class FeatureL1Loss(nn.Module):
    """Content: mean absolute difference of the features of photo and generated picture (7)."""

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Two ``(N, C, H, W)`` -> scalar."""
        return (features.float() - target.float()).abs().mean()


class GreyStyleLoss(nn.Module):
    """Mean absolute difference of Gram matrices over C, against those of grey anime (8).

    The anime is grey so that its texture is learned and its colours are not.
    """

    def forward(self, features: Tensor, grey_anime: Tensor) -> Tensor:
        """Features ``(N, C, H, W)`` of both, paired by their place in the batch -> scalar."""
        channels = features.shape[1]
        difference = gram_matrix(features.float()) - gram_matrix(grey_anime.float())
        return difference.abs().mean() / channels


class ColourLoss(nn.Module):
    """Colour reconstruction: L1 on Y, Huber (delta 1) on U and V (9)."""

    def forward(self, generated: Tensor, photos: Tensor) -> Tensor:
        """Two RGB ``(N, 3, H, W)`` in [0, 1] -> scalar."""
        ours, theirs = to_yuv(generated.float()), to_yuv(photos.float())
        luma = functional.l1_loss(ours[:, 0], theirs[:, 0])
        blue = functional.huber_loss(ours[:, 1], theirs[:, 1])
        red = functional.huber_loss(ours[:, 2], theirs[:, 2])
        return luma + blue + red


class DetailLoss(nn.Module):
    """Mean absolute difference of what a 5x5 mean takes away: lines and edges, and no tone.

    Not of the paper: plain L1 is content with blur.
    """

    def forward(self, pictures: Tensor, target: Tensor) -> Tensor:
        """Two ``(N, C, H, W)`` -> scalar."""
        difference = pictures.float() - target.float()
        margin = _DETAIL_KERNEL // 2
        padded = functional.pad(difference, (margin,) * 4, mode="reflect")
        coarse = functional.avg_pool2d(padded, _DETAIL_KERNEL, stride=1)
        return torch.abs(difference - coarse).mean()
