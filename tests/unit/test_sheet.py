from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rtstyle.cli.canvas import Canvas, curve, noise_tile
from rtstyle.cli.sample import SOUND_RATE, Scene, sample_frames, sample_sound
from rtstyle.cli.scenery import Strip
from rtstyle.cli.sheet import Cell, before_after, draw_sheet
from rtstyle.types import Pixels, Size


def plain(colour: tuple[int, int, int], height: int = 40, width: int = 60) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def test_before_stands_left_and_after_right_with_a_line_between() -> None:
    joined = before_after(plain((200, 0, 0), 90, 120), plain((0, 0, 200), 90, 120))
    assert joined.shape == (90, 244, 3)
    assert (joined[:40, :120] == (200, 0, 0)).all()
    assert (joined[:40, 124:] == (0, 0, 200)).all()
    assert (joined[:, 120:124] == 255).all()


def test_both_halves_carry_a_label_in_their_lower_left_corner() -> None:
    before, after = plain((200, 0, 0), 180, 320), plain((0, 0, 200), 180, 320)
    joined = before_after(before, after)
    for half, colour in ((joined[:, :320], (200, 0, 0)), (joined[:, 324:], (0, 0, 200))):
        changed = (half != colour).any(axis=2)
        rows, columns = np.nonzero(changed)
        assert rows.size > 100
        assert rows.min() > 90
        assert columns.max() < 160


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        before_after(plain((0, 0, 0)), plain((0, 0, 0), 41))


def colours_of(sheet: Pixels, colours: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Middle row and column of each colour, which must be a filled rectangle."""
    found = []
    for colour in colours:
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        assert rows.size == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        found.append((int(rows.min()), int(columns.min())))
    return found


def test_cells_fill_the_grid_row_by_row() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    cells = [Cell(f"Title {k}", "detail", plain(colour)) for k, colour in enumerate(colours)]
    sheet = draw_sheet(cells, columns=2, width=120)
    first, second, third = colours_of(sheet, colours)
    assert first[0] == second[0] < third[0]
    assert first[1] == third[1] < second[1]
    area = (sheet == colours[0]).all(axis=2).sum()
    assert area == 120 * 80


def test_a_label_keeps_to_its_own_column() -> None:
    long = "A title that is much too long for the picture above it and has to shrink"
    width = 160
    alone = draw_sheet([Cell(long, long, plain((9, 9, 9)))], width=width)
    margin = (alone.shape[1] - width) // 2
    assert (alone[:, :margin] == alone[0, 0]).all()
    assert (alone[:, margin + width + 2 :] == alone[0, 0]).all()
    assert (alone[margin + round(width * 40 / 60) + 1 :] != alone[0, 0]).any()


def test_pictures_of_other_sizes_keep_their_shape() -> None:
    tall, wide = plain((200, 0, 0), 120, 60), plain((0, 0, 200), 30, 90)
    sheet = draw_sheet([Cell("a", "", tall), Cell("b", "", wide)], columns=2, width=60)
    for colour, height in (((200, 0, 0), 120), ((0, 0, 200), 20)):
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        assert int(np.ptp(rows)) + 1 == height
        assert int(np.ptp(columns)) + 1 == 60


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (4, 2), (6, 3)])
def test_the_grid_leaves_no_holes_where_it_can(count: int, columns: int) -> None:
    cells = [Cell("title", "detail", plain((9, 9, 9))) for _ in range(count)]
    assert np.array_equal(draw_sheet(cells, width=60), draw_sheet(cells, columns=columns, width=60))


def test_a_sheet_needs_cells_and_columns() -> None:
    with pytest.raises(ValueError, match="at least one cell"):
        draw_sheet([])
    with pytest.raises(ValueError, match="at least one column"):
        draw_sheet([Cell("a", "", plain((0, 0, 0)))], columns=0)


@pytest.mark.parametrize("size", [Size(160, 90), Size(97, 61), Size(60, 100)])
def test_the_scene_comes_in_any_size_moves_and_repeats_itself(size: Size) -> None:
    first, later = Scene(size).frame(0.0), Scene(size).frame(1.0)
    assert first.shape == later.shape == (size.height, size.width, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, Scene(size).frame(0.0))
    assert (first != later).any(axis=2).mean() > 0.2
    # A picture to show a style on needs light, dark and colour.
    assert first.std() > 30
    assert np.ptp(first.astype(int), axis=2).mean() > 30


def test_the_close_up_has_a_larger_child() -> None:
    def skin(pixels: Pixels) -> float:
        return float((np.abs(pixels.astype(int) - (236, 188, 150)).max(axis=2) < 4).mean())

    far = Scene(Size(180, 120)).frame(0.5)
    near = Scene(Size(180, 120), close_up=True).frame(0.5)
    assert skin(near) > 1.8 * skin(far) > 0


def test_slow_scrolling_has_no_jumps() -> None:
    rng = np.random.default_rng(0)
    colour = (noise_tile(20, 200, 10, 2, rng)[..., None] * np.ones(3) * 255).astype(np.float32)
    strip = Strip(colour, np.ones((20, 200), np.float32), 0)
    frames = []
    for k in range(9):
        pixels = np.zeros((20, 100, 3), np.uint8)
        strip.draw(pixels, k / 4)
        frames.append(pixels.astype(int))
    steps = [np.abs(b - a).mean() for a, b in pairwise(frames)]
    assert min(steps) > 0
    assert max(steps) < 2 * min(steps)


def test_sample_frames_are_as_many_as_asked_for() -> None:
    frames = list(sample_frames(3, size=Size(64, 36)))
    assert len(frames) == 3
    assert not np.array_equal(frames[0], frames[2])


def test_the_tune_is_soft_and_fades_in_and_out() -> None:
    sound = sample_sound(2.0)
    assert sound.shape == (2 * SOUND_RATE, 2)
    assert sound.dtype == np.float32
    assert 0.1 < np.abs(sound).max() < 0.5
    assert np.abs(sound[:10]).max() < 0.01
    assert np.abs(sound[-10:]).max() < 0.01
    assert np.sqrt((sound[SOUND_RATE // 2 : SOUND_RATE] ** 2).mean()) > 0.02


def test_noise_repeats_seamlessly() -> None:
    tile = noise_tile(64, 96, 24, 4, np.random.default_rng(1)).astype(float)
    assert tile.min() == 0
    assert tile.max() == 1
    inner = np.abs(np.diff(tile, axis=1)).max()
    assert np.abs(tile[:, 0] - tile[:, -1]).max() <= 1.5 * inner


def test_a_canvas_draws_alike_at_any_size() -> None:
    means = []
    for height in (180, 360, 720):
        pixels = np.zeros((height, height, 3), np.uint8)
        Canvas(pixels).at(180, 180, 2).ellipse((0, 0), (60, 30), (255, 255, 255))
        means.append(pixels.mean() / 255)
    expected = np.pi * 120 * 60 / 360**2
    assert means == pytest.approx([expected] * 3, rel=0.05)


def test_a_curve_goes_through_its_points() -> None:
    points = [(0.0, 0.0), (10.0, 5.0), (20.0, -5.0)]
    way = curve(points, 4)
    assert all(point in way for point in points)
    assert len(way) == 9
