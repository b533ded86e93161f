"""Feed-forward style nets of two well-known projects, as they were trained; for their weights.

``TransformerNet`` is pytorch/examples, ``fast_neural_style/neural_style/transformer_net.py``;
``LengstromNet`` is lengstrom/fast-style-transfer, ``src/transform.py``. Both are the net of Johnson
et al. (arXiv:1603.08155), and differ in padding, upsampling, eps and output. Names of weights are
those of the original for the first; the second is filled by order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE_MULTIPLE = 4
"""Two halvings."""
SIZE_MINIMUM = 32
WIDEST = 1024
"""Channels of a first layer; 32 is usual, and a net of this width has billions of weights."""
_LENGSTROM_EPSILON = 1e-3


def _check(width: int) -> int:
    if not 1 <= width <= WIDEST:
        raise ValueError(f"width must be between 1 and {WIDEST}, got {width}")
    return width


class _Conv(nn.Module):
    """Reflection padding and a convolution, after nearest upsampling where asked."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, up: int = 1) -> None:
        super().__init__()
        self.up = up
        self.pad = kernel // 2
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.up > 1:
            x = functional.interpolate(x, scale_factor=float(self.up), mode="nearest")
        convolved: Tensor = self.conv2d(functional.pad(x, [self.pad] * 4, mode="reflect"))
        return convolved


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _Conv(channels, channels, 3, 1)
        self.in1 = nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = _Conv(channels, channels, 3, 1)
        self.in2 = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.in1(self.conv1(x)))
        changed: Tensor = self.in2(self.conv2(y))
        return x + changed


class TransformerNet(nn.Module):
    """``(N, 3, H, W)`` RGB in [0, 255] -> the same shape, about the same range, not clamped.

    Raises ValueError for a ``width`` outside 1..WIDEST.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        width = _check(width)
        two, four = 2 * width, 4 * width
        self.conv1 = _Conv(3, width, 9, 1)
        self.in1 = nn.InstanceNorm2d(width, affine=True)
        self.conv2 = _Conv(width, two, 3, 2)
        self.in2 = nn.InstanceNorm2d(two, affine=True)
        self.conv3 = _Conv(two, four, 3, 2)
        self.in3 = nn.InstanceNorm2d(four, affine=True)
        self.res1, self.res2, self.res3, self.res4, self.res5 = (_Residual(four) for _ in range(5))
        self.deconv1 = _Conv(four, two, 3, 1, 2)
        self.in4 = nn.InstanceNorm2d(two, affine=True)
        self.deconv2 = _Conv(two, width, 3, 1, 2)
        self.in5 = nn.InstanceNorm2d(width, affine=True)
        self.deconv3 = _Conv(width, 3, 9, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class; H and W must be multiples of SIZE_MULTIPLE."""
        x = functional.relu(self.in1(self.conv1(x)))
        x = functional.relu(self.in2(self.conv2(x)))
        x = functional.relu(self.in3(self.conv3(x)))
        x = self.res5(self.res4(self.res3(self.res2(self.res1(x)))))
        x = functional.relu(self.in4(self.deconv1(x)))
        x = functional.relu(self.in5(self.deconv2(x)))
        painted: Tensor = self.deconv3(x)
        return painted


class _SameConv(nn.Module):
    """TensorFlow's SAME convolution, or its gradient for ``transposed``, with instance norm."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, transposed: bool = False
    ) -> None:
        super().__init__()
        self.stride, self.transposed = stride, transposed
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        self.weight = nn.Parameter(torch.zeros(*shape, kernel, kernel))
        self.shift = nn.Parameter(torch.zeros(outputs))
        self.scale = nn.Parameter(torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        if self.transposed:
            # The convolution whose gradient this is pads only below and right, by one.
            y = functional.conv_transpose2d(x, self.weight, stride=self.stride)[..., :-1, :-1]
        else:
            total = self.weight.shape[-1] - self.stride
            before, after = total // 2, total - total // 2
            padded = functional.pad(x, [before, after, before, after])
            y = functional.conv2d(padded, self.weight, stride=self.stride)
        return functional.instance_norm(
            y, weight=self.scale, bias=self.shift, eps=_LENGSTROM_EPSILON
        )


class LengstromNet(nn.Module):
    """``(N, 3, H, W)`` RGB in [0, 255] -> the same shape, within [-22.5, 277.5].

    ``layers`` stand in the order of the original's variables: weight, shift and scale of each.
    Raises ValueError for a ``width`` outside 1..WIDEST.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        width = _check(width)
        two, four = 2 * width, 4 * width
        self.layers = nn.ModuleList(
            (
                _SameConv(3, width, 9),
                _SameConv(width, two, 3, 2),
                _SameConv(two, four, 3, 2),
                *(_SameConv(four, four, 3) for _ in range(10)),
                _SameConv(four, two, 3, 2, transposed=True),
                _SameConv(two, width, 3, 2, transposed=True),
                _SameConv(width, 3, 9),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class; H and W must be multiples of SIZE_MULTIPLE."""
        for layer in self.layers[:3]:
            x = functional.relu(layer(x))
        for number in range(3, 13, 2):
            first, second = self.layers[number], self.layers[number + 1]
            x = x + second(functional.relu(first(x)))
        for layer in self.layers[13:15]:
            x = functional.relu(layer(x))
        return torch.tanh(self.layers[15](x)) * 150 + 127.5
