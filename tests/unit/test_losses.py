from __future__ import annotations

import pytest
import torch

from rtstyle.nets import ContentLoss, StyleLoss, TotalVariationLoss, gram_matrix


def test_gram_matrix_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    expected = torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 2
    torch.testing.assert_close(gram_matrix(features), expected)


def test_gram_matrix_ignores_where_things_are() -> None:
    features = torch.rand(1, 4, 6, 6)
    moved = features.flip(2).roll(2, dims=3)
    torch.testing.assert_close(gram_matrix(moved), gram_matrix(features))


def test_content_loss_is_relative_to_the_target() -> None:
    target = torch.rand(1, 3, 8, 8) + 1
    loss = ContentLoss()
    assert loss(target, target).item() == 0
    assert loss(2 * target, target).item() == pytest.approx(1.0)
    assert loss(torch.zeros_like(target), target).item() == pytest.approx(1.0)


def test_style_loss_sums_over_layers_and_averages_over_pictures() -> None:
    one, two = torch.rand(1, 2, 4, 4), torch.rand(1, 3, 4, 4)
    loss = StyleLoss({"a": gram_matrix(one), "b": gram_matrix(two)})
    assert loss({"a": one, "b": two}).item() == pytest.approx(0.0, abs=1e-6)
    nothing = {"a": torch.zeros(2, 2, 4, 4), "b": torch.zeros(2, 3, 4, 4)}
    assert loss(nothing).item() == pytest.approx(2.0)
    half = {"a": torch.cat([one, torch.zeros_like(one)]), "b": torch.cat([two, two])}
    assert loss(half).item() == pytest.approx(0.5, abs=1e-5)


def test_total_variation_by_hand() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [0.0, 0.5]]]])
    assert TotalVariationLoss()(picture).item() == pytest.approx((0 + 0.25) / 2 + (1 + 0.25) / 2)
    assert TotalVariationLoss()(torch.ones(1, 3, 4, 4)).item() == 0
