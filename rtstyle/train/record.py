"""What a run leaves to look at: losses.csv, losses.png, and sheets of sample pictures."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from rtstyle.train.run_folder import RunFolder
from rtstyle.types import Pixels

LOSSES, CURVE = "losses.csv", "losses.png"
SHEETS = re.compile(r"samples-\d{6,}\.png")
"""Names that a record gives."""

Samples = Sequence[tuple[Pixels, ...]]
"""Of each photo: itself, then what was made of it, uint8 ``(H, W, 3)`` of one size."""

_TERMS = ("content", "style", "variation", "total")
_GAP = 6
_FIRST = ("iteration", "set")
"""Columns with which the table begins, whatever is trained."""


class TrainingRecord:
    """Appends to ``losses.csv`` and redraws the curve and the sheet at each validation.

    ``terms`` names the losses; one that is missing at an iteration leaves its cell empty.
    """

    def __init__(
        self, folder: RunFolder | Path, *, resumed_at: int = 0, terms: tuple[str, ...] = _TERMS
    ) -> None:
        """Rows after ``resumed_at`` are dropped. Raises OutputExists where the folder's table is
        no training's, DiskFull, OutputNotWritable."""
        if isinstance(folder, Path):
            folder = RunFolder(folder, ours=[LOSSES] if is_record(folder / LOSSES) else [])
        self.folder = folder
        self.columns = (*_FIRST, *terms)
        kept = [row for row in self.read() if int(row["iteration"]) <= resumed_at]
        titles = dict(zip(self.columns, self.columns, strict=True))
        folder.write(LOSSES, self._lines([titles, *kept]))

    def read(self) -> list[dict[str, str]]:
        """Every row so far; empty before the first."""
        file = self.folder.path / LOSSES
        if not is_record(file):
            return []
        with file.open(newline="") as opened:
            return list(csv.DictReader(opened))

    def _lines(self, rows: Iterable[Mapping[str, object]]) -> bytes:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns).writerows(rows)
        return text.getvalue().encode()

    def _append(self, iteration: int, which: str, losses: dict[str, float]) -> None:
        figures = {name: f"{value:.6g}" for name, value in losses.items()}
        row = {"iteration": iteration, "set": which, **figures}
        self.folder.append(LOSSES, self._lines([row]))

    def add(self, iteration: int, losses: dict[str, float]) -> None:
        """Note the losses of a training batch."""
        self._append(iteration, "train", losses)

    def validate(self, iteration: int, losses: dict[str, float], samples: Samples) -> None:
        """Note the losses on the photos held aside; draw ``losses.png`` and the sample sheet."""
        self._append(iteration, "held aside", losses)
        self.folder.write(f"samples-{iteration:06d}.png", as_png(sample_sheet(samples)))
        self.folder.write(CURVE, draw_losses(self.read()))


def is_record(file: Path) -> bool:
    """Whether a file is a table of losses that a training wrote, as its first line says."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.readline(1000).startswith(",".join(_FIRST).encode() + b",")


def sample_sheet(samples: Samples) -> Pixels:
    """Photos in the upper row, what was made of them below, on white."""
    height = max(row[0].shape[0] for row in samples)
    width = max(row[0].shape[1] for row in samples)
    rows = max(len(row) for row in samples)
    sheet = np.full(
        (rows * (height + _GAP) + _GAP, len(samples) * (width + _GAP) + _GAP, 3),
        255,
        dtype=np.uint8,
    )
    for column, pictures in enumerate(samples):
        left = _GAP + column * (width + _GAP)
        for row, picture in enumerate(pictures):
            top = _GAP + row * (height + _GAP)
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


def draw_losses(rows: list[dict[str, str]]) -> bytes:
    """A PNG file of every loss over iterations on a log scale: training smoothed, held-aside as
    points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    terms = [name for name in rows[0] if name not in ("iteration", "set")]
    for index, name in enumerate(terms):
        for which, marker in (("train", "-"), ("held aside", "o")):
            points = [
                (int(r["iteration"]), float(r[name])) for r in rows if r["set"] == which and r[name]
            ]
            if not points:
                continue
            x, y = np.array(points).T
            if which == "train":
                window = max(1, len(y) // 50)
                y = np.convolve(y, np.full(window, 1 / window), mode="valid")
                x = x[window - 1 :]
            label = name if which == "train" else None
            axes.plot(x, y, marker, color=f"C{index}", label=label, markersize=4)
    axes.set(xlabel="iteration", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110, format="png")
    pyplot.close(figure)
    return drawn.getvalue()


def as_png(picture: Pixels) -> bytes:
    """uint8 ``(H, W, 3)`` RGB as a PNG file."""
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    return encoded.tobytes()
