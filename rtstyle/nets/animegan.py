"""Generator and discriminator of AnimeGANv2 (Chen, Liu and Chen).

The paper is "AnimeGAN: A Novel Lightweight GAN for Photo Animation" (ISICA 2019); version 2 is
described by its code, github.com/TachibanaYoshino/AnimeGANv2 (``net/generator.py``,
``net/discriminator.py``). Names of weights and the maths are those of the PyTorch port,
github.com/bryandlee/animegan2-pytorch (``model.py``), so that its checkpoints load strictly.

Departures of version 2 from the paper: layer norm for instance norm, which keeps a picture's tone;
Down-Conv and Up-Conv are a strided convolution and bilinear upsampling before one, where the paper
adds up two branches; the depthwise separable convolution lives in the inverted residual block.
Ours from both: ``width`` and ``blocks`` make cheaper nets of the same blocks, and ``skip`` gives
detail a way past the middle (Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

SIZE_MULTIPLE = 4
"""Two halvings."""
SIZE_MINIMUM = 16
"""The 7x7 convolutions reflect 3 pixels, those at a quarter of the size 1."""
SLOPE = 0.2
"""Of the leaky ReLU below zero."""

_EXPANSION = 2
_WEIGHT_DEVIATION = 0.02


class LayerNorm(nn.GroupNorm):
    """Each picture to mean 0 and variance 1 over channels and places, scale and shift a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


class ConvBlock(nn.Sequential):
    """Reflection padding, convolution, layer norm, leaky ReLU: ``(N, inputs, H, W)`` -> outputs.

    ``padding`` is pixels on every side, or (left, right, top, bottom).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: int | tuple[int, int, int, int] | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__(
            nn.ReflectionPad2d(kernel // 2 if padding is None else padding),
            nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=bias),
            LayerNorm(outputs),
            nn.LeakyReLU(SLOPE),
        )


class DownConv(ConvBlock):
    """Halves height and width; pads right and below only, as TensorFlow's strided ones do."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, stride=2, padding=(0, 1, 0, 1))


class UpConv(ConvBlock):
    """Doubles height and width by bilinear interpolation, then a 3x3 ConvBlock."""

    def __init__(self, inputs: int, outputs: int, *, align_corners: bool) -> None:
        super().__init__(inputs, outputs)
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` -> ``(N, outputs, 2 H, 2 W)``."""
        x = functional.interpolate(
            x, scale_factor=2.0, mode="bilinear", align_corners=self.align_corners
        )
        for layer in self:
            x = layer(x)
        return x


class DSConv(nn.Sequential):
    """Depthwise 3x3 ConvBlock, then a linear 1x1 convolution and layer norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            ConvBlock(inputs, inputs, groups=inputs, bias=True),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            LayerNorm(outputs),
        )


class InvertedResBlock(nn.Module):
    """1x1 expansion by 2, DSConv, and the skip where the channels stay (Sandler et al., 2018)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        wide = _EXPANSION * inputs
        self.skips = inputs == outputs
        # The port counts the parts of the separable convolution on from the expansion.
        self.layers = nn.Sequential(ConvBlock(inputs, wide, 1), *DSConv(wide, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` -> ``(N, outputs, H, W)``."""
        changed: Tensor = self.layers(x)
        return x + changed if self.skips else changed


class AnimeGenerator(nn.Module):
    """RGB photo in, RGB anime picture out.

    ``width`` is the channels of the first layer (32: the published net, 2.1 M parameters, 92.4 G
    multiply-accumulates at 640x360; 16: a quarter of that). ``blocks`` is the number of inverted
    residual blocks.

    ``align_corners`` is how bilinear upsampling places its samples. False is the faster and the
    same at every place; checkpoints of the port were meant for True (its own default) where they
    come from torch.hub. No weight depends on it.

    ``skip`` adds the first features of the full and the half size to the last ones, and the photo
    to what the net draws, so that it has only lines, paint and grade to learn. The published net
    has to find the photo's tone and every edge again behind layer norms and a quarter of the size,
    which takes many times the iterations. No weight is added, and a new net gives the photo back.

    Raises ValueError for a shape that makes no net.
    """

    size_multiple = SIZE_MULTIPLE
    """Height and width must be multiples of this."""
    size_minimum = SIZE_MINIMUM
    """Height and width must be at least this."""

    def __init__(
        self,
        width: int = 32,
        blocks: int = 4,
        *,
        align_corners: bool = False,
        skip: bool = False,
    ) -> None:
        super().__init__()
        if min(width, blocks) < 1:
            raise ValueError(f"width and blocks must be >= 1, got {width} and {blocks}")
        self.width, self.align_corners, self.skip = width, align_corners, skip
        two, four, eight = 2 * width, 4 * width, 8 * width
        self.block_a = nn.Sequential(
            ConvBlock(3, width, 7), DownConv(width, two), ConvBlock(two, two)
        )
        self.block_b = nn.Sequential(DownConv(two, four), ConvBlock(four, four))
        self.block_c = nn.Sequential(
            ConvBlock(four, four),
            InvertedResBlock(four, eight),
            *(InvertedResBlock(eight, eight) for _ in range(blocks - 1)),
            ConvBlock(eight, four),
        )
        self.block_d = nn.Sequential(
            UpConv(four, four, align_corners=align_corners), ConvBlock(four, four)
        )
        self.block_e = nn.Sequential(
            UpConv(four, two, align_corners=align_corners),
            ConvBlock(two, two),
            ConvBlock(two, width, 7),
        )
        self.out_layer = nn.Sequential(nn.Conv2d(width, 3, 1, bias=False), nn.Tanh())
        self.apply(initialise)
        if skip:
            nn.init.zeros_(self.out_layer[0].weight)  # type: ignore[arg-type]

    @property
    def blocks(self) -> int:
        """Number of inverted residual blocks."""
        return len(self.block_c) - 2

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` RGB in [-1, 1] -> the same shape and range; with ``skip`` not clamped.

        H and W must be multiples of ``size_multiple`` and at least ``size_minimum``.
        """
        if self.skip:
            return x + self._past_the_middle(x)
        coarse = self.block_c(self.block_b(self.block_a(x)))
        drawn: Tensor = self.out_layer(self.block_e(self.block_d(coarse)))
        return drawn

    def _past_the_middle(self, x: Tensor) -> Tensor:
        """What is drawn, with the first features of a size repeated for its last, twice as many."""
        fine = self.block_a[0](x)
        half = self.block_a[1:](fine)
        up, *rest = self.block_e
        y = up(self.block_d(self.block_c(self.block_b(half))) + _twice(half))
        y = y + _twice(fine)
        for layer in rest:
            y = layer(y)
        drawn: Tensor = self.out_layer(y)
        return drawn


def _twice(x: Tensor) -> Tensor:
    # Not repeat, which compilers get as a Tile of unknown counts.
    return torch.cat([x, x], dim=1)


def initialise(module: nn.Module) -> None:
    """As TensorFlow's ``variance_scaling_initializer``: normal, variance 2 over the inputs."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class AnimeDiscriminator(nn.Module):
    """Is a patch real anime? Spectral norm on every convolution, no biases, zero padding.

    ``width`` 64 is the published one (``ch``; 1.13 M parameters), whose first layer has half as
    many channels. ``halvings`` is ``n_dis - 1``: each logit answers for a patch, of a grid of H and
    W over 2 to that power.
    """

    def __init__(self, width: int = 64, halvings: int = 2) -> None:
        super().__init__()
        if width < 2 or halvings < 1:
            raise ValueError(f"width must be >= 2 and halvings >= 1, got {width} and {halvings}")
        channels = width // 2
        inner: list[nn.Module] = [_spectral(3, channels), nn.LeakyReLU(SLOPE)]
        held = channels
        for _ in range(halvings):
            inner += [_spectral(held, 2 * channels, stride=2), nn.LeakyReLU(SLOPE)]
            inner += [_spectral(2 * channels, 4 * channels), LayerNorm(4 * channels)]
            inner += [nn.LeakyReLU(SLOPE)]
            held, channels = 4 * channels, 2 * channels
        inner += [_spectral(held, 2 * channels), LayerNorm(2 * channels), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*inner, _spectral(2 * channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` in [-1, 1], even H and W -> logits ``(N, 1, H/4, W/4)``, 1 for anime."""
        logits: Tensor = self.layers(x)
        return logits


def _spectral(inputs: int, outputs: int, *, stride: int = 1) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.normal_(std=_WEIGHT_DEVIATION)
    normed: nn.Module = spectral_norm(conv)
    return normed
