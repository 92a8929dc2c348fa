"""Stacked hourglasses (Newell, Yang, Deng, ECCV 2016, arXiv 1603.06937): heat maps of key points, refined by stages."""

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.objects.object_network import ObjectNetwork
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.keypoints import decode, heatmaps

SCALE = 100.0  # of the squared error, whose mean over so many zeros is tiny


class Residual(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut, normalised first (figure 4, left)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        half = max(1, c_out // 2)
        self.convolutions = nn.Sequential(
            nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, half, 1),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, c_out, 1),
        )  # fmt: skip
        self.shortcut = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Float[Tensor, "batch c height width"]) -> Float[Tensor, "batch d height width"]:
        """F(x) + shortcut(x)."""
        return self.convolutions(x) + self.shortcut(x)


class Hourglass(nn.Module):
    """Down by poolings, up by nearest neighbours, a branch at every resolution (figure 3)."""

    def __init__(self, depth: int, features: int) -> None:
        super().__init__()
        self.beside = Residual(features, features)
        self.down = Residual(features, features)
        self.inner = Hourglass(depth - 1, features) if depth > 1 else Residual(features, features)
        self.up = Residual(features, features)

    def forward(self, x: Float[Tensor, "batch c height width"]) -> Float[Tensor, "batch c height width"]:
        """Features of the same size."""
        y = self.up(self.inner(self.down(F.max_pool2d(x, 2, ceil_mode=True))))
        return self.beside(x) + F.interpolate(y, x.shape[-2:], mode="nearest")


class StackedHourglass(ObjectNetwork):
    """The paper has 8 stacks of 256 features and 4 poolings behind a stem of stride 4; less does for few pixels.

    Every stack's heat maps are learned (section 3.2); the last ones' peaks are read to a fraction of a pixel, as
    ``interpreters.keypoints`` does: the logarithm of a Gaussian is a parabola.
    """

    def __init__(
        self,
        in_channels: int,
        aim: Aim,
        stacks: Annotated[int, Parameter("Hourglasses.", at_least=1, at_most=16)] = 2,
        features: Annotated[int, Parameter("Channels.", at_least=2, at_most=1024)] = 64,
        depth: Annotated[int, Parameter("Poolings of each hourglass.", at_least=1, at_most=6)] = 3,
        stride: Annotated[int, Parameter("Stride of the heat maps: 1, 2 or 4.", at_least=1, at_most=4)] = 2,
        sigma: Annotated[float, Parameter("Spread of a point's heat, in pixels of the heat map.", more_than=0)] = 1.5,
    ) -> None:
        super().__init__(in_channels, aim)
        self.sigma, points = sigma, len(aim.keypoints)
        quarter, half = max(1, features // 4), max(1, features // 2)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, quarter, 7, 2 if stride > 1 else 1, padding=3),
            nn.BatchNorm2d(quarter),
            nn.ReLU(inplace=True),
            Residual(quarter, half),
            nn.MaxPool2d(2, ceil_mode=True) if stride > 2 else nn.Identity(),
            Residual(half, half),
            Residual(half, features),
        )
        self.hourglasses = nn.ModuleList(Hourglass(depth, features) for _ in range(stacks))
        self.after = nn.ModuleList(
            nn.Sequential(
                Residual(features, features), nn.Conv2d(features, features, 1), nn.BatchNorm2d(features), nn.ReLU()
            )
            for _ in range(stacks)
        )
        self.heat = nn.ModuleList(nn.Conv2d(features, points, 1) for _ in range(stacks))
        self.back = nn.ModuleList(nn.Conv2d(features, features, 1) for _ in range(stacks - 1))
        self.heat_back = nn.ModuleList(nn.Conv2d(points, features, 1) for _ in range(stacks - 1))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """Heat maps of each stack, for images in 0..1."""
        x = self.stem(2 * x - 1)
        heats = []
        for k, (hourglass, after, heat) in enumerate(zip(self.hourglasses, self.after, self.heat, strict=True)):
            y = after(hourglass(x))
            heats.append(heat(y))
            if k < len(self.back):
                x = x + self.back[k](y) + self.heat_back[k](heats[-1])
        return heats

    def loss(self, answer: list[Tensor], batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Mean squared error of every stack's heat maps, over labelled points."""
        return torch.stack([heat_loss(heat, batch, self.sigma) for heat in answer]).sum()

    def decoded(self, answer: list[Tensor], height: int, width: int) -> list[Predicted]:
        """Peaks of the last stack's heat maps, in pixels of the image."""
        heat = answer[-1].float()
        points = decode(heat) * heat.new_tensor([width / heat.shape[-1], height / heat.shape[-2], 1])
        return [Predicted(keypoints=p.astype(np.float32)) for p in points.cpu().numpy()]


def heat_loss(heat: Float[Tensor, "batch points h w"], batch: Batch, sigma: float) -> Float[Tensor, ""]:
    """Mean squared error of heat maps of whatever resolution, over labelled points; ``sigma`` in their pixels."""
    assert batch.points is not None
    height, width = heat.shape[-2:]
    scale = batch.points.new_tensor([width / batch.masks.shape[-1], height / batch.masks.shape[-2], 1])
    wanted = torch.stack([heatmaps(p, height, width, sigma) for p in (batch.points * scale).cpu()]).to(heat.device)
    known = ~wanted.isnan()
    wrong = (heat.float() - wanted.nan_to_num(0.0)).square() * known
    return SCALE * wrong.sum() / known.sum().clamp_min(1)
