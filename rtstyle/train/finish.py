"""The end of training: the checkpoint becomes a pack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from rtstyle.export import PackCard, Parity, export_pack
from rtstyle.nets.johnson import SIZE_MINIMUM, SIZE_MULTIPLE, JohnsonNet
from rtstyle.styles import SizeRule, StyleSpec
from rtstyle.train.checkpoint import Generator, StyleNet, load_any
from rtstyle.train.data import PhotoSet, read_photo, resize_short_side

_PARITY_PHOTOS = 6
_PARITY_SIDE = 288


class UnitRange(nn.Module):
    """A generator of pictures in [-1, 1] as a net of pictures in [0, 1]."""

    def __init__(self, net: Generator) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` RGB in [0, 1] -> the same shape and range."""
        y: Tensor = self.net(x * 2 - 1)
        return y * 0.5 + 0.5


def checkpoint_pack(
    checkpoint: Path, output: Path, card: PackCard, *, photos: Path, overwrite: bool = False
) -> tuple[StyleSpec, Parity]:
    """Export a checkpoint (file or folder) as the pack folder ``output``.

    The net says to which family the pack belongs, whatever ``card`` says. ``photos`` is a folder;
    some of its pictures, at a short side of 288, prove the parity. Raises UnknownStyle or
    ModelError for a checkpoint that cannot be used, ModelError where parity fails, InputError
    where there are no photos, OutputExists unless ``overwrite``.
    """
    family, net, rule = exported_net(load_any(checkpoint))
    chosen = PhotoSet.from_folder(photos).held_aside[:_PARITY_PHOTOS]
    pictures = [resize_short_side(read_photo(path), _PARITY_SIDE) for path in chosen]
    card = replace(card, family=family)
    return export_pack(net, output, card, rule=rule, photos=pictures, overwrite=overwrite)


def exported_net(net: StyleNet) -> tuple[str, nn.Module, SizeRule]:
    """What is exported of a net: its family, a net of pictures in [0, 1], and its size rule."""
    if not isinstance(net, JohnsonNet):
        rule = SizeRule(minimum=net.size_minimum, multiple_of=net.size_multiple)
        return "animegan", UnitRange(net), rule
    return "johnson", net, SizeRule(minimum=SIZE_MINIMUM, multiple_of=SIZE_MULTIPLE)
