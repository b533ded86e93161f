"""Hardware encoders: what is tried, what is believed, what is said where none works.

Stand-ins are encoders that run anywhere under the name of a graphics card's, so that opening,
trying and falling back really happen.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from click.testing import CliRunner, Result

from rtstyle import stylize_video
from rtstyle.backends import FakeStylizer
from rtstyle.cli.doctor import examine, report
from rtstyle.cli.main import main
from rtstyle.errors import EncoderUnavailable
from rtstyle.media import EncodeOptions, check_output, hardware, hardware_encoders, open_video
from rtstyle.media.hardware import CANDIDATES, Candidate, Family, find_hardware, problem_of
from rtstyle.types import Size
from tests.clips import make_clip, video_pts
from tests.unit.test_media_writer import copy

SIZE = Size(64, 48)


def _x264(codec: str, coarse: float) -> dict[str, str]:
    return {"qp": str(round(coarse * 51)), "preset": "ultrafast"}


def _impossible(codec: str, coarse: float) -> dict[str, str]:
    return {"preset": "no such word"}


WORKS = Candidate("h264", "libx264", Family("works", "nv12", _x264, ("ultrafast", "slow")))
REFUSES = Candidate("h264", "libx264", Family("refuses", "nv12", _impossible))
NEEDS_DEVICE = Candidate("h264", "h264_nvenc", Family("device", "nv12", _x264, device="vaapi"))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    problem_of.cache_clear()
    yield
    problem_of.cache_clear()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "a.mp4", frames=8, audio=True)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one, whatever machine this is."""
    monkeypatch.setattr(hardware, "CANDIDATES", (REFUSES, NEEDS_DEVICE))


def use(monkeypatch: pytest.MonkeyPatch, *candidates: Candidate) -> None:
    monkeypatch.setattr(hardware, "CANDIDATES", candidates)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
def test_auto_takes_the_software_and_says_so(clip: Path, tmp_path: Path, codec: str) -> None:
    report = copy(clip, tmp_path / "b.mkv", EncodeOptions(codec=codec, encoder="auto"))
    (note,) = [note for note in report.notes if "hardware" in note]
    assert "in software" in note
    assert codec in note
    assert len(video_pts(tmp_path / "b.mkv")) == 8


@pytest.mark.usefixtures("bare")
def test_hardware_alone_is_refused_before_anything_is_made(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable) as caught:
        stylize_video(clip, tmp_path / "b.mp4", None, stylizer=FakeStylizer(), encoder="hardware")
    assert caught.value.exit_code == 4
    said = str(caught.value)
    assert "h264_nvenc" in said
    assert "--encoder software" in said
    assert "libx264" in said
    assert "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.usefixtures("bare")
def test_the_command_line_passes_the_choice_on(clip: Path, tmp_path: Path) -> None:
    def run(encoder: str) -> Result:
        arguments = ["video", str(clip), "-o", str(tmp_path / "b.mp4"), "--strength", "0"]
        return CliRunner().invoke(main, [*arguments, "--encoder", encoder])

    refused = run("hardware")
    assert refused.exit_code == 4
    assert "--encoder software" in refused.output
    assert not (tmp_path / "b.mp4").exists()
    done = run("auto")
    assert done.exit_code == 0
    assert "note: no hardware encoder of h264 works here" in done.output


def test_a_codec_that_no_card_encodes_is_refused_with_those_they_do(tmp_path: Path) -> None:
    for codec, name in (("vp9", "b.webm"), ("prores", "b.mov"), ("ffv1", "b.mkv")):
        options = EncodeOptions(codec=codec, encoder="hardware")
        with pytest.raises(EncoderUnavailable, match=rf"{codec}.*h264, hevc, av1"):
            check_output(tmp_path / name, source=None, overwrite=False, options=options)


def test_software_is_not_looked_past(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, WORKS)
    plain = copy(clip, tmp_path / "b.mp4", EncodeOptions())
    assert plain.notes == ()
    use(monkeypatch)
    assert copy(clip, tmp_path / "c.mp4", EncodeOptions()).bytes == plain.bytes


@pytest.mark.parametrize("encoder", ["hardware", "auto"])
def test_the_first_that_really_encodes_is_taken(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    use(monkeypatch, NEEDS_DEVICE, REFUSES, WORKS)
    report = copy(clip, tmp_path / "b.mp4", EncodeOptions(encoder=encoder, quality=51))
    assert video_pts(tmp_path / "b.mp4") == video_pts(clip)
    assert ("by libx264" in " ".join(report.notes)) == (encoder == "auto")
    fine = copy(clip, tmp_path / "c.mp4", EncodeOptions(encoder=encoder, quality=0))
    assert fine.bytes > 2 * report.bytes
    opened, failed = find_hardware(EncodeOptions(), SIZE)
    assert opened is not None
    assert opened.candidate == WORKS
    assert [reason.partition(":")[0] for reason in failed] == ["h264_nvenc", "libx264"]


def test_odd_sizes_are_left_to_the_software(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, WORKS)
    clip = make_clip(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0", size=(17, 18), frames=3)
    report = copy(clip, tmp_path / "b.mp4", EncodeOptions(encoder="auto"))
    assert any("17x18 is odd" in note for note in report.notes)
    with open_video(tmp_path / "b.mp4") as video:
        assert [frame.size for frame in video] == [Size(17, 18)] * 3
    with pytest.raises(EncoderUnavailable, match="17x18 is odd"):
        copy(clip, tmp_path / "c.mp4", EncodeOptions(encoder="hardware"))
    assert not list(tmp_path.glob("c.*"))


def test_a_size_that_only_this_encoder_refuses_falls_back(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_wide(
        candidate: Candidate, size: Size, settings: tuple[tuple[str, str], ...]
    ) -> str | None:
        return "width below 145" if size.width < 145 else None

    use(monkeypatch, WORKS)
    monkeypatch.setattr(hardware, "problem_of", only_wide)
    report = copy(clip, tmp_path / "b.mp4", EncodeOptions(encoder="auto"))
    assert any("width below 145" in note for note in report.notes)


def test_one_that_opens_and_gives_no_picture_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Silent:
        def __init__(self, made: object) -> None:
            self.time_base = Fraction(1, 25)

        def encode(self, picture: object) -> list[object]:
            return []

    monkeypatch.setattr(av.CodecContext, "create", lambda *a, **k: Silent(a))
    monkeypatch.setattr(hardware, "open_encoder", lambda context: None)
    assert problem_of(WORKS, SIZE, ()) == "it gave 0 of 3 pictures"


def test_why_a_driver_refuses_is_told_in_its_own_words() -> None:
    if any(names for names in hardware_encoders().values()):
        pytest.skip("a hardware encoder works here")
    nvenc = next(c for c in CANDIDATES if c.library == "h264_nvenc")
    if nvenc.library not in av.codecs_available:
        pytest.skip("this build has no h264_nvenc")
    reason = problem_of(nvenc, SIZE, ())
    assert reason is not None
    assert "libcuda" in reason or "nvcuda" in reason or "device" in reason.lower()
    assert av.logging.get_level() is None


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.library)
def test_settings_are_options_that_the_encoder_knows(candidate: Candidate) -> None:
    if candidate.library not in av.codecs_available:
        pytest.skip("not in this build of av")
    known = av.CodecContext.create(candidate.library, "w").supported_options
    options = {option.name: option for option in (*known.generic, *known.private)}
    presets = ("0", "7", "13") if candidate.codec == "av1" else ("ultrafast", "fast", "placebo")
    for quality in (1, 18, 51):
        for preset in presets:
            chosen = EncodeOptions(codec=candidate.codec, quality=quality, preset=preset)
            for name, value in candidate.settings(chosen).items():
                option = options[name]
                words = {choice.name for choice in option.choices}
                if value.lstrip("+-").replace(".", "").isdigit():
                    assert option.min <= float(value) <= option.max, (name, value)
                else:
                    assert value.lstrip("+") in words, (name, value)


def test_quality_and_preset_keep_their_order() -> None:
    for candidate in CANDIDATES:
        coarse = [
            candidate.settings(EncodeOptions(codec=candidate.codec, quality=quality))
            for quality in (2, 20, 40, 51)
        ]
        key = next(k for k in ("cq", "qp_p", "global_quality") if k in coarse[0])
        found = [int(settings[key]) for settings in coarse]
        # VideoToolbox counts quality upwards.
        assert found == sorted(found, reverse=candidate.family.name == "videotoolbox")
        assert len(set(found)) == 4
    quick, slow = ("13", "0"), ("ultrafast", "placebo")
    nvenc = {c.codec: c for c in CANDIDATES if c.family.name == "nvenc"}
    for codec, presets in (("av1", quick), ("h264", slow)):
        said = [
            nvenc[codec].settings(EncodeOptions(codec=codec, preset=preset))["preset"]
            for preset in presets
        ]
        assert said == ["p1", "p7"]


def test_the_doctor_lists_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, REFUSES, WORKS)
    # In this process, which has the stand-ins; the command looks in others.
    found = examine(load=importlib.import_module)
    (line,) = [line for line in report(found) if "in hardware" in line]
    assert line.split() == ["in", "hardware", "libx264"]
    assert found.hardware == {"h264": ("libx264",), "hevc": (), "av1": ()}
    use(monkeypatch, REFUSES)
    assert "none works here" in "\n".join(report(examine(load=importlib.import_module)))
    told = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).output)
    assert told["hardware"].keys() == found.hardware.keys()


@pytest.mark.hardware
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_a_real_hardware_encoder_keeps_times_and_colours(tmp_path: Path, codec: str) -> None:
    if not hardware_encoders()[codec]:
        pytest.skip(f"no hardware encoder of {codec} works here")
    clip = make_clip(tmp_path / "a.mp4", size=(256, 192), frames=40, audio=True)
    report = copy(clip, tmp_path / "b.mp4", EncodeOptions(codec=codec, encoder="hardware"))
    assert report.notes == ()
    assert video_pts(tmp_path / "b.mp4") == video_pts(clip)
    with open_video(clip) as one, open_video(tmp_path / "b.mp4") as other:
        assert other.info.colour == one.info.colour
        for mine, theirs in zip(one, other, strict=True):
            assert abs(mine.pixels.astype(int) - theirs.pixels).mean() < 6
