"""APNG, GIF and moving WebP as films, and pictures that are none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from rtstyle.cli.main import main
from rtstyle.errors import CorruptInput, LimitExceeded, NotAVideo, UsageError
from rtstyle.media import open_source, open_video, verify_video
from rtstyle.media.moving import MovingPicture, is_moving_webp
from rtstyle.types import Limits
from tests.clips import moving_picture, video_pts
from tests.nets import make_pack
from tests.pictures import DELAYS, flat, frames_of, moving, photo, rgb

STARTS = [Fraction(0), Fraction(1, 10), Fraction(3, 10), Fraction(7, 20)]


def stylize(tmp_path: Path, *arguments: object) -> Result:
    pack = tmp_path / "negative"
    if not pack.exists():
        make_pack(pack, name="negative")
    line = ["video", *map(str, arguments), "--style", str(pack), "--backend", "onnxruntime"]
    return CliRunner().invoke(main, line)


@pytest.mark.parametrize("name", ["in.apng", "in.png", "in.gif", "in.webp"])
def test_what_moves_is_a_film_with_its_times(tmp_path: Path, name: str) -> None:
    source = moving(tmp_path / name)
    target = tmp_path / "out.mkv"
    result = stylize(tmp_path, source, "-o", target, "--codec", "ffv1")
    assert result.exit_code == 0, result.output
    assert "4 frames" in result.stdout
    assert video_pts(target) == STARTS
    found = verify_video(source, target)
    assert found.kept, found.lost
    with open_video(target) as film:
        for frame, before in zip(film, frames_of(source), strict=True):
            apart = np.abs(frame.pixels.astype(int) - (255 - before[..., :3].astype(int)))
            assert apart.max() <= 2


@pytest.mark.parametrize("name", ["in.apng", "in.webp"])
def test_its_transparency_goes_into_what_can_hold_it(tmp_path: Path, name: str) -> None:
    source = moving(tmp_path / name, clear=True)
    result = stylize(tmp_path, source, "-o", tmp_path / "out.mkv", "--codec", "ffv1")
    assert result.exit_code == 0, result.output
    with open_video(tmp_path / "out.mkv") as film:
        for frame, before in zip(film, frames_of(source), strict=True):
            assert frame.alpha is not None
            assert np.array_equal(frame.alpha, before[..., 3])
    result = stylize(tmp_path, source, "-o", tmp_path / "out.mp4")
    assert result.exit_code == 0
    assert "transparent" in result.stdout


def test_pictures_of_a_transparent_film_are_transparent(tmp_path: Path) -> None:
    source = moving(tmp_path / "in.webp", clear=True)
    assert stylize(tmp_path, source, "-o", tmp_path / "shot" / "%02d.png").exit_code == 0
    for number, before in enumerate(frames_of(source), 1):
        (after,) = frames_of(tmp_path / "shot" / f"{number:02}.png")
        assert np.array_equal(after[..., 3], before[..., 3])
        seen = before[..., 3] > 0
        assert np.array_equal(after[seen][:, :3], 255 - before[seen][:, :3])
    result = stylize(tmp_path, source, "-o", tmp_path / "jpg" / "%02d.jpg")
    assert "laid on white" in result.stdout
    # White, painted.
    assert rgb(tmp_path / "jpg" / "01.jpg")[-1, -1].max() <= 3


def test_a_range_a_preview_and_a_resume_of_a_moving_webp(tmp_path: Path) -> None:
    source = moving(tmp_path / "in.webp")
    result = stylize(tmp_path, source, "-o", tmp_path / "a.mkv", "--start", "0.1", "--end", "0.34")
    assert result.exit_code == 0, result.output
    assert video_pts(tmp_path / "a.mkv") == [Fraction(0), Fraction(1, 5)]
    result = stylize(tmp_path, source, "-o", tmp_path / "p.png", "--preview", "2")
    assert result.exit_code == 0, result.output
    assert "the whole: 4 frames" in result.stdout
    result = stylize(tmp_path, source, "-o", tmp_path / "b.mkv", "--resume")
    assert result.exit_code == 2
    assert "leave --resume out" in result.stderr


def test_a_moving_webp_is_read_within_limits(tmp_path: Path) -> None:
    source = moving(tmp_path / "in.webp")
    with MovingPicture(source) as film:
        assert film.info.frames_in_header == 4
        assert film.info.duration_in_header == Fraction(sum(DELAYS), 1000)
        assert [frame.seconds for frame in film] == STARTS
    for limits in (Limits(max_frames=3), Limits(max_seconds=0.3)):
        with MovingPicture(source, limits=limits) as film, pytest.raises(LimitExceeded):
            list(film)
    with pytest.raises(LimitExceeded):
        MovingPicture(source, limits=Limits(max_pixels=100))
    with MovingPicture(source, start=Fraction(9)) as film, pytest.raises(UsageError):
        list(film)
    with pytest.raises(UsageError, match="--fps is for numbered pictures"):
        open_source(source, fps=25)


def test_a_webp_that_is_cut_is_damaged(tmp_path: Path) -> None:
    whole = moving(tmp_path / "in.webp").read_bytes()
    (tmp_path / "cut.webp").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(CorruptInput), open_source(tmp_path / "cut.webp") as film:
        list(film)


def test_a_picture_that_does_not_move_is_no_film_and_says_where_to_go(tmp_path: Path) -> None:
    for name in ("a.png", "a.webp", "a.tif"):
        source = photo(tmp_path / name)
        assert not is_moving_webp(source)
        with pytest.raises(NotAVideo, match="is a picture, not a film; use rtstyle image"):
            open_video(source)
    line = ["live", "--camera", str(tmp_path / "a.png"), "--output", "none", "--seconds", "1"]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 3
    assert "use rtstyle image" in result.stderr


def test_deep_and_transparent_numbered_pictures_stay_so(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(1, 4):
        flat(number, clear=True).save(folder / f"{number}.png")
    result = stylize(tmp_path, folder / "%d.png", "-o", tmp_path / "out" / "%d.png", "--fps", "10")
    assert result.exit_code == 0, result.output
    assert "white" not in result.stdout
    for number in range(1, 4):
        (before,), (after,) = (frames_of(f / f"{number}.png") for f in (folder, tmp_path / "out"))
        assert np.array_equal(before[..., 3], after[..., 3])
    result = stylize(
        tmp_path, folder / "%d.png", "-o", tmp_path / "a.mkv", "--codec", "ffv1", "--fps", "10"
    )
    assert result.exit_code == 0, result.output
    with open_video(tmp_path / "a.mkv") as film:
        alphas = [frame.alpha for frame in film]
    assert all(alpha is not None and alpha.min() == 0 for alpha in alphas)
    result = stylize(tmp_path, folder / "%d.png", "-o", tmp_path / "a.mp4", "--fps", "10")
    assert "transparent pictures are laid on white" in result.stdout


def test_sixteen_bits_of_numbered_pictures_go_into_pictures_that_hold_them(tmp_path: Path) -> None:
    import cv2

    (tmp_path / "in").mkdir()
    deep = np.random.default_rng(0).integers(0, 65536, (2, 30, 40, 3), np.uint16)
    for number, picture in enumerate(deep, 1):
        assert cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), picture)
    line = (tmp_path / "in" / "%d.png", "--fps", "10", "--strength", "0")
    for ending in ("png", "tif"):
        result = stylize(tmp_path, *line, "-o", tmp_path / ending / f"%d.{ending}")
        assert result.exit_code == 0, result.output
        for number, picture in enumerate(deep, 1):
            read = cv2.imread(str(tmp_path / ending / f"{number}.{ending}"), cv2.IMREAD_UNCHANGED)
            assert read is not None
            assert np.array_equal(read, picture)
    result = stylize(tmp_path, *line, "-o", tmp_path / "a.mkv", "--codec", "ffv1")
    assert "pictures have 16 bits a sample; they are read with 8" in result.stdout


def test_a_file_of_several_pictures_among_numbered_ones_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(moving_picture((40, 30), 0)).save(tmp_path / "in" / "1.png")
    moving(tmp_path / "in" / "2.png")
    line = (tmp_path / "in" / "%d.png", "-o", tmp_path / "out" / "%d.png", "--fps", "10")
    result = stylize(tmp_path, *line)
    assert result.exit_code == 0, result.output
    assert "2.png holds 4 frames or pages; the first is read" in result.stdout
