"""The bundled anime styles, run as a user runs them: clean where a photo is, and no mere copy."""

from __future__ import annotations

import numpy as np
import pytest

from rtstyle.cli.sample import Scene
from rtstyle.pipeline import open_stylizer
from rtstyle.styles import bundled_styles
from rtstyle.types import Pixels, Size

STYLES = [spec.name for spec in bundled_styles() if spec.family == "animegan"]


def chroma(picture: Pixels) -> np.ndarray:
    """Distances of red and blue from green, averaged over blocks of 20x20."""
    levels = picture.astype(float)
    differences = levels[..., (0, 2)] - levels[..., 1:2]
    height, width = picture.shape[:2]
    blocks = differences.reshape(height // 20, 20, width // 20, 20, 2)
    return np.asarray(blocks.mean(axis=(1, 3)))


@pytest.mark.parametrize("style", STYLES)
def test_flat_frames_stay_flat_and_photos_are_painted_in_their_colours(style: str) -> None:
    """Fades, title cards and clear skies: what breaks into patterns there ruins a film."""
    size = Size(320, 180)
    scene = Scene(size, close_up=True).frame(1.0)
    flat = [np.full((180, 320, 3), level, np.uint8) for level in ((0, 0, 0), (90, 150, 220))]
    with open_stylizer(style, backend="onnxruntime") as stylizer:
        painted = stylizer(scene[None])[0]
        for frame in flat:
            result = stylizer(frame[None])[0].astype(float)
            assert result.std(axis=(0, 1)).max() < 2.0, "a pattern"
            assert np.abs(result.mean(axis=(0, 1)) - frame[0, 0]).max() < 60, "another colour"
    change = np.abs(painted.astype(float) - scene)
    assert 3 < change.mean() < 40
    assert np.abs(chroma(painted) - chroma(scene)).mean() < 25
    assert np.corrcoef(painted.mean(axis=2).ravel(), scene.mean(axis=2).ravel())[0, 1] > 0.9


def test_every_look_has_a_sibling_at_a_third_of_its_cost_or_less() -> None:
    costs = {spec.name: spec.measured["gmac_640x360"] for spec in bundled_styles()}
    looks = [name for name in STYLES if not name.endswith("-fast")]
    assert looks
    for look in looks:
        assert costs[f"{look}-fast"] * 3 <= costs[look]
