"""The end of training: the checkpoint becomes a pack."""

from __future__ import annotations

from pathlib import Path

from rtstyle.export import PackCard, Parity, export_pack
from rtstyle.nets.johnson import SIZE_MINIMUM, SIZE_MULTIPLE
from rtstyle.styles import SizeRule, StyleSpec
from rtstyle.train.checkpoint import load_net
from rtstyle.train.data import PhotoSet, read_photo, resize_short_side

_PARITY_PHOTOS = 6
_PARITY_SIDE = 288


def johnson_pack(
    checkpoint: Path, output: Path, card: PackCard, *, photos: Path, overwrite: bool = False
) -> tuple[StyleSpec, Parity]:
    """Export a Johnson checkpoint (file or folder) as the pack folder ``output``.

    ``photos`` is a folder; some of its pictures, at a short side of 288, prove the parity.
    Raises UnknownStyle or ModelError for a checkpoint that cannot be used, ModelError where
    parity fails, InputError where there are no photos, OutputExists unless ``overwrite``.
    """
    net = load_net(checkpoint)
    chosen = PhotoSet.from_folder(photos).held_aside[:_PARITY_PHOTOS]
    pictures = [resize_short_side(read_photo(path), _PARITY_SIDE) for path in chosen]
    rule = SizeRule(minimum=SIZE_MINIMUM, multiple_of=SIZE_MULTIPLE)
    return export_pack(net, output, card, rule=rule, photos=pictures, overwrite=overwrite)
