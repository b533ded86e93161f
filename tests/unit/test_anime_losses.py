from __future__ import annotations

import numpy as np
import pytest
import torch

from rtstyle.nets.anime_losses import (
    ColourLoss,
    DetailLoss,
    DiscriminatorLoss,
    FeatureL1Loss,
    GeneratorAdversarialLoss,
    GreyStyleLoss,
    to_grey,
    to_yuv,
)


def _plain(*rgb: float, side: int = 4) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.float32)[None, :, None, None].expand(1, 3, side, side)


def test_the_generator_wants_to_pass_for_anime() -> None:
    loss = GeneratorAdversarialLoss()
    assert loss(torch.ones(2, 1, 3, 3)).item() == 0
    assert loss(torch.zeros(2, 1, 3, 3)).item() == 1
    assert loss(torch.tensor([[[[3.0, 0.5]]]])).item() == pytest.approx((4 + 0.25) / 2)


def test_the_discriminator_tells_anime_from_three_others() -> None:
    one, nought = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    loss = DiscriminatorLoss()
    assert loss(one, nought, nought, nought).item() == 0
    assert loss(nought, nought, nought, nought).item() == 1
    assert loss(one, 2 * one, nought, nought).item() == 4
    assert loss(one, nought, 3 * one, nought).item() == 9
    assert loss(one, nought, nought, 2 * one).item() == pytest.approx(0.4)
    assert DiscriminatorLoss(0.5)(one, nought, nought, 2 * one).item() == pytest.approx(2.0)


def test_content_is_the_mean_absolute_difference() -> None:
    features = torch.tensor([[[[1.0, -2.0]], [[0.0, 5.0]]]])
    assert FeatureL1Loss()(features, torch.zeros_like(features)).item() == pytest.approx(2.0)


def test_style_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    # Gram [[5, 11], [11, 25]] over 2 places and 2 channels, mean of four entries.
    nothing = torch.zeros_like(features)
    assert GreyStyleLoss()(features, nothing).item() == pytest.approx(52 / 4 / 4)
    assert GreyStyleLoss()(features, features.flip(3)).item() == 0


def test_colours_of_television() -> None:
    """White has no colour, and red, green and blue the levels of BT.601."""
    white = to_yuv(_plain(1, 1, 1))[0, :, 0, 0]
    np.testing.assert_allclose(white, [1, 0, 0], atol=1e-6)
    red = to_yuv(_plain(1, 0, 0))[0, :, 0, 0]
    np.testing.assert_allclose(red, [0.299, -0.147141, 0.614975], atol=1e-5)


def test_grey_has_three_equal_channels_of_the_luma() -> None:
    grey = to_grey(_plain(0.2, 0.8, 0.5))
    assert grey.shape == (1, 3, 4, 4)
    expected = 0.2 * 0.299 + 0.8 * 0.587 + 0.5 * 0.114
    np.testing.assert_allclose(grey, expected, atol=1e-6)


def test_colour_is_l1_of_luma_and_huber_of_the_rest() -> None:
    photo, drawn = _plain(0.5, 0.5, 0.5), _plain(1.0, 0.5, 0.5)
    y, u, v = 0.5 * 0.299, 0.5 * 0.147141, 0.5 * 0.614975
    loss = ColourLoss()
    assert loss(drawn, photo).item() == pytest.approx(y + u**2 / 2 + v**2 / 2, abs=1e-5)
    assert loss(photo, photo).item() == 0


def test_detail_sees_lines_and_no_tone() -> None:
    loss, flat = DetailLoss(), torch.zeros(1, 3, 12, 12)
    assert loss(flat + 0.3, flat).item() == pytest.approx(0.0, abs=1e-6)
    lines = flat.clone()
    lines[..., ::2] = 1
    assert loss(lines, flat).item() == pytest.approx(0.4)


def test_every_loss_has_a_gradient_that_points_home() -> None:
    torch.manual_seed(0)
    target = torch.rand(1, 3, 16, 16)
    for loss in (FeatureL1Loss(), GreyStyleLoss(), ColourLoss(), DetailLoss()):
        picture = torch.rand(1, 3, 16, 16, requires_grad=True)
        before = loss(picture, target)
        (gradient,) = torch.autograd.grad(before, picture)
        assert gradient.isfinite().all() and gradient.abs().sum() > 0
        after = loss(picture - 1e-3 * gradient / gradient.abs().max(), target)
        assert after < before, type(loss).__name__
