"""What a run leaves to look at: losses.csv, losses.png, and sheets of sample pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from rtstyle.types import Pixels

_COLUMNS = ("iteration", "set", "content", "style", "variation", "total")
_GAP = 6


class TrainingRecord:
    """Appends to ``losses.csv`` and redraws the curve and the sheet at each validation."""

    def __init__(self, folder: Path, *, resumed_at: int = 0) -> None:
        self.folder = folder
        self.file = folder / "losses.csv"
        kept = [row for row in self.read() if int(row["iteration"]) <= resumed_at]
        with self.file.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, _COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def read(self) -> list[dict[str, str]]:
        """Every row so far; empty before the first."""
        if not self.file.is_file():
            return []
        with self.file.open(newline="") as opened:
            return list(csv.DictReader(opened))

    def _append(self, iteration: int, which: str, losses: dict[str, float]) -> None:
        figures = {name: f"{value:.6g}" for name, value in losses.items()}
        with self.file.open("a", newline="") as opened:
            csv.DictWriter(opened, _COLUMNS).writerow(
                {"iteration": iteration, "set": which, **figures}
            )

    def add(self, iteration: int, losses: dict[str, float]) -> None:
        """Note the losses of a training batch."""
        self._append(iteration, "train", losses)

    def validate(
        self, iteration: int, losses: dict[str, float], samples: list[tuple[Pixels, Pixels]]
    ) -> None:
        """Note the losses on the photos held aside; draw ``losses.png`` and the sample sheet."""
        self._append(iteration, "held aside", losses)
        _write(self.folder / f"samples-{iteration:06d}.png", sample_sheet(samples))
        draw_losses(self.read(), self.folder / "losses.png")


def sample_sheet(samples: list[tuple[Pixels, Pixels]]) -> Pixels:
    """Photos in the upper row, stylized below, on white."""
    height, width = samples[0][0].shape[:2]
    sheet = np.full(
        (2 * height + 3 * _GAP, len(samples) * (width + _GAP) + _GAP, 3), 255, dtype=np.uint8
    )
    for column, pair in enumerate(samples):
        left = _GAP + column * (width + _GAP)
        for row, picture in enumerate(pair):
            top = _GAP + row * (height + _GAP)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def draw_losses(rows: list[dict[str, str]], file: Path) -> None:
    """Every loss over iterations on a log scale: training smoothed, held-aside as points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for index, name in enumerate(_COLUMNS[2:]):
        for which, marker in (("train", "-"), ("held aside", "o")):
            points = [(int(r["iteration"]), float(r[name])) for r in rows if r["set"] == which]
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
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _write(path: Path, picture: Pixels) -> None:
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    path.write_bytes(encoded.tobytes())
