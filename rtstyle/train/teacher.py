"""Pictures that another generator makes of photos: rendered once, then read from disk.

A teacher is the slowest net of a distillation and gives the same picture each time, so that a
picture is rendered when it is first asked for and kept as PNG.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rtstyle.errors import UsageError
from rtstyle.files import read_regular, write_whole
from rtstyle.nets.cartoongan import load_cartoongan
from rtstyle.train.checkpoint import WEIGHTS, is_checkpoint, load_generator
from rtstyle.train.loop import as_batch, as_pictures
from rtstyle.train.record import as_png
from rtstyle.train.run_folder import failures
from rtstyle.train.tone import LINES, Grade, with_tone
from rtstyle.types import Pixels

Tone = Literal["photo", "teacher"]

_MARGIN = 32
"""Pixels reflected around a photo and cut off again: zero-padded nets leave stripes at borders."""
_MULTIPLE = 16
"""Of both sides with the margin; more than any known teacher needs."""
_MOST_BYTES = 2**28
"""No picture of a teacher is larger."""


def check_teaching(tone: str, photo_limit: int | None) -> None:
    """Raises UsageError for a tone that is none, or for a limit that leaves no photo."""
    if tone not in get_args(Tone):
        raise UsageError(f"--tone must be one of {get_args(Tone)}, not {tone!r}")
    if photo_limit is not None and photo_limit < 1:
        raise UsageError("--photo-limit must be at least 1")


class Teacher:
    """Renders photos with a CartoonGAN generator or one of our own checkpoints.

    ``weights`` is a file, or the folder of a run; ``cache`` a folder of pictures that several runs
    may share: a picture is named by what it was made from. ``tone`` is where the targets' coarse
    colours come from: ``photo`` keeps the photo's and takes only lines and texture from the
    teacher (see with_tone), times ``lines``. ``grade`` is applied to the targets. Raises
    UnknownStyle or ModelError for weights that cannot be used.
    """

    def __init__(
        self,
        weights: Path,
        cache: Path,
        *,
        tone: Tone = "photo",
        grade: Grade | None = None,
        lines: float = LINES,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        self.grade, self.lines = grade or Grade(), lines
        self.tone, self.device, self.precision, self.cache = tone, device, precision, cache
        file = weights / WEIGHTS if os.path.isdir(weights) else weights
        net = load_generator(file) if is_checkpoint(file) else load_cartoongan(file)
        self.net: nn.Module = net.eval().requires_grad_(False)
        self.net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.digest = hashlib.sha256(file.read_bytes()).hexdigest()
        with failures(cache):
            cache.mkdir(parents=True, exist_ok=True)

    def __call__(self, photos: Pixels) -> Pixels:
        """uint8 ``(N, H, W, 3)`` RGB -> the targets, the same shape."""
        return np.stack([self._target(photo) for photo in photos])

    def _target(self, photo: Pixels) -> Pixels:
        file = self.cache / f"{self._name(photo)}.png"
        rendered = _read(file, photo.shape)
        if rendered is None:
            rendered = self._render(photo)
            _write(file, rendered)
        if self.tone == "teacher":
            return self.grade(rendered)
        return with_tone(rendered, photo, self.grade, lines=self.lines)

    def _name(self, photo: Pixels) -> str:
        """Of the photo's pixels and the weights; not the device, whose rounding nobody sees."""
        digest = hashlib.sha256(self.digest.encode())
        digest.update(str((photo.shape, _MARGIN)).encode())
        digest.update(np.ascontiguousarray(photo).tobytes())
        return digest.hexdigest()[:32]

    @torch.no_grad()
    def _render(self, photo: Pixels) -> Pixels:
        height, width = photo.shape[:2]
        below, right = (_MARGIN + -side % _MULTIPLE for side in (height, width))
        batch = as_batch(photo[None], self.device) * 2 - 1
        padded = functional.pad(batch, (_MARGIN, right, _MARGIN, below), mode="reflect")
        enabled = self.precision == "bf16"
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=enabled):
            drawn = self.net(padded)
        cut = drawn[..., _MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]
        return np.asarray(as_pictures(cut.float() * 0.5 + 0.5)[0], dtype=np.uint8)


def _read(file: Path, shape: tuple[int, ...]) -> Pixels | None:
    """The kept picture; None where there is none, or a damaged one."""
    try:
        data = read_regular(file, _MOST_BYTES)
    except OSError:
        return None
    # Typed as never None, which it is for what OpenCV cannot read.
    found: Pixels | None = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None  # type: ignore[assignment]
    )
    if found is None or found.shape != shape:
        return None
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _write(file: Path, picture: Pixels) -> None:
    # Runs that share a cache may draw the same picture at the same time.
    with failures(file):
        write_whole(file, as_png(picture), overwrite=True, follow=False)
