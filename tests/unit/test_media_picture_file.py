"""Picture files as strangers make them: bombs, cut ones, other programs' kinds, odd headers."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rtstyle.backends import FakeStylizer
from rtstyle.errors import CorruptInput, InputError, LimitExceeded, NotAVideo, OutputNotWritable
from rtstyle.media import check_image_output, open_picture, read_image
from rtstyle.media import picture_file as reading
from rtstyle.media.under import extend_colours, on_white
from rtstyle.pipeline import PictureReport, stylize_image
from rtstyle.types import Limits
from tests.clips import moving_picture
from tests.pictures import moving, pages, photo, rgb

PICTURE = moving_picture((40, 30), 1)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says that it is huge."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (20000, 5000), (2**30, 2**30)])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(width, height))
    with pytest.raises(LimitExceeded, match="bomb"):
        read_image(tmp_path / "bomb.png")


def test_a_bomb_beyond_pillows_own_bound_is_no_defect(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(60000, 60000))
    with pytest.raises(LimitExceeded, match="scale it down first"):
        open_picture(tmp_path / "bomb.png", limits=Limits(max_pixels=2**40))


def test_a_later_frame_or_page_that_is_huge_is_refused_too(tmp_path: Path) -> None:
    small, large = Image.new("RGB", (8, 8)), Image.new("RGB", (90, 90))
    small.save(tmp_path / "a.tif", save_all=True, append_images=[large])
    with open_picture(tmp_path / "a.tif", limits=Limits(max_pixels=1000)) as picture:
        assert picture.first().pixels.shape == (8, 8, 3)
        with pytest.raises(LimitExceeded, match="90x90"):
            list(picture.leaves())


def test_more_frames_than_are_held_at_once_are_sent_to_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_MOST_AT_ONCE", 40 * 30 * 3)
    source = moving(tmp_path / "in.gif")
    with FakeStylizer() as stylizer, pytest.raises(LimitExceeded, match="rtstyle video"):
        stylize_image(source, None, output=tmp_path / "out.gif", stylizer=stylizer)
    assert not (tmp_path / "out.gif").exists()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_what_is_cut_short_is_damaged_and_never_painted(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(whole)
    data = whole.read_bytes()
    for share in (0.3, 0.6, 0.9):
        (tmp_path / f"cut{suffix}").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError, match="cut") as found:
            read_image(tmp_path / f"cut{suffix}")
        assert isinstance(found.value, CorruptInput | NotAVideo)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_bytes_that_are_wrong_raise_nothing_of_a_librarys(tmp_path: Path, suffix: str) -> None:
    data = bytearray(moving(tmp_path / f"in{suffix}").read_bytes())
    chance = np.random.default_rng(1)
    for number in range(60):
        broken = bytearray(data)
        for place in chance.integers(0, len(data), 5):
            broken[place] = int(chance.integers(0, 256))
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(broken)
        try:
            with open_picture(path, limits=Limits(max_pixels=10**6)) as picture:
                picture.first()
                list(picture.leaves())
        except InputError:
            pass


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b"\0\0\0\x18ftypheic" + bytes(40),
            "a HEIC photo, which is not read here; save it as JPEG",
        ),
        (b"\0\0\0\x18ftypmif1" + bytes(40), "a HEIC photo"),
        (b"\xff\x0a" + bytes(40), "a JPEG XL picture"),
        (b"8BPS" + bytes(40), "a Photoshop document"),
        (b"%PDF-1.7" + bytes(40), "a PDF"),
        (b"<svg xmlns='x'></svg>", "an SVG drawing"),
        (b"no picture at all" * 9, "not a picture that can be read; save it as PNG or JPEG"),
    ],
)
def test_kinds_that_are_not_read_are_named_with_a_remedy(
    tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(NotAVideo, match=words):
        read_image(tmp_path / "a.jpg")


def test_a_folder_is_told_to_be_no_picture(tmp_path: Path) -> None:
    with pytest.raises(NotAVideo, match="is a folder; name a picture file in it"):
        read_image(tmp_path)


def test_a_jpeg_of_several_pictures_is_the_photo(tmp_path: Path) -> None:
    images = [Image.fromarray(moving_picture((40, 30), index)) for index in range(2)]
    images[0].save(tmp_path / "a.mpo", save_all=True, append_images=images[1:])
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    told: list[PictureReport] = []
    with FakeStylizer() as stylizer:
        stylize_image(
            tmp_path / "a.jpg",
            None,
            output=tmp_path / "out.jpg",
            stylizer=stylizer,
            on_report=told.append,
        )
    assert "the file holds 2 pictures (MPO); the first, the photo, is painted" in told[0].notes
    assert not told[0].finished_with_loss


def test_plain_pictures_come_and_go_as_opencv_gave_them(tmp_path: Path) -> None:
    """What was painted before pictures were read otherwise is painted still."""
    chance = np.random.default_rng(2)
    noise = chance.integers(0, 256, (64, 96, 3), np.uint8)
    busy = cv2.GaussianBlur(noise, (0, 0), 1).astype(np.uint8)
    for suffix, settings in (
        (".png", []),
        (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 95]),
    ):
        done, data = cv2.imencode(suffix, busy[..., ::-1], settings)
        assert done
        (tmp_path / f"in{suffix}").write_bytes(data.tobytes())
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        assert np.array_equal(read_image(tmp_path / f"in{suffix}"), decoded[..., ::-1])
        with FakeStylizer() as stylizer:
            given = stylize_image(
                busy, None, output=tmp_path / f"out{suffix}", stylizer=stylizer, strength=0
            )
        assert np.array_equal(given, busy)
        written = cv2.imread(str(tmp_path / f"out{suffix}"), cv2.IMREAD_COLOR)
        assert written is not None
        assert np.array_equal(written, decoded)


def test_what_stylize_image_returns_is_the_first_picture_laid_on_white(tmp_path: Path) -> None:
    source = moving(tmp_path / "in.png", clear=True)
    with FakeStylizer(invert=True) as stylizer:
        given = stylize_image(source, None, output=tmp_path / "out.png", stylizer=stylizer)
        assert np.array_equal(given, read_image(tmp_path / "out.png"))
        assert tuple(given[0, 0]) == (255, 255, 255)


def test_without_a_listener_notes_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeStylizer() as stylizer:
        stylize_image(
            pages(tmp_path / "in.tif"), None, output=tmp_path / "o.png", stylizer=stylizer
        )
    assert "only the first is painted" in caplog.text


def test_a_profile_that_is_none_is_left_out_and_named(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "in.png", icc_profile=b"no profile at all")
    told: list[PictureReport] = []
    with FakeStylizer() as stylizer:
        stylize_image(
            tmp_path / "in.png",
            None,
            output=tmp_path / "out.png",
            stylizer=stylizer,
            on_report=told.append,
        )
    assert "its colour profile is damaged, or of other colours: left out" in told[0].notes
    with Image.open(tmp_path / "out.png") as image:
        assert "icc_profile" not in image.info


def test_texts_of_a_png_stay(tmp_path: Path) -> None:
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Ünï")
    Image.fromarray(PICTURE).save(tmp_path / "in.png", pnginfo=info)
    with FakeStylizer() as stylizer:
        stylize_image(tmp_path / "in.png", None, output=tmp_path / "o.png", stylizer=stylizer)
    with Image.open(tmp_path / "o.png") as image:
        assert image.info["Author"] == "Ünï"


@pytest.mark.parametrize("most", [255, 1023, 65535])
def test_pnm_of_any_depth_is_read_as_it_is_meant(tmp_path: Path, most: int) -> None:
    kind = ">u2" if most > 255 else "u1"
    values = np.rint(PICTURE / 255 * most).astype(kind)
    (tmp_path / "a.ppm").write_bytes(b"P6\n# text\n40 30\n%d\n" % most + values.tobytes())
    assert np.abs(read_image(tmp_path / "a.ppm").astype(int) - PICTURE).max() <= 1


def test_colours_under_transparency_are_those_nearby() -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    alpha = np.zeros((20, 20), np.uint8)
    pixels[5:15, 5:10], pixels[5:15, 10:15] = (200, 0, 0), (0, 0, 200)
    alpha[5:15, 5:15] = 255
    extended = extend_colours(pixels, alpha)
    assert np.array_equal(extended[5:15, 5:15], pixels[5:15, 5:15])
    assert tuple(extended[10, 0]) == tuple(extended[0, 0]) == (200, 0, 0)
    assert tuple(extended[10, 19]) == (0, 0, 200)
    nothing = np.zeros_like(alpha)
    assert np.array_equal(extend_colours(pixels, nothing), pixels)
    assert np.array_equal(extend_colours(pixels, nothing + 255), pixels)
    deep = extend_colours(pixels.astype(np.uint16) * 257, alpha)
    assert np.array_equal(deep, extended.astype(np.uint16) * 257)
    assert on_white(pixels, nothing).min() == 255


def test_a_film_is_no_picture_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputNotWritable, match="a film, not a picture; use rtstyle video"):
        check_image_output(tmp_path / "out.mp4", overwrite=False)


def test_exif_data_too_large_for_a_jpeg_is_left_out_and_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    Image.fromarray(PICTURE).save(tmp_path / "in.png", exif=exif.tobytes())
    told: list[PictureReport] = []
    with FakeStylizer() as stylizer:
        stylize_image(
            tmp_path / "in.png",
            None,
            output=tmp_path / "out.jpg",
            stylizer=stylizer,
            on_report=told.append,
        )
    assert "Exif data are too large for a JPEG and left out" in told[0].notes
    assert np.abs(rgb(tmp_path / "out.jpg").astype(int) - PICTURE).mean() < 8


def test_what_is_read_is_what_pillow_would_be_given(tmp_path: Path) -> None:
    """The format is told by the content, whatever the name says."""
    photo(tmp_path / "a.jpg").rename(tmp_path / "a.png")
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        wanted = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "a.png"), wanted)
