"""The generator's loss in AnimeGAN's training: five terms and their weighted sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from rtstyle.nets.anime_losses import (
    ColourLoss,
    FeatureL1Loss,
    GeneratorAdversarialLoss,
    GreyStyleLoss,
)
from rtstyle.nets.losses import TotalVariationLoss
from rtstyle.nets.vgg import VggFeatures

_ACTIVATION = 200.0
"""Mean magnitude to which features are scaled, our choice. Chen et al.'s weights were chosen for
Caffe's VGG-19 on pictures of 0..255, which answers with hundreds; copies made for [0, 1] answer
with about 1, and with the same weights the adversarial term would drown content and style."""


class Weights(Protocol):
    """What the loss reads of a training's settings."""

    @property
    def layer(self) -> str:
        """Of the feature net, for content and style."""

    @property
    def adversarial_weight(self) -> float:
        """Of looking like anime to the discriminator."""

    @property
    def content_weight(self) -> float:
        """Of keeping what the photo shows."""

    @property
    def style_weight(self) -> float:
        """Of the texture of grey anime."""

    @property
    def colour_weight(self) -> float:
        """Of the photo's colours."""

    @property
    def variation_weight(self) -> float:
        """Of smoothness."""


@dataclass(frozen=True, slots=True)
class Photos:
    """A batch ``(N, 3, H, W)`` in [0, 1] as the generator sees it, and as its colours should be."""

    shown: Tensor
    graded: Tensor


class AnimeLoss(nn.Module):
    """Content, style, colour, variation and adversarial loss (section 3.2, equation 3).

    ``photos`` ``(N, 3, H, W)`` in [0, 1] set the scale of the features, so that weights mean the
    same for every feature net.
    """

    def __init__(self, settings: Weights, features: VggFeatures, photos: Tensor) -> None:
        super().__init__()
        self.settings = settings
        self.features = features
        with torch.no_grad():
            magnitude = features(photos, [settings.layer])[settings.layer].abs().mean()
        self.register_buffer("scale", _ACTIVATION / magnitude.clamp_min(1e-6))
        self.content = FeatureL1Loss()
        self.style = GreyStyleLoss()
        self.colour = ColourLoss()
        self.variation = TotalVariationLoss()
        self.adversarial = GeneratorAdversarialLoss()

    def taps(self, pictures: Tensor) -> Tensor:
        """``(N, 3, H, W)`` in [0, 1] -> float32 ``(N, C, H/8, W/8)`` of the scaled layer."""
        layer = self.settings.layer
        tapped: Tensor = self.features(pictures, [layer])[layer]
        return tapped.float() * self.get_buffer("scale")

    def pretraining(self, generated: Tensor, photos: Tensor) -> dict[str, Tensor]:
        """Content alone (section 3.3): two pictures in [0, 1] -> ``content`` and ``total``."""
        with torch.no_grad():
            wanted = self.taps(photos)
        content = self.content(self.taps(generated), wanted)
        return {"content": content, "total": self.settings.content_weight * content}

    def forward(
        self, generated: Tensor, photos: Photos, grey_anime: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        """Pictures ``(N, 3, H, W)`` in [0, 1] and the discriminator's logits of ``generated`` ->
        the terms and their weighted ``total``.
        """
        settings = self.settings
        with torch.no_grad():
            wanted, texture = self.taps(photos.shown), self.taps(grey_anime)
        got = self.taps(generated)
        # A Gram matrix or a colour of bfloat16 has too few digits to be compared.
        with torch.autocast(generated.device.type, enabled=False):
            terms = {
                "content": self.content(got, wanted),
                "style": self.style(got, texture),
                "colour": self.colour(generated, photos.graded),
                "variation": self.variation(generated),
                "adversarial": self.adversarial(logits),
            }
        total = (
            settings.content_weight * terms["content"]
            + settings.style_weight * terms["style"]
            + settings.colour_weight * terms["colour"]
            + settings.variation_weight * terms["variation"]
            + settings.adversarial_weight * terms["adversarial"]
        )
        return {**terms, "total": total}
