"""Layers with a leading ensemble dimension: all members are computed by one batched product."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, relu

from labelfactory.interpreters.array_types import Float


class MemberLinear(nn.Module):
    """One fully connected layer per member: y_m = x_m W_m + b_m."""

    def __init__(self, members: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(members, outputs))

    def reset(self, generators: Sequence[torch.Generator]) -> None:
        """He initialisation (arXiv 1502.01852, equation 10): standardised inputs stay at unit scale after each ReLU."""
        with torch.no_grad():
            for weight, generator in zip(self.weight, generators, strict=True):
                weight.normal_(0, math.sqrt(2 / self.weight.shape[1]), generator=generator)
            self.bias.zero_()

    def forward(self, x: Float[Tensor, "members pixels inputs"]) -> Float[Tensor, "members pixels outputs"]:
        return torch.baddbmm(self.bias[:, None], x, self.weight)


class MemberBatchNorm(nn.Module):
    """One batch normalisation (arXiv 1502.03167) per member and unit, over the member's own pixels."""

    eps = 1e-5
    momentum = 0.1

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, members: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, width))
        self.bias = nn.Parameter(torch.zeros(members, width))
        self.register_buffer("running_mean", torch.zeros(members, width))
        self.register_buffer("running_var", torch.ones(members, width))

    def forward(self, x: Float[Tensor, "members pixels width"]) -> Float[Tensor, "members pixels width"]:
        members, pixels, width = x.shape
        side_by_side = x.transpose(0, 1).reshape(pixels, members * width)
        y = batch_norm(
            side_by_side,
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training and pixels > 1,  # one pixel has no variance
            self.momentum,
            self.eps,
        )
        return y.view(pixels, members, width).transpose(0, 1)

    def scale_shift(self) -> tuple[Tensor, Tensor]:
        """The affine map that this layer is after training: y = x * scale + shift, both [members, width]."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale


class MemberStack(nn.Module):
    """The members: linear, ReLU and batch norm per hidden layer, one linear layer on top (DatasetGAN, section 3.2)."""

    def __init__(self, members: int, widths: Sequence[int]):
        """widths: of the input, each hidden layer, and the classes."""
        super().__init__()
        linears = nn.ModuleList(MemberLinear(members, i, o) for i, o in pairwise(widths))
        norms = nn.ModuleList(MemberBatchNorm(members, width) for width in widths[1:-1])
        self.linears, self.norms = cast(Sequence[MemberLinear], linears), cast(Sequence[MemberBatchNorm], norms)

    def reset(self, generators: torch.Generator | Sequence[torch.Generator]) -> None:
        """Draw fresh weights: from one generator, or each member from its own."""
        if isinstance(generators, torch.Generator):
            generators = [generators] * len(self.linears[0].weight)
        for linear in self.linears:
            linear.reset(generators)

    def forward(self, x: Float[Tensor, "members pixels inputs"]) -> Float[Tensor, "members pixels classes"]:
        """Class logits for standardised inputs; in training mode batch norm uses the batch."""
        for linear, norm in zip(self.linears, self.norms, strict=False):
            x = norm(relu(linear(x)))
        return self.linears[-1](x)
