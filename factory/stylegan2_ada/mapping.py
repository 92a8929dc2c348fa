"""Fully connected layers and the mapping network of both StyleGAN2-ADA networks."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.factory.stylegan2_ada.ops import LRELU_GAIN, leaky_relu
from labelfactory.interpreters.array_types import Float


def block_resolutions(resolution: int) -> list[int]:
    """4, 8, … resolution."""
    if resolution < 4 or resolution & (resolution - 1):
        raise ValueError(f"resolution {resolution}: expected a power of two from 4 on")
    return [2**i for i in range(2, int(math.log2(resolution)) + 1)]


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    return min(channel_base // resolution, channel_max)


def second_moment_norm(x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """Linear layer with equalised learning rate (arXiv 1710.10196, section 4.1)."""

    def __init__(
        self, in_features: int, out_features: int, lr_mul: float = 1.0, bias_init: float = 0.0, lrelu: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.lr_mul, self.lrelu = lr_mul, lrelu

    def forward(self, x: Float[Tensor, "batch in_features"]) -> Float[Tensor, "batch out_features"]:
        gain = self.lr_mul * (LRELU_GAIN if self.lrelu else 1)
        x = F.linear(x, self.weight * (gain / math.sqrt(self.weight.shape[1])), self.bias * gain)
        return leaky_relu(x) if self.lrelu else x


class Mapping(nn.Module):
    """z (and class label c) -> w. The discriminator's maps c alone (``z_dim=0``) and tracks no average.

    ``joint_norm``: z and the embedded class are normalised together and not each by itself.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        layers: int = 8,
        lr_mul: float = 0.01,
        joint_norm: bool = False,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws, self.num_layers = z_dim, c_dim, num_ws, layers
        self.joint_norm = joint_norm
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
        features = [z_dim + (w_dim if c_dim else 0)] + [w_dim] * layers
        for i in range(layers):
            setattr(self, f"fc{i}", FullyConnected(features[i], features[i + 1], lr_mul=lr_mul, lrelu=True))
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Float[Tensor, "batch z_dim"] | None,
        c: Float[Tensor, "batch c_dim"] | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Tensor, "batch ..."]:
        """One w per synthesis layer, ``[batch, num_ws, w_dim]``; without ``num_ws`` just ``[batch, w_dim]``."""
        inputs = []
        norm = (lambda x: x) if self.joint_norm else second_moment_norm
        if self.z_dim:
            if z is None:
                raise ValueError("this mapping network needs z")
            inputs.append(norm(z.float()))
        if self.c_dim:
            if c is None:
                raise ValueError(f"this network is conditional: give c with {self.c_dim} columns")
            inputs.append(norm(self.embed(c.float())))
        w = torch.cat(inputs, dim=1)
        w = second_moment_norm(w) if self.joint_norm else w
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        if self.num_ws is None:
            return w
        if self.training:
            self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, 0.995))
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
            ws = torch.cat([self.w_avg.lerp(ws[:, :cutoff], truncation_psi), ws[:, cutoff:]], dim=1)
        return ws
