from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from rtstyle.errors import ModelError, UnknownStyle
from rtstyle.nets import JohnsonNet, load_features, widen
from tests import features as builders


@pytest.mark.parametrize(("width", "parameters"), [(16, 424_899), (32, 1_679_235)])
def test_johnson_net_has_the_papers_size(width: int, parameters: int) -> None:
    net = JohnsonNet(width)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_johnson_net_keeps_shape_and_range() -> None:
    torch.manual_seed(0)
    net = JohnsonNet(4, blocks=2).eval()
    with torch.no_grad():
        y = net(torch.rand(2, 3, 48, 64))
    assert y.shape == (2, 3, 48, 64)
    assert y.min() >= -0.1 and y.max() <= 1.1
    assert y.std() > 0


def test_pictures_of_a_batch_do_not_touch_each_other() -> None:
    torch.manual_seed(0)
    net = JohnsonNet(4, blocks=1).eval()
    a, b = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        both, alone = net(torch.cat([a, b])), net(a)
    torch.testing.assert_close(both[:1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("width", "blocks"), [(0, 5), (16, -1)])
def test_johnson_net_refuses_nonsense(width: int, blocks: int) -> None:
    with pytest.raises(ValueError, match="width"):
        JohnsonNet(width, blocks)


def test_widened_net_computes_the_same_without_noise() -> None:
    torch.manual_seed(0)
    narrow = JohnsonNet(4, blocks=2).eval()
    for p in narrow.parameters():
        torch.nn.init.normal_(p, std=0.2)
    wide = widen(narrow, 8, noise=0.0).eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(wide(x), narrow(x), atol=1e-4, rtol=1e-3)


def test_widened_copies_differ_with_noise() -> None:
    wide = widen(JohnsonNet(4, blocks=1), 8)
    kernel = wide.state_dict()["residual.0.first.conv.weight"]
    assert not torch.equal(kernel[:16], kernel[16:])


def test_widen_refuses_what_is_no_multiple() -> None:
    with pytest.raises(ValueError, match="multiple"):
        widen(JohnsonNet(4, blocks=1), 6)


def _save(state: dict[str, Tensor], file: Path) -> Path:
    if file.suffix == ".pth":
        torch.save(state, file)
    else:
        save_file(state, file)
    return file


@pytest.mark.parametrize(
    ("state", "name", "deepest", "channels"),
    [
        (builders.compressed_state(), "a.safetensors", "relu5_1", 8),
        (builders.sequential_state(), "a.safetensors", "relu3_1", 4),
        (builders.torchvision_state(builders.VGG16_BLOCKS), "a.pth", "relu5_3", 4),
        (builders.torchvision_state(builders.VGG19_BLOCKS), "a.pth", "relu5_4", 4),
    ],
)
def test_feature_files_of_every_kind(
    tmp_path: Path, state: dict[str, Tensor], name: str, deepest: str, channels: int
) -> None:
    net = load_features(_save(state, tmp_path / name))
    assert net.layers[-1] == deepest
    taps = net(torch.rand(1, 3, 64, 48), ["relu1_1", "relu3_1"])
    assert taps["relu1_1"].shape == (1, channels, 64, 48)
    assert taps["relu3_1"].shape == (1, channels, 16, 12)
    assert all(t.min() >= 0 for t in taps.values())
    assert not any(p.requires_grad for p in net.parameters())


def test_features_equal_the_plain_maths(tmp_path: Path) -> None:
    state = builders.sequential_state()
    net = load_features(_save(state, tmp_path / "a.safetensors"))
    x = torch.rand(1, 3, 16, 16)
    y = functional.conv2d(x, state["0.weight"], state["0.bias"])
    for number in ("2", "5"):
        y = functional.pad(y, (1, 1, 1, 1), mode="reflect")
        weight, bias = state[f"{number}.weight"], state[f"{number}.bias"]
        y = functional.relu(functional.conv2d(y, weight, bias))
    torch.testing.assert_close(net(x, ["relu1_2"])["relu1_2"], y)


def test_torchvision_features_normalise_and_pad_with_zeros(tmp_path: Path) -> None:
    state = builders.torchvision_state(builders.VGG16_BLOCKS)
    net = load_features(_save(state, tmp_path / "a.pth"))
    x = torch.rand(1, 3, 16, 16)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    weight, bias = state["features.0.weight"], state["features.0.bias"]
    y = functional.relu(functional.conv2d((x - mean) / std, weight, bias, padding=1))
    torch.testing.assert_close(net(x, ["relu1_1"])["relu1_1"], y, atol=1e-5, rtol=1e-4)


def test_unknown_layers_are_named(tmp_path: Path) -> None:
    net = load_features(_save(builders.sequential_state(), tmp_path / "a.safetensors"))
    with pytest.raises(ValueError, match="relu4_1"):
        net(torch.rand(1, 3, 16, 16), ["relu4_1"])


def test_bad_feature_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownStyle, match="no such feature file"):
        load_features(tmp_path / "missing.pth")
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(ModelError, match=r"text\.safetensors"):
        load_features(text)
    other = _save({"fc.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="not a known VGG"):
        load_features(other)


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("bomb-went-off"),))


def test_a_pickle_bomb_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bomb.pth"
    torch.save({"features.0.weight": _Bomb()}, file)
    with pytest.raises(ModelError, match=r"bomb\.pth"):
        load_features(file)
    assert not Path("bomb-went-off").exists()


@pytest.mark.assets
@pytest.mark.parametrize("file", ["vgg19_16x.safetensors", "vgg19_relu3_1.safetensors"])
def test_real_feature_files_see_content(assets: Path, file: str) -> None:
    from rtstyle.train.data import centre_crop, read_photo
    from rtstyle.train.loop import as_batch

    net = load_features(assets / "features" / file)
    photos = sorted((assets / "photos" / "val").iterdir())[:2]
    a, b = (as_batch(centre_crop(read_photo(p), 128)[None], "cpu") for p in photos)

    def distance(x: Tensor, y: Tensor) -> float:
        return float((x - y).square().mean() / y.square().mean())

    def tap(x: Tensor) -> Tensor:
        features: Tensor = net(x, ["relu3_1"])["relu3_1"]
        return features

    brighter = (a * 0.9 + 0.05).clamp(0, 1)
    assert distance(tap(brighter), tap(a)) < 0.3 * distance(tap(b), tap(a))
