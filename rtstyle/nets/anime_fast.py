"""A light generator of anime pictures, for films and cameras on a processor.

AnimeGANv2's blocks (see ``animegan``) in another order: space to depth in front and depth to space
behind (Shi et al., CVPR 2016), residual blocks at a quarter of the size, a skip past them at half
of it (Ronneberger et al., MICCAI 2015), and the photo added to what is drawn. Detail finds its way
past the middle: AnimeGANv2's own net behind a fold has 64 channels for 192 values there, and never
learned a line.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from rtstyle.nets.animegan import ConvBlock, DownConv, LayerNorm, UpConv, initialise

_FOLD = 2


class ResBlock(nn.Module):
    """Two 3x3 convolutions with layer norm, and the skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvBlock(channels, channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            LayerNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` -> the same shape."""
        changed: Tensor = self.layers(x)
        return x + changed


class FastAnimeGenerator(nn.Module):
    """RGB photo in, RGB anime picture out.

    ``width`` is the channels at half the size (32: 0.3 M parameters, 6.3 G multiply-accumulates at
    640x360 with 4 ``blocks``, a fifteenth of AnimeGenerator's). A new net gives the photo back.
    Raises ValueError for a shape that makes no net.
    """

    size_multiple = 2 * _FOLD
    """Height and width must be multiples of this."""
    size_minimum = 4 * _FOLD
    """Height and width must be at least this."""
    skip = True
    """Detail has a way past the middle."""

    def __init__(self, width: int = 32, blocks: int = 4) -> None:
        super().__init__()
        if min(width, blocks) < 1:
            raise ValueError(f"width and blocks must be >= 1, got {width} and {blocks}")
        self.width = width
        colours, two = 3 * _FOLD**2, 2 * width
        self.stem = ConvBlock(colours, width)
        self.down = DownConv(width, two)
        self.body = nn.Sequential(*(ResBlock(two) for _ in range(blocks)))
        self.up = UpConv(two, width, align_corners=False)
        self.tail = ConvBlock(width, width)
        self.out_layer = nn.Sequential(nn.Conv2d(width, colours, 1, bias=False), nn.Tanh())
        self.apply(initialise)
        nn.init.zeros_(self.out_layer[0].weight)  # type: ignore[arg-type]

    @property
    def blocks(self) -> int:
        """Number of residual blocks."""
        return len(self.body)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` RGB in [-1, 1] -> the same shape; not clamped to that range.

        H and W must be multiples of ``size_multiple`` and at least ``size_minimum``.
        """
        fine = self.stem(functional.pixel_unshuffle(x, _FOLD))
        drawn = self.tail(fine + self.up(self.body(self.down(fine))))
        return x + functional.pixel_shuffle(self.out_layer(drawn), _FOLD)
