"""``rtstyle image`` with pictures that move, have pages, are transparent, deep or told of: what is
kept, and the note for what is not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from rtstyle.backends import FakeStylizer
from rtstyle.cli.main import main
from rtstyle.pipeline import stylize_image
from rtstyle.types import Pixels
from tests.clips import moving_picture, video_pts
from tests.nets import make_pack
from tests.pictures import (
    DELAYS,
    clear_picture,
    delays_of,
    flat,
    frames_of,
    loop_of,
    moving,
    pages,
    photo,
    profile,
    rgb,
    with_thumbnail,
)

Run = Callable[..., Result]
HOLD_NO_FRAMES = (".jpg", ".bmp", ".tif")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Paints the negative."""
    pack = make_pack(tmp_path / "negative", name="negative")

    def call(*arguments: object) -> Result:
        line = ["image", *map(str, arguments), "--style", str(pack), "--backend", "onnxruntime"]
        return CliRunner().invoke(main, line)

    return call


def notes(result: Result) -> list[str]:
    return [line for line in result.stdout.splitlines() if line.startswith("note: ")]


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_a_moving_picture_keeps_its_frames_times_and_loops(
    run: Run, tmp_path: Path, suffix: str, clear: bool
) -> None:
    source = moving(tmp_path / f"in{suffix}", clear=clear, loop=3)
    target = tmp_path / f"out{suffix}"
    result = run(source, "-o", target)
    assert result.exit_code == 0, result.output
    assert [n for n in notes(result) if "256 colours" not in n] == []
    assert delays_of(target) == list(DELAYS)
    assert loop_of(target) == loop_of(source) == 3
    before, after = frames_of(source), frames_of(target)
    assert len(after) == len(DELAYS)
    for old, new in zip(before, after, strict=True):
        assert np.abs(old[..., 3].astype(int) - new[..., 3]).max() <= (
            8 if suffix == ".webp" else 0
        )
        seen = old[..., 3] > 0
        apart = np.abs(new[seen][:, :3].astype(int) - (255 - old[seen][:, :3].astype(int)))
        # WebP is lossy.
        assert apart.max() <= (120 if suffix == ".webp" else 1)
        assert apart.mean() < 3


@pytest.mark.parametrize(("loop", "kept"), [(None, None), (0, 0), (4, 4)])
def test_a_gif_is_shown_as_often_as_before(
    run: Run, tmp_path: Path, loop: int | None, kept: int | None
) -> None:
    source = moving(tmp_path / "in.gif", loop=loop)
    assert run(source, "-o", tmp_path / "out.gif").exit_code == 0
    assert loop_of(tmp_path / "out.gif") == kept
    assert run(source, "-o", tmp_path / "out.png").exit_code == 0
    # A GIF counts repetitions, a PNG and a WebP all times that it is shown.
    assert loop_of(tmp_path / "out.png") == {None: 1, 0: 0, 4: 5}[loop]


def test_times_that_a_gif_cannot_count_do_not_drift(run: Run, tmp_path: Path) -> None:
    images = [flat(index) for index in range(4)]
    images[0].save(
        tmp_path / "in.png", save_all=True, append_images=images[1:], duration=1000 / 30, loop=0
    )
    assert run(tmp_path / "in.png", "-o", tmp_path / "out.png").exit_code == 0
    assert sum(delays_of(tmp_path / "out.png")) == pytest.approx(4000 / 30)
    assert run(tmp_path / "in.png", "-o", tmp_path / "out.gif").exit_code == 0
    assert delays_of(tmp_path / "out.gif") == [30, 40, 30, 30]


def test_frames_that_look_alike_keep_their_time(run: Run, tmp_path: Path) -> None:
    images = [flat(0), flat(0), flat(1)]
    images[0].save(
        tmp_path / "in.png",
        save_all=True,
        append_images=images[1:],
        duration=[100, 200, 300],
        disposal=[0, 1, 0],
    )
    result = run(tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert result.exit_code == 0, result.output
    assert delays_of(tmp_path / "out.png") == [100, 200, 300]
    result = run(tmp_path / "in.png", "-o", tmp_path / "out.gif")
    assert delays_of(tmp_path / "out.gif") == [300, 300]
    assert any("look as the one before and were joined to it" in n for n in notes(result))


@pytest.mark.parametrize("suffix", HOLD_NO_FRAMES)
def test_frames_that_are_lost_are_told_and_cost_the_exit_code(
    run: Run, tmp_path: Path, suffix: str
) -> None:
    source, target = moving(tmp_path / "in.gif"), tmp_path / f"out{suffix}"
    result = run(source, "-o", target)
    assert result.exit_code == 8, result.output
    assert any("has 4 frames, only the first is painted" in n for n in notes(result))
    assert np.abs(rgb(target).astype(int) - (255 - rgb(source).astype(int))).mean() < 6


def test_several_pictures_name_the_one_that_a_note_is_of(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    still = tmp_path / "in" / "still.jpg"
    Image.fromarray(moving_picture((40, 30), 1)).save(still)
    gif = moving(tmp_path / "in" / "moving.gif")
    result = run(still, gif, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert all(n.startswith(f"note: {gif}: ") for n in notes(result))
    assert len(frames_of(tmp_path / "out" / "moving.gif")) == 4


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_moving_picture_becomes_a_film_where_the_name_says_so(
    run: Run, tmp_path: Path, suffix: str
) -> None:
    result = run(moving(tmp_path / f"in{suffix}"), "-o", tmp_path / "out.mp4")
    assert result.exit_code == 0, result.output
    shown = [Fraction(at, 1000) for at in (0, 100, 300, 350)]
    assert video_pts(tmp_path / "out.mp4") == shown


def test_a_still_picture_becomes_no_film(run: Run, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.jpg")
    result = run(source, "-o", tmp_path / "out.mp4")
    assert result.exit_code == 4
    assert "a.jpg does not move; name a .png or .jpg" in result.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_a_tiff_keeps_its_pages_each_of_its_size(run: Run, tmp_path: Path) -> None:
    source = pages(tmp_path / "in.tif")
    assert run(source, "-o", tmp_path / "out.tif").exit_code == 0
    for old, new in zip(frames_of(source), frames_of(tmp_path / "out.tif"), strict=True):
        assert np.array_equal(new[..., :3], 255 - old[..., :3])
    result = run(source, "-o", tmp_path / "out.png")
    assert result.exit_code == 8
    assert "has 3 pages, only the first is painted: name a .tif to keep all" in result.stdout


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_is_kept_and_casts_no_shadow(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A net that looks around itself sees the colour of what is seen, not the black under it."""

    def blurred(self: FakeStylizer, frames: Pixels) -> Pixels:
        del self
        return np.stack([cv2.blur(frame, (15, 15)) for frame in frames]).astype(np.uint8)

    monkeypatch.setattr(FakeStylizer, "__call__", blurred)
    source = clear_picture(tmp_path / "in.png")
    with FakeStylizer() as stylizer:
        stylize_image(source, None, output=tmp_path / f"out{suffix}", stylizer=stylizer)
    (old,), (new,) = frames_of(source), frames_of(tmp_path / f"out{suffix}")
    assert np.array_equal(old[..., 3], new[..., 3])
    seen = old[..., 3] > 0
    assert np.abs(new[seen][:, :3].astype(int) - (180, 170, 160)).max() <= 6


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_what_cannot_be_transparent_is_laid_on_white_and_says_so(
    run: Run, tmp_path: Path, suffix: str
) -> None:
    result = run(clear_picture(tmp_path / "in.png"), "-o", tmp_path / f"out{suffix}")
    assert result.exit_code == 0
    assert f"laid on white: {suffix} has no transparency; use .png or .webp" in result.stdout
    # White as the net was given it, painted.
    assert rgb(tmp_path / f"out{suffix}")[0, 0].max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png", ".tif"])
def test_what_is_said_of_a_photo_stays_and_it_is_turned_once(
    run: Run, tmp_path: Path, suffix: str, orientation: int
) -> None:
    source = photo(tmp_path / f"in{suffix}", orientation=orientation)
    target = tmp_path / f"out{suffix}"
    result = run(source, "-o", target)
    assert result.exit_code == 0, result.output
    assert notes(result) == ([] if suffix != ".webp" else notes(result))
    with Image.open(target) as image:
        image.load()
        exif = image.getexif()
        assert exif.get(0x0112, 1) == 1
        assert exif[0x010F] == "Maker"
        assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
        assert exif.get_ifd(0x8825)[0x0001] == "N"
        assert image.info["icc_profile"] == profile()
        if suffix in (".jpg", ".webp"):
            assert b'tiff:Orientation="1"' in image.info["xmp"]
            assert b"A title" in image.info["xmp"]
        if suffix != ".webp":
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        turned = np.asarray(image.convert("RGB")).astype(int)
    upright = moving_picture((40, 30), 2)
    wanted = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, -1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright),
    }[orientation]
    assert turned.shape == wanted.shape
    assert np.abs(turned - (255 - wanted.astype(int))).mean() < 8


def test_the_small_copy_of_the_photo_in_its_exif_data_is_not_handed_on(
    run: Run, tmp_path: Path
) -> None:
    source = with_thumbnail(tmp_path / "in.jpg")
    assert source.read_bytes().count(b"\xff\xd8\xff") == 2
    assert run(source, "-o", tmp_path / "out.jpg").exit_code == 0
    assert (tmp_path / "out.jpg").read_bytes().count(b"\xff\xd8\xff") == 1
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.getexif()[0x010F] == "ABC"


def test_what_a_kind_of_file_cannot_hold_is_named(run: Run, tmp_path: Path) -> None:
    result = run(photo(tmp_path / "in.jpg"), "-o", tmp_path / "out.gif")
    assert result.exit_code == 0
    assert ".gif holds no Exif data, no XMP data, no dpi: left out" in result.stdout
    assert "converted from sRGB built-in to sRGB: .gif holds no colour profile" in result.stdout


@pytest.mark.parametrize("mark", [b"GCamera:MotionPhoto", b"hdrgm:Version"])
def test_a_film_or_map_of_lights_beside_the_photo_is_named(
    run: Run, tmp_path: Path, mark: bytes
) -> None:
    xmp = b'<x:xmpmeta><rdf:Description %s="1"/></x:xmpmeta>' % mark
    Image.fromarray(moving_picture((40, 30), 1)).save(tmp_path / "in.jpg", xmp=xmp)
    result = run(tmp_path / "in.jpg", "-o", tmp_path / "out.jpg")
    assert result.exit_code == 0
    assert "only the photo is painted" in result.stdout
    assert mark not in (tmp_path / "out.jpg").read_bytes()


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_sixteen_bits_are_kept_where_the_file_can(
    run: Run, tmp_path: Path, ending: str, alpha: bool
) -> None:
    chance = np.random.default_rng(0)
    deep = chance.integers(0, 65536, (30, 40, 4 if alpha else 3), np.uint16)
    if alpha:
        deep[..., 3] |= 1
    done, data = cv2.imencode(".png", deep)
    assert done
    (tmp_path / "in.png").write_bytes(data.tobytes())
    result = run(tmp_path / "in.png", "-o", tmp_path / f"out{ending}", "--strength", "0")
    assert result.exit_code == 0, result.output
    assert notes(result) == []
    read = cv2.imread(str(tmp_path / f"out{ending}"), cv2.IMREAD_UNCHANGED)
    assert read is not None
    assert read.dtype == np.uint16
    assert np.array_equal(read, deep)
    result = run(tmp_path / "in.png", "-o", tmp_path / f"painted{ending}")
    assert "the net paints with 8 bits a sample; the source's 16 are kept only" in result.stdout
    result = run(tmp_path / "in.png", "-o", tmp_path / "out.jpg")
    assert "8 of the source's 16 bits a sample are kept; use .png or .tif" in result.stdout


def test_a_deep_png_and_tiff_keep_what_is_said_of_them(run: Run, tmp_path: Path) -> None:
    done, data = cv2.imencode(".png", np.full((30, 40, 3), 40000, np.uint16))
    assert done
    (tmp_path / "bare.png").write_bytes(data.tobytes())
    said = photo(tmp_path / "said.png").read_bytes()
    # The chunks of the one, before the samples of the other.
    chunks, at = b"", 8
    while at < len(said):
        (length,) = struct.unpack_from(">I", said, at)
        if said[at + 4 : at + 8] in (b"iCCP", b"eXIf", b"pHYs"):
            chunks += said[at : at + 12 + length]
        at += 12 + length
    whole = data.tobytes()
    (tmp_path / "in.png").write_bytes(whole[:33] + chunks + whole[33:])
    for ending in (".png", ".tif"):
        assert run(tmp_path / "in.png", "-o", tmp_path / f"out{ending}").exit_code == 0
        with Image.open(tmp_path / f"out{ending}") as image:
            image.load()
            assert image.info["icc_profile"] == profile()
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
            assert image.getexif()[0x010F] == "Maker"
            assert image.getexif().get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr", "L", "LA", "P", "1", "RGBA"])
def test_every_way_to_store_colours_is_read(run: Run, tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(moving_picture((40, 30), 1))
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        stored = ImageCms.profileToProfile(picture, srgb, lab, outputMode="LAB")
        assert stored is not None
        stored.info.pop("icc_profile", None)
    else:
        stored = picture.convert(mode)
    source = tmp_path / ("in.jpg" if mode in ("CMYK", "YCbCr") else "in.tif")
    stored.save(source, quality=100)
    result = run(source, "-o", tmp_path / "out.png", "--strength", "0")
    assert result.exit_code == 0, result.output
    assert any("were converted to sRGB" in n for n in notes(result)) == (mode in ("CMYK", "LAB"))
    if mode != "LAB":
        close = np.abs(rgb(tmp_path / "out.png").astype(int) - rgb(source).astype(int))
        assert close.max() <= 1
