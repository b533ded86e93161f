"""Anime with its edges smoothed away (AnimeGAN's ``edge_smooth.py``; CartoonGAN, section 3.2).

The discriminator is shown it as not anime, so that clear edges become what it asks for. The
authors prepare a folder of such pictures; done on the crops it costs less than a millisecond, next
to a second for the iteration, so there is no folder to make, to keep or to forget to renew.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rtstyle.errors import OutputExists
from rtstyle.files import write_whole
from rtstyle.train.data import PhotoSet, read_photo
from rtstyle.train.record import as_png
from rtstyle.train.run_folder import check_apart, failures
from rtstyle.types import Pixels

_KERNEL = 5
_WEAK, _STRONG = 100, 200
"""Thresholds of Canny's hysteresis, on 0..255 luma gradients."""


def smooth_edges(picture: Pixels) -> Pixels:
    """uint8 ``(H, W, 3)`` RGB -> the same, blurred within 2 pixels of an edge and nowhere else."""
    picture = np.ascontiguousarray(picture)
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    edges = cv2.Canny(luma, _WEAK, _STRONG)
    near = cv2.dilate(edges, np.ones((_KERNEL, _KERNEL), np.uint8)) > 0
    blurred = cv2.GaussianBlur(picture, (_KERNEL, _KERNEL), 0, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(np.where(near[..., None], blurred, picture), dtype=np.uint8)


def smooth_folder(pictures: Path, output: Path) -> int:
    """Write every picture below ``pictures`` smoothed into ``output`` as PNG; how many there were.

    Raises InputError where there are fewer than 2 or one cannot be read, OutputExists where
    ``output`` holds anything already or lies in ``pictures`` itself, DiskFull, OutputNotWritable.
    """
    with failures(output):
        taken = output.exists() and any(output.iterdir())
    if taken:
        raise OutputExists(f"{output}: not empty; give another -o")
    check_apart(output, [pictures])
    found = PhotoSet.from_folder(pictures, held_aside=0).train
    for path in found:
        smooth = as_png(smooth_edges(read_photo(path)))
        # The suffix stays in the name: a.jpg and a.png may lie side by side.
        target = output / path.relative_to(pictures).with_name(f"{path.name}.png")
        with failures(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, smooth, overwrite=False)
    return len(found)
