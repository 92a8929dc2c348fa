"""Integral regression of key points (Sun et al., ECCV 2018, arXiv 1711.08229): the mean place of a heat map."""

from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.objects.object_network import Depth, ObjectNetwork, Width, body, head
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float


class IntegralRegression(ObjectNetwork):
    """Coordinates are learned themselves, by their distance in pixels, not heat maps of a spread that somebody chose.

    A heat map's softmax is a distribution over pixels, its mean the point (equation 2); how sure the point is: the
    share of the distribution within ``reach`` pixels of it.
    """

    def __init__(
        self,
        in_channels: int,
        aim: Aim,
        width: Width = 32,
        depth: Depth = 4,
        reach: Annotated[float, Parameter("Distance that counts as near, in pixels.", more_than=0)] = 3.0,
    ) -> None:
        super().__init__(in_channels, aim)
        self.reach = reach
        self.body = body(in_channels, width, depth)
        self.heat = head(width, len(aim.keypoints))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch points height width"]:
        """Logits of each point's place."""
        return self.heat(self.body(x))

    def loss(self, answer: Tensor, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Mean absolute distance in x and y, in pixels, over labelled points (equation 3)."""
        assert batch.points is not None
        known = (batch.points[..., 2] > 0).float()
        wrong = (self.places(answer.float())[0] - batch.points[..., :2]).abs().sum(-1)
        return (wrong * known).sum() / known.sum().clamp_min(1)

    def places(
        self, logits: Float[Tensor, "batch points height width"]
    ) -> tuple[Float[Tensor, "batch points 2"], Float[Tensor, "batch points"]]:
        """Mean x, y of each distribution, and its share nearby."""
        height, width = logits.shape[-2:]
        p = logits.flatten(2).softmax(-1).reshape(logits.shape)
        x = torch.arange(width, device=logits.device) + 0.5
        y = torch.arange(height, device=logits.device) + 0.5
        at = torch.stack([(p.sum(-2) * x).sum(-1), (p.sum(-1) * y).sum(-1)], -1)
        far = (x[None, None, None] - at[..., 0, None, None]) ** 2 + (y[:, None] - at[..., 1, None, None]) ** 2
        return at, (p * (far <= self.reach**2)).sum((-2, -1))

    def decoded(self, answer: Tensor, height: int, width: int) -> list[Predicted]:
        """Mean places and how sure they are."""
        at, sure = self.places(answer.float())
        points = torch.cat([at, sure.clamp(0, 1)[..., None]], -1)
        return [Predicted(keypoints=p.astype(np.float32)) for p in points.cpu().numpy()]
