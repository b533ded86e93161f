"""AnimeGANv2 and CartoonGAN: published weights fit, and mean what they meant."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from rtstyle.errors import ModelError, UnknownStyle
from rtstyle.export import multiply_accumulates
from rtstyle.nets import (
    AnimeDiscriminator,
    AnimeGenerator,
    CartoonGenerator,
    FastAnimeGenerator,
    load_cartoongan,
)
from rtstyle.nets.animegan import ConvBlock, DownConv, DSConv, InvertedResBlock, LayerNorm, UpConv
from tests.published import (
    animegan_painting,
    animegan_state,
    cartoongan_painting,
    cartoongan_state,
    normalised,
)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


Block = TypeVar("Block", bound=nn.Module)


def photo(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def scattered(block: Block) -> Block:
    """Every weight at random, so that no forgotten scale or shift goes unseen."""
    torch.manual_seed(0)
    for p in block.parameters():
        nn.init.normal_(p, mean=0.1, std=0.3)
    return block.eval()


def test_sizes_of_the_published_nets() -> None:
    assert parameters(AnimeGenerator()) == 2_143_552
    assert parameters(AnimeDiscriminator()) == 1_128_800
    assert parameters(CartoonGenerator()) == 11_129_667


def test_cost_of_the_published_generator_and_of_the_fast_one() -> None:
    def giga(net: nn.Module) -> float:
        return multiply_accumulates(net, 72, 128) * 25 / 1e9

    assert giga(AnimeGenerator()) == pytest.approx(92.4, rel=0.001)
    assert giga(FastAnimeGenerator()) * 14 < 92.4


@pytest.mark.parametrize("net", [AnimeGenerator(4, skip=True), FastAnimeGenerator(4)])
def test_a_new_net_with_a_skip_gives_the_photo_back_and_learns(net: nn.Module) -> None:
    x = photo(1, 3, 32, 32)
    drawn = net(x)
    assert torch.equal(drawn, x)
    drawn.square().mean().backward()
    assert sum(p.grad.abs().sum() for p in net.parameters() if p.grad is not None) > 0


def test_detail_finds_its_way_past_the_middle() -> None:
    """With the coarse way cut off, a pixel that changes is still drawn otherwise."""
    fast, full = FastAnimeGenerator(4).eval(), AnimeGenerator(4, 1, skip=True).eval()
    for net, cut in ((fast, fast.body), (full, full.block_c)):
        nn.init.normal_(net.out_layer.get_parameter("0.weight"))
        for parameter in cut.parameters():
            nn.init.zeros_(parameter)
        x = photo(1, 3, 32, 32)
        changed = x.clone()
        changed[..., 16, 16] += 0.5
        with torch.no_grad():
            drawn = ((net(changed) - changed) - (net(x) - x)).abs()
        assert drawn[..., 14:18, 14:18].max() > 5 * drawn[..., :8, :8].max()


def test_skips_add_no_weights() -> None:
    plain, skipping = AnimeGenerator(4), AnimeGenerator(4, skip=True)
    skipping.load_state_dict(plain.state_dict(), strict=True)
    assert plain.state_dict().keys() == skipping.state_dict().keys()


@pytest.mark.parametrize("align_corners", [False, True])
def test_weights_of_the_animegan_port_load_strictly_and_paint_the_same(align_corners: bool) -> None:
    state = animegan_state()
    net = AnimeGenerator(align_corners=align_corners).eval()
    net.load_state_dict(state, strict=True)
    x = photo(2, 3, 16, 28)
    with torch.no_grad():
        expected = animegan_painting(state, x, align_corners=align_corners)
        torch.testing.assert_close(net(x), expected, atol=2e-5, rtol=1e-4)


def test_the_way_of_upsampling_is_seen_in_the_picture() -> None:
    one, other = AnimeGenerator(4), AnimeGenerator(4, align_corners=True)
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert (one(photo(1, 3, 32, 32)) - other(photo(1, 3, 32, 32))).abs().max() > 0.01


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (AnimeGenerator(4), (16, 16)),
        (AnimeGenerator(4, blocks=2), (20, 52)),
        (FastAnimeGenerator(4), (8, 20)),
        (CartoonGenerator(4, blocks=1), (16, 16)),
        (CartoonGenerator(4, blocks=2), (28, 20)),
    ],
)
def test_generators_keep_the_size_and_stay_in_range(net: nn.Module, size: tuple[int, int]) -> None:
    with torch.no_grad():
        y = net.eval()(photo(2, 3, *size) * 3)
    assert y.shape == (2, 3, *size)
    assert isinstance(net, FastAnimeGenerator) or y.abs().max() <= 1
    assert y.std() > 0.01


def test_the_size_rule_is_what_the_net_can_do() -> None:
    for net in (AnimeGenerator(4), FastAnimeGenerator(4)):
        least = net.size_minimum
        assert least % net.size_multiple == 0
        with torch.no_grad():
            assert net(photo(1, 3, least, least + net.size_multiple)).shape[-1] > least


def test_pictures_of_a_batch_do_not_touch_each_other() -> None:
    net = AnimeGenerator(4).eval()
    x = photo(2, 3, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[:1], net(x[:1]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("width", "blocks"), [(0, 4), (8, 0)])
def test_generators_refuse_nonsense(width: int, blocks: int) -> None:
    for net in (AnimeGenerator, FastAnimeGenerator, CartoonGenerator):
        with pytest.raises(ValueError, match="width and blocks"):
            net(width, blocks)


@pytest.mark.parametrize(("width", "halvings"), [(1, 2), (64, 0)])
def test_the_discriminator_refuses_nonsense(width: int, halvings: int) -> None:
    with pytest.raises(ValueError, match="halvings"):
        AnimeDiscriminator(width, halvings)


def test_layer_norm_is_over_channels_and_places() -> None:
    norm = scattered(LayerNorm(6))
    x = photo(2, 6, 5, 7)
    weight, bias = norm.get_parameter("weight"), norm.get_parameter("bias")
    torch.testing.assert_close(norm(x), normalised(x, weight, bias, (1, 2, 3), 1e-5))


def test_conv_block_by_hand() -> None:
    block = scattered(ConvBlock(3, 4, 5))
    x = photo(1, 3, 8, 9)
    state = block.state_dict()
    y = functional.conv2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), state["1.weight"])
    y = normalised(y, state["2.weight"], state["2.bias"], (1, 2, 3), 1e-5)
    torch.testing.assert_close(block(x), torch.maximum(y, 0.2 * y))


def test_down_conv_sees_the_pixels_right_and_below() -> None:
    down = scattered(DownConv(2, 3))
    x = photo(1, 2, 8, 8)
    before = down[1](down[0](x))
    kernel = down.state_dict()["1.weight"]
    assert before.shape == (1, 3, 4, 4)
    torch.testing.assert_close(before[0, :, 1, 1], (kernel * x[0, :, 2:5, 2:5]).sum((1, 2, 3)))


def test_up_conv_doubles_by_quarters() -> None:
    up = scattered(UpConv(1, 1, align_corners=False))
    seen: list[Tensor] = []
    up[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    x = photo(1, 1, 4, 4)
    assert up(x).shape == (1, 1, 8, 8)
    a, b = x[0, 0, 0, 0], x[0, 0, 0, 1]
    torch.testing.assert_close(
        seen[0][0, 0, 0, :3], torch.stack([a, (3 * a + b) / 4, (a + 3 * b) / 4])
    )


def test_depthwise_convolution_mixes_no_channels() -> None:
    block = DSConv(4, 4)
    x = photo(1, 4, 8, 8)
    other = x.clone()
    other[:, 0] = 0
    conv = block.get_submodule("0.1")
    with torch.no_grad():
        changed = (conv(x) - conv(other)).abs().amax((0, 2, 3)) > 0
    assert changed.tolist() == [True, False, False, False]


def test_the_skip_is_there_only_where_channels_stay() -> None:
    x = photo(1, 4, 8, 8)
    for outputs, skipped in ((4, x), (6, torch.zeros(1, 6, 8, 8))):
        block = InvertedResBlock(4, outputs)
        nn.init.zeros_(block.get_parameter("layers.3.weight"))
        torch.testing.assert_close(block(x), skipped)


def test_the_discriminator_judges_patches() -> None:
    judge = AnimeDiscriminator(8)
    assert judge(photo(2, 3, 48, 32)).shape == (2, 1, 12, 8)
    assert not any(name.endswith("bias") for name, _ in judge.named_parameters() if "param" in name)


def test_spectral_norm_holds_every_convolution_of_the_discriminator() -> None:
    torch.manual_seed(0)
    judge = AnimeDiscriminator(8)
    with torch.no_grad():
        for _ in range(50):  # the power iteration takes a step a look
            judge(photo(1, 3, 16, 16))
    judge.eval().requires_grad_(False)
    convs = [m for m in judge.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 7
    for conv in convs:
        largest = torch.linalg.matrix_norm(conv.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.02)


def test_cartoongan_weights_load_and_paint_the_same(tmp_path: Path) -> None:
    state = cartoongan_state()
    file = tmp_path / "style.safetensors"
    save_file({name: tensor.half() for name, tensor in state.items()}, file)
    halved = {name: tensor.half().float() for name, tensor in state.items()}
    net = load_cartoongan(file)
    assert not net.training
    x = photo(1, 3, 16, 20)
    with torch.no_grad():
        # The net takes RGB; the weights in the file stand for BGR at both ends.
        expected = cartoongan_painting(halved, x.flip(1)).flip(1)
        torch.testing.assert_close(net(x), expected, atol=2e-5, rtol=1e-4)


def test_cartoongan_weights_from_a_torch_file(tmp_path: Path) -> None:
    torch.save(cartoongan_state(), tmp_path / "style.pth")
    assert parameters(load_cartoongan(tmp_path / "style.pth")) == 11_129_667


def test_what_is_no_cartoongan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownStyle, match="no such weights"):
        load_cartoongan(tmp_path / "missing.safetensors")
    torch.save(animegan_state(), tmp_path / "anime.pth")
    with pytest.raises(ModelError, match=r"anime\.pth.*conv01_1.*found 77, block_a"):
        load_cartoongan(tmp_path / "anime.pth")
    wrong = cartoongan_state()
    wrong["in05_1.scale"] = torch.ones(3)
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(ModelError, match=r"wrong\.pth"):
        load_cartoongan(tmp_path / "wrong.pth")


@pytest.mark.assets
@pytest.mark.parametrize("name", ["hayao", "shinkai", "paprika"])
def test_the_published_cartoons_look_like_their_photos(assets: Path, name: str) -> None:
    from rtstyle.train.data import read_photo, resize_short_side

    net = load_cartoongan(assets / "cartoongan" / f"{name}.safetensors")
    path = sorted((assets / "photos" / "val").iterdir())[77]
    photo = resize_short_side(read_photo(path), 160)[:160, :160]
    pixels = torch.from_numpy(photo.copy()).permute(2, 0, 1).float()
    x = (pixels / 127.5 - 1)[None]
    with torch.no_grad():
        y, swapped = net(x), net(x.flip(1)).flip(1)

    def likeness(a: Tensor, b: Tensor) -> float:
        return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()

    def warmth(a: Tensor) -> Tensor:
        return a[:, 0] - a[:, 2]

    assert likeness(x.mean(1), y.mean(1)) > 0.8
    assert likeness(warmth(x), warmth(y)) > likeness(warmth(x), warmth(swapped))
