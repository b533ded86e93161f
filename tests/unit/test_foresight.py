"""Need told before it is met: against what is measured, and what is done where there is less."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rtstyle.backends import FakeStylizer, Stylizer, base, foresight, load_stylizer
from rtstyle.backends.foresight import numbers_of, on_openvino, scaled_down
from rtstyle.errors import BackendOutOfMemory
from rtstyle.media import EncodeOptions
from rtstyle.memory import CONTAINER, PROCESS, Room
from rtstyle.pipeline import room as film_room
from rtstyle.pipeline import stylize_video
from rtstyle.pipeline.room import QUEUE_DEPTH, Plan, frames_bytes, plan_film
from rtstyle.styles import StyleSpec, bundled_styles, find_style
from rtstyle.styles.footprint import KEY, most_numbers, numbers_a_pixel
from rtstyle.types import Colour, Pixels, Size, VideoInfo
from tests.clips import make_clip
from tests.nets import build, conv_net, halving_net, identity_net

HD, UHD = Size(1920, 1080), Size(3840, 2160)


def film(size: Size, *, bits: int = 8, alpha: bool = False) -> VideoInfo:
    return VideoInfo(
        size=size,
        time_base=Fraction(1, 25),
        average_rate=Fraction(25),
        frames_in_header=10,
        duration_in_header=None,
        rotation=0,
        pixel_aspect=Fraction(1),
        colour=Colour(),
        codec="h264",
        bits=bits,
        alpha=alpha,
    )


class Heavy(FakeStylizer):
    """Takes what OpenVINO takes for the style in float32."""

    def __init__(self, spec: StyleSpec) -> None:
        super().__init__(spec)
        self._info = dataclasses.replace(self._info, name="openvino")

    @property
    def batch_hint(self) -> int:
        return 2

    def working_bytes(self, size: Size, *, batch: int = 1, repeated: bool = False) -> int | None:
        del repeated
        return on_openvino(self.spec, numbers_of(self.spec), "fp32", size, batch=batch)


def with_room(monkeypatch: pytest.MonkeyPatch, amount: int | None, source: str = CONTAINER) -> None:
    there = None if amount is None else Room(amount, source)
    for module in (foresight, film_room):
        monkeypatch.setattr(module, "available_memory", lambda: there)
    monkeypatch.setattr(film_room, "usable_cores", lambda: 2)
    monkeypatch.setattr(foresight, "usable_cores", lambda: 2)


@pytest.mark.parametrize("spec", bundled_styles(), ids=lambda spec: spec.name)
def test_the_card_of_a_bundled_style_says_what_its_graph_holds(spec: StyleSpec) -> None:
    found = numbers_a_pixel(onnx.load(str(spec.file)), spec.size_rule)
    assert found == spec.measured[KEY] == numbers_of(spec)


def test_what_a_graph_holds_at_once_follows_from_its_shapes() -> None:
    size = Size(64, 32)
    pixels = size.width * size.height
    assert most_numbers(onnx.load_from_string(identity_net()), size) == pixels * 3 / 4
    wide = most_numbers(onnx.load_from_string(conv_net(channels=200)), size)
    # Instance norm reads 200 channels and makes as many; Pad then reads those and makes more.
    assert wide is not None
    assert 400 * pixels <= wide <= 500 * pixels
    assert (most_numbers(onnx.load_from_string(halving_net()), size) or 0) <= 10 * pixels


def test_a_graph_whose_shapes_hang_on_the_picture_tells_nothing() -> None:
    nodes = [
        helper.make_node("Cast", ["frame"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["length"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["length", "axis"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["many"]),
        helper.make_node("ReduceMean", ["many"], ["one"], keepdims=0),
        helper.make_node("Add", ["floats", "one"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["stylized"], to=TensorProto.UINT8),
    ]
    model = onnx.load_from_string(build(nodes, {"axis": np.array([0], np.int64)}))
    assert most_numbers(model, Size(64, 64)) is None


MEASURE = """
import json, sys
from pathlib import Path
import numpy as np
import rtstyle.backends.base as base
told = []
base.refuse_beyond = lambda stylizer, size, batch: told.append(
    resident() + stylizer.working_bytes(size, batch=batch)
)
def resident(what="VmRSS"):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))
from rtstyle.pipeline import stylize_image
style, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
stylize_image(picture, style, backend="openvino", precision="fp32", output=sys.argv[4])
# Not getrusage, whose peak begins with that of the process that started this one.
print(json.dumps([told[0], resident("VmHWM")]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident size is read as Linux tells it")
@pytest.mark.parametrize("style", ["hayao-fast", "great-wave"])
def test_what_is_foreseen_of_a_picture_is_what_it_takes(tmp_path: Path, style: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, style, "1920", "1080", str(tmp_path / "x.png")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    foreseen, taken = (int(n) for n in done.stdout.strip("[]\n ").split(","))
    assert taken <= foreseen <= 1.4 * taken


def test_a_picture_that_does_not_fit_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_room(monkeypatch, 400 * 10**6)
    stylizer = Heavy(find_style("hayao"))
    with pytest.raises(BackendOutOfMemory) as caught:
        stylizer(np.zeros((1, 1080, 1920, 3), np.uint8))
    line = str(caught.value)
    assert "1920x1080 in style hayao and fp32 needs about 2.5 GB" in line
    assert "the container has 400 MB left" in line
    assert "\n" not in line
    assert stylizer(np.zeros((1, 48, 64, 3), np.uint8)).shape == (1, 48, 64, 3)


def test_every_remedy_that_is_named_works(monkeypatch: pytest.MonkeyPatch) -> None:
    with_room(monkeypatch, 600 * 10**6)
    stylizer = Heavy(find_style("hayao"))
    with pytest.raises(BackendOutOfMemory) as caught:
        stylizer(np.zeros((1, 1080, 1920, 3), np.uint8))
    line = str(caught.value)
    assert "take --style hayao-fast" in line
    assert "scale the source down to 640x360" in line or "960x540" in line
    other = Heavy(find_style("hayao-fast"))
    assert other(np.zeros((1, 1080, 1920, 3), np.uint8)).shape == (1, 1080, 1920, 3)
    smaller = "960x540" if "960x540" in line else "640x360"
    width, height = map(int, smaller.split("x"))
    assert stylizer(np.zeros((1, height, width, 3), np.uint8)).shape == (1, height, width, 3)
    # Where nothing fits, nothing is named but more memory.
    with_room(monkeypatch, 10**6)
    with pytest.raises(BackendOutOfMemory) as caught:
        Heavy(find_style("hayao"))(np.zeros((1, 1080, 1920, 3), np.uint8))
    assert "--style" not in str(caught.value)
    assert "scale" not in str(caught.value)
    assert "give the container more memory" in str(caught.value)


def test_without_a_limit_that_can_be_read_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_room(monkeypatch, None)
    stylizer = Heavy(find_style("hayao"))
    assert len(stylizer(np.zeros((1, 1080, 1920, 3), np.uint8))) == 1
    plan = plan_film(stylizer, film(UHD), EncodeOptions(), batch=2)
    assert plan == Plan(2, QUEUE_DEPTH, None)


def test_a_style_that_nothing_is_known_of_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_room(monkeypatch, 0)
    assert len(FakeStylizer()(np.zeros((1, 64, 64, 3), np.uint8))) == 1


def test_with_less_memory_fewer_pictures_are_held_and_a_note_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stylizer, options = Heavy(find_style("hayao-fast")), EncodeOptions()

    def need(plan: Plan) -> int:
        taken = stylizer.working_bytes(HD, batch=plan.batch, repeated=True)
        assert taken is not None
        return taken + frames_bytes(HD, film(HD), options, plan)

    with_room(monkeypatch, 10**12)
    usual, least = Plan(2, QUEUE_DEPTH, None), Plan(1, 1, None)
    assert plan_film(stylizer, film(HD), options, batch=2) == usual
    with_room(monkeypatch, need(usual) - 1)
    one = plan_film(stylizer, film(HD), options, batch=2)
    assert (one.batch, one.ahead) == (1, QUEUE_DEPTH)
    assert one.note is not None
    assert "1 picture at a time goes through the net instead of 2" in one.note
    with_room(monkeypatch, need(least))
    few = plan_film(stylizer, film(HD), options, batch=2)
    assert (few.batch, few.ahead) == (1, 1)
    assert few.note is not None
    assert "1 waits between the stages instead of 4" in few.note
    with_room(monkeypatch, need(least) - 1)
    with pytest.raises(BackendOutOfMemory, match="a film of 1920x1080 in style hayao-fast"):
        plan_film(stylizer, film(HD), options, batch=2)
    # Where addresses are bounded, threads take some that nothing is ever written to.
    with_room(monkeypatch, need(least), PROCESS)
    with pytest.raises(BackendOutOfMemory, match="raise the limit"):
        plan_film(stylizer, film(HD), options, batch=2)


def test_a_film_without_a_net_needs_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with_room(monkeypatch, 500 * 10**6)
    with pytest.raises(BackendOutOfMemory, match="scale the source down to 1920x1080"):
        plan_film(None, film(UHD), EncodeOptions(), batch=1)
    assert plan_film(None, film(HD), EncodeOptions(), batch=1).note is None


def test_deep_and_transparent_pictures_take_more() -> None:
    plan = Plan(1, QUEUE_DEPTH, None)
    plain = frames_bytes(HD, film(HD), EncodeOptions(), plan)
    assert frames_bytes(HD, film(HD, alpha=True), EncodeOptions(), plan) > plain
    deep = EncodeOptions(codec="prores", bit_depth="auto")
    shallow = frames_bytes(HD, film(HD), deep, plan)
    assert frames_bytes(HD, film(HD, bits=10), deep, plan) > 1.8 * shallow


def test_the_note_of_a_scarce_run_is_in_its_report_and_its_frames_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "in.mp4", size=(320, 192), frames=9)
    plans: list[Plan] = []
    real = film_room.plan_film

    def scarce(net: Stylizer | None, *args: object, **options: object) -> Plan:
        stylizer = Heavy(find_style("hayao-fast"))
        taken = stylizer.working_bytes(Size(320, 192), batch=1, repeated=True)
        assert taken is not None
        least = frames_bytes(
            Size(320, 192), film(Size(320, 192)), EncodeOptions(), Plan(1, 1, None)
        )
        with_room(monkeypatch, taken + least)
        plans.append(real(net, *args, **options))  # type: ignore[arg-type]
        return plans[-1]

    monkeypatch.setattr("rtstyle.pipeline.brush.plan_film", scarce)
    report = stylize_video(
        clip, tmp_path / "out.mp4", None, stylizer=Heavy(find_style("hayao-fast"))
    )
    assert report.frames_out == 9
    assert (plans[0].batch, plans[0].ahead) == (1, 1)
    assert plans[0].note in report.notes


def test_sizes_to_scale_down_to_keep_the_shape() -> None:
    assert scaled_down(UHD)[:2] == [Size(2560, 1440), Size(1920, 1080)]
    assert scaled_down(UHD.transposed)[0] == Size(1440, 2560)
    assert scaled_down(Size(320, 240)) == []


def test_a_size_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(base, "refuse_beyond", lambda stylizer, size, batch: asked.append(batch))
    stylizer = FakeStylizer()
    picture: Pixels = np.zeros((1, 8, 8, 3), np.uint8)
    for _ in range(3):
        stylizer(picture)
    assert asked == [1]


def test_a_lie_on_a_card_is_not_believed() -> None:
    spec = find_style("hayao")
    liar = StyleSpec(**{**{k: getattr(spec, k) for k in spec.__slots__}, "measured": {KEY: 1e12}})
    assert numbers_of(liar) is None
    assert numbers_of(liar, spec.file.read_bytes()) == spec.measured[KEY]


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_what_a_backend_takes_is_known(backend: str) -> None:
    with load_stylizer(find_style("great-wave"), backend=backend, precision="fp32") as stylizer:
        assert isinstance(stylizer, base.BaseStylizer)
        small, large = (stylizer.working_bytes(size) for size in (HD, UHD))
        assert small is not None and large is not None
        assert 3 * small < large < 4.2 * small
