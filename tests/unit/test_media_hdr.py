"""HDR made SDR: what light becomes of what code, and that nothing of it is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import InputError, OutputNotWritable, UsageError
from rtstyle.media import open_video, verify_video
from rtstyle.media.hdr import ToneMap, eetf, peak_of, pq_code, pq_light, tone_map
from rtstyle.pipeline import Progress, stylize_video
from rtstyle.types import Colour
from tests.clips import make_clip, moving_picture
from tests.ycbcr import decoded, luma_of, make_frame, to_rgb, write_frames

PQ, HLG = 16, 18
MASTERED = (
    "log-level=none:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)"
    "WP(15635,16450)L({peak}0000,50):max-cll={level},400"
)
WIDE = np.array(
    [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
)
"""BT.709 to BT.2020, as ITU-R BT.2087 prints it."""

Light = npt.NDArray[np.float64]


def pq(nits: npt.ArrayLike) -> Light:
    """SMPTE ST 2084 written out."""
    power = (np.asarray(nits, np.float64) / 10000) ** 0.1593017578125
    return np.asarray(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def hlg(scene: npt.ArrayLike) -> Light:
    """The OETF of ARIB STD-B67 written out, scene light in 0..1."""
    light = np.asarray(scene, np.float64)
    low = np.sqrt(3 * light)
    high = 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9)) + 0.55991073
    return np.where(light <= 1 / 12, low, high)


def hdr_clip(
    path: Path, code: Light, transfer: int, *, codec: str = "ffv1", options: str | None = None
) -> Path:
    frames = [make_frame(code, "yuv420p10le", 9, False) for _ in range(2)]
    given = {} if options is None else {"x265-params": options, "preset": "ultrafast", "crf": "4"}
    return write_frames(path, frames, (9, 9, transfer, 1), codec=codec, options=given)


def patches(colours: npt.ArrayLike) -> Light:
    """Columns 32 wide of ``(N, 3)``."""
    row = np.repeat(np.asarray(colours, np.float64), 32, axis=0)
    return np.tile(row, (32, 1, 1))


def middles(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return pixels[16, 16::32]


def first_of(path: Path) -> npt.NDArray[np.uint8 | np.uint16]:
    with open_video(path) as video:
        assert video.info.colour == Colour(1, 1, 1, full_range=False)
        return next(iter(video)).pixels


def test_pq_is_that_of_the_standard_and_comes_back() -> None:
    nits = np.array([0.0, 0.1, 10, 100, 203, 1000, 10000])
    assert pq_code(nits) == pytest.approx(pq(nits), abs=1e-9)
    assert pq_light(pq(nits)) == pytest.approx(nits, abs=1e-4)
    # BT.2408 table 1: diffuse white of PQ is at 58 %, a grey card at 38 %.
    assert pq_code(np.array([203.0, 26.0])) == pytest.approx([0.58, 0.38], abs=0.005)


@pytest.mark.parametrize("peak", [400.0, 1000.0, 4000.0, 10000.0])
def test_the_curve_leaves_the_dark_alone_and_grows_to_white(peak: float) -> None:
    nits = np.concatenate([[0], np.geomspace(0.01, peak, 500)])
    bent = eetf(nits, peak)
    assert (np.diff(bent) > 0).all()
    assert bent[-1] == pytest.approx(203, rel=1e-6)
    assert (bent <= nits + 1e-6).all()
    dark = nits < 20
    assert bent[dark] == pytest.approx(nits[dark], rel=1e-6, abs=1e-6)


def test_pq_greys_land_where_sdr_has_them(tmp_path: Path) -> None:
    nits = np.array([0.0, 1, 26, 100, 203, 300, 450, 1000])
    clip = hdr_clip(tmp_path / "in.mkv", patches(np.repeat(pq(nits)[:, None], 3, 1)), PQ)
    found = middles(first_of(clip)).astype(int)
    assert (np.ptp(found, axis=1) <= 1).all()
    grey = found[:, 1]
    assert grey[0] == 0
    # An 18 % grey card is at 104 in BT.709's own curve.
    assert 95 <= grey[2] <= 115
    assert 220 <= grey[4] <= 245
    assert grey[-1] == 255
    assert (np.diff(grey) > 0).all()


def test_hlg_greys_land_where_sdr_has_them(tmp_path: Path) -> None:
    # BT.2408 table 1: a grey card is at 38 %, diffuse white at 75 %.
    code = np.array([0.0, 0.38, 0.75, 0.85, 1.0])
    clip = hdr_clip(tmp_path / "in.mkv", patches(np.repeat(code[:, None], 3, 1)), HLG)
    grey = middles(first_of(clip)).astype(int)[:, 1]
    assert grey[0] == 0
    assert 95 <= grey[1] <= 115
    assert 220 <= grey[2] <= 245
    assert grey[-1] == 255
    assert (np.diff(grey) > 0).all()


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_colours_of_sdr_keep_hue_and_saturation(tmp_path: Path, transfer: int) -> None:
    wanted = np.array([(180, 40, 40), (40, 150, 60), (50, 60, 170), (190, 150, 120), (90, 90, 90)])
    # Dark enough to lie under the knee, where SDR in HDR must come out as it was.
    light = 0.35 * (wanted / 255) ** 2.4 @ WIDE.T
    if transfer == PQ:
        code = pq(203 * light)
    else:
        # BT.2100's inverse OOTF at 1000 cd/m2.
        shown = 0.203 * light
        luminance = shown @ np.array([0.2627, 0.6780, 0.0593])
        code = hlg(shown * luminance[:, None] ** (1 / 1.2 - 1))
    clip = hdr_clip(tmp_path / "in.mkv", patches(code), transfer)
    found = middles(first_of(clip)).astype(float)
    assert np.abs(found - wanted * 0.35 ** (1 / 2.4)).max() < 4


def test_bright_colours_stay_colours_and_growing() -> None:
    nits = np.geomspace(50, 1000, 40)
    hues = np.array([(1, 0.15, 0.1), (0.2, 1, 0.3), (0.15, 0.3, 1), (1, 0.75, 0.55)])
    for hue in hues:
        code = pq(np.outer(nits, hue @ WIDE.T))
        mapped = tone_map(code, Colour(9, 9, PQ), 1000.0)
        luma = mapped @ np.array([0.2126, 0.7152, 0.0722])
        assert (np.diff(luma) > 0).all()
        assert mapped.argmax(axis=1).tolist() == [int(hue.argmax())] * len(nits)
        saturation = 1 - mapped.min(axis=1) / mapped.max(axis=1)
        intended = 1 - (hue.min() / hue.max()) ** (1 / 2.4)
        assert saturation.min() > 0.9 * intended


def test_a_look_up_is_as_good_as_the_formula() -> None:
    rng = np.random.default_rng(5)
    noise = 0.15 + 0.7 * rng.random((9, 12, 3))
    scene = cv2.resize(noise, (96, 72), interpolation=cv2.INTER_LINEAR)
    for transfer in (PQ, HLG):
        colour = Colour(9, 9, transfer)
        code = pq(1000 * (scene**2.2) @ WIDE.T) if transfer == PQ else hlg((scene**2.2) @ WIDE.T)
        deep = np.rint(code * 65535).astype(np.uint16)
        mapped = ToneMap(colour, 1000.0)(deep) / 65535
        error = np.abs(mapped - tone_map(code, colour, 1000.0)) * 255
        # The worst are dark components of saturated colours, where SDR's curve is steepest.
        assert error.mean() < 0.25
        assert np.percentile(error, 95) < 1.5


def test_a_change_of_size_is_mapped_as_well() -> None:
    mapper = ToneMap(Colour(9, 9, PQ), 1000.0)
    for shape in ((20, 30, 3), (31, 17, 3)):
        grey = np.full(shape, round(65535 * float(pq(203.0))), np.uint16)
        assert np.ptp(mapper(grey)) <= 1
        assert mapper(grey).shape == shape


@pytest.mark.parametrize(("peak", "level", "found"), [(4000, 0, 4000), (4000, 600, 600)])
def test_the_peak_is_what_the_film_says(tmp_path: Path, peak: int, level: int, found: int) -> None:
    grey = patches(np.full((3, 3), pq(100.0)))
    clip = hdr_clip(
        tmp_path / "in.mkv",
        grey,
        PQ,
        codec="libx265",
        options=MASTERED.format(peak=peak, level=level),
    )
    first = decoded(clip)[0]
    assert peak_of(first, Colour(9, 9, PQ)) == found
    assert peak_of(first, Colour(9, 9, HLG)) == 1000
    with open_video(clip) as video:
        assert f"up to {found} cd/m2" in video.health.notes[-1]
    plain = hdr_clip(tmp_path / "plain.mkv", grey, PQ)
    assert peak_of(decoded(plain)[0], Colour(9, 9, PQ)) == 1000


def test_an_hdr_film_becomes_a_tagged_sdr_film(tmp_path: Path) -> None:
    nits = np.array([0.5, 26, 100, 203, 600])
    clip = hdr_clip(tmp_path / "in.mkv", patches(np.repeat(pq(nits)[:, None], 3, 1)), PQ)
    output = tmp_path / "out.mp4"
    with FakeStylizer() as net:
        report = stylize_video(clip, output, None, stylizer=net, strength=0, codec="hevc")
    assert any("tone-mapped to SDR (BT.709)" in note for note in report.notes)
    with av.open(str(output)) as container:
        context = container.streams.video[0].codec_context
        said = (context.colorspace, context.color_primaries, context.color_trc)
        assert (*map(int, said), int(context.color_range)) == (1, 1, 1, 1)
    shown = middles(to_rgb(decoded(output)[0], 1, False))[:, 1].astype(float)
    wanted = tone_map(pq(nits)[:, None].repeat(3, 1), Colour(9, 9, PQ), 1000.0)[:, 1]
    assert np.abs(shown - wanted).max() < 3 / 255
    checks = {check.name: check for check in verify_video(clip, output).checks}
    assert not checks["colour"].kept
    assert not checks["colour"].required
    assert checks["colour"].detail.startswith("HDR (PQ) made SDR")
    assert verify_video(clip, output).kept


def test_a_stopped_hdr_film_goes_on_to_the_same_one(tmp_path: Path) -> None:
    nits = np.outer(np.geomspace(1, 700, 7), [1.0, 0.8, 0.6])
    frames = [
        make_frame(patches(pq(row)[None].repeat(5, 0)), "yuv420p10le", 9, False) for row in nits
    ]
    clip = write_frames(tmp_path / "in.mkv", frames, (9, 9, PQ, 1))

    def stop(progress: Progress) -> None:
        if progress.frames_done == 5:
            raise RuntimeError("enough")

    def run(output: Path, **options: Any) -> None:  # noqa: ANN401
        with FakeStylizer() as net:
            stylize_video(
                *(clip, output, None),
                stylizer=net,
                strength=0.5,
                codec="hevc",
                segment_frames=2,
                **options,
            )

    run(tmp_path / "whole.mp4")
    with pytest.raises(RuntimeError, match="enough"):
        run(tmp_path / "out.mp4", progress=stop)
    run(tmp_path / "out.mp4", resume=True)
    one, other = (decoded(tmp_path / name) for name in ("whole.mp4", "out.mp4"))
    assert [frame.format.name for frame in other] == ["yuv420p10le"] * 7
    assert all(np.array_equal(luma_of(a), luma_of(b)) for a, b in zip(one, other, strict=True))


def test_hdr_with_its_tags_lost_is_no_conversion(tmp_path: Path) -> None:
    code = patches(np.full((3, 3), pq(100.0)))
    clip = hdr_clip(tmp_path / "in.mkv", code, PQ)
    frames = [make_frame(code, "yuv420p10le", 9, False) for _ in range(2)]
    untagged = write_frames(tmp_path / "out.mkv", frames, (9, 2, 2, 1))
    assert {check.name for check in verify_video(clip, untagged).lost} == {"colour"}


def test_hdr_is_refused_where_that_is_asked_for(tmp_path: Path) -> None:
    clip = hdr_clip(tmp_path / "in.mkv", patches(np.full((3, 3), pq(100.0))), HLG)
    with FakeStylizer() as net:
        with pytest.raises(InputError, match=r"in\.mkv: it is HDR \(HLG\)"):
            stylize_video(clip, tmp_path / "out.mp4", None, stylizer=net, hdr="refuse")
        with pytest.raises(UsageError, match="unknown hdr 'maybe'"):
            stylize_video(clip, tmp_path / "out.mp4", None, stylizer=net, hdr="maybe")
    assert not (tmp_path / "out.mp4").exists()
    with open_video(clip, hdr="keep") as video:
        assert video.info.colour.transfer == HLG
        assert abs(int(next(iter(video)).pixels[16, 16, 1]) - 255 * float(pq(100.0))) <= 1


def test_what_cannot_be_converted_is_said(tmp_path: Path) -> None:
    frames = [make_frame(moving_picture((64, 48), 1), "yuv420p10le", 9, False) for _ in range(2)]
    for frame in frames:
        frame.colorspace = 14
    clip = write_frames(tmp_path / "in.mkv", frames, (14, 9, PQ, 1))
    with pytest.raises(InputError, match="ICtCp"):
        open_video(clip)


def test_wide_colours_without_hdr_stay_as_they_are(tmp_path: Path) -> None:
    rgb = moving_picture((64, 48), 2)
    clip = make_clip(tmp_path / "in.mp4", frames=2, pictures=[rgb] * 2, colour=(9, 9, 14, 1))
    with open_video(clip, hdr="refuse") as video:
        assert video.info.colour == Colour(9, 9, 14, full_range=False)
        assert np.abs(next(iter(video)).pixels.astype(int) - rgb).mean() < 4


def test_what_hdr_leaves_unsaid_is_bt2020(tmp_path: Path) -> None:
    code = patches([pq(np.array([80.0, 20, 20])), pq(np.array([20.0, 20, 80]))])
    frames = [make_frame(code, "yuv420p10le", 9, False) for _ in range(2)]
    unsaid = write_frames(tmp_path / "unsaid.mkv", frames, (2, 2, PQ, 1))
    said = hdr_clip(tmp_path / "said.mkv", code, PQ)
    assert np.array_equal(first_of(unsaid), first_of(said))


def test_without_a_place_for_its_table_hdr_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputNotWritable, match="TMPDIR") as caught:
        ToneMap(Colour(9, 9, PQ), 1000.0)(np.zeros((16, 16, 3), np.uint16))
    assert "\n" not in str(caught.value)
