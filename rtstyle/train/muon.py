"""Muon: momentum whose matrices are made orthogonal before each step.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024,
kellerjordan.github.io/posts/muon), with its coefficients. A convolution is a matrix of outputs by
inputs times places. After as many iterations of distillation a net stood about where Adam's stood
after four times as many. torch.optim.Muon takes matrices alone, of two dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_MOMENTUM = 0.95
_VECTOR_RATE = 0.2
"""Of the learning rate, for what is no matrix: norms, biases and depthwise kernels, by Adam."""
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


def orthogonalized(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values near 1 (0.7 to 1.2), by Newton-Schulz iterations."""
    a, b, c = _COEFFICIENTS
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    turned = x.shape[0] > x.shape[1]
    if turned:
        x = x.T
    for _ in range(_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if turned else x


class Muon(torch.optim.Optimizer):
    """Muon for the convolutions of ``net``, Adam for everything else; ``rate`` is Muon's."""

    def __init__(self, net: nn.Module, rate: float) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for parameter in net.parameters():
            is_matrix = parameter.ndim == 4 and parameter.shape[1] > 1
            (matrices if is_matrix else others).append(parameter)
        groups = [{"params": matrices, "matrices": True}, {"params": others, "matrices": False}]
        super().__init__([group for group in groups if group["params"]], {"lr": rate})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step along the gradients."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            learned = [p for p in group["params"] if p.grad is not None]
            if group["matrices"]:
                self._turn(learned, group["lr"])
            else:
                self._adam(learned, group["lr"] * _VECTOR_RATE)
        return loss

    def _turn(self, matrices: Iterable[Tensor], rate: float) -> None:
        for parameter in matrices:
            gradient = parameter.grad
            assert gradient is not None
            momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(gradient))
            momentum.lerp_(gradient, 1 - _MOMENTUM)
            flat = gradient.lerp(momentum, _MOMENTUM).reshape(len(parameter), -1)
            scale = max(1.0, flat.shape[0] / flat.shape[1]) ** 0.5
            parameter.add_(orthogonalized(flat).reshape(parameter.shape), alpha=-rate * scale)

    def _adam(self, vectors: Iterable[Tensor], rate: float) -> None:
        for parameter in vectors:
            gradient = parameter.grad
            assert gradient is not None
            state: dict[str, Any] = self.state[parameter]
            if not state:
                state.update(
                    mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient), steps=0
                )
            state["steps"] += 1
            state["mean"].lerp_(gradient, 1 - _BETAS[0])
            state["square"].lerp_(gradient.square(), 1 - _BETAS[1])
            mean = state["mean"] / (1 - _BETAS[0] ** state["steps"])
            square = state["square"] / (1 - _BETAS[1] ** state["steps"])
            parameter.addcdiv_(mean, square.sqrt() + _EPSILON, value=-rate)
