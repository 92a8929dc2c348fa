"""Panoptic-DeepLab (Cheng et al., CVPR 2020, arXiv 1911.10194): class of each pixel, centres, and offsets to them."""

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.objects.object_network import Depth, ObjectNetwork, Width, body, head, peaks_of
from labelfactory.factory.objects.targets import heat_of, known_pixels, things_of
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.losses import cross_entropy
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float, Int

Answer = tuple[Tensor, Tensor, Tensor]  # logits of the classes, heat of the centres, offsets x, y in pixels
CENTRE_WEIGHT, OFFSET_WEIGHT = 200.0, 0.01  # of the losses, section 4.1


class PanopticDeepLab(ObjectNetwork):
    """Two heads beside the semantic one, on a U-Net instead of a dilated ResNet: it suits pictures of few pixels.

    A pixel of a countable class joins the centre that its offset points to (section 3.2, equation 1), so that objects
    cannot overlap; an object's class is the majority's of its pixels, its score the centre's height times the mean
    probability of the class.
    """

    def __init__(
        self,
        in_channels: int,
        aim: Aim,
        width: Width = 32,
        depth: Depth = 3,
        sigma: Annotated[float, Parameter("Spread of a centre's heat, in pixels.", more_than=0)] = 3.0,
        threshold: Annotated[float, Parameter("Height from which a peak is a centre.", at_least=0, at_most=1)] = 0.1,
        window: Annotated[int, Parameter("Side of the square with one peak, in pixels (odd).", at_least=1)] = 7,
        most: Annotated[int, Parameter("Objects in a picture, at most.", at_least=1)] = 200,
    ) -> None:
        super().__init__(in_channels, aim)
        self.sigma, self.threshold, self.window, self.most = sigma, threshold, window | 1, most
        self.body = body(in_channels, width, depth)
        self.semantic = head(width, self.num_classes)
        self.centre = head(width, 1)
        self.offset = head(width, 2)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Answer:
        """Raw outputs for images in 0..1."""
        features = self.body(x)
        return self.semantic(features), self.centre(features), self.offset(features)

    def loss(self, answer: Answer, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Cross-entropy + 200 x squared error of the heat + 0.01 x distance of the offsets (equation 2)."""
        logits, heat, offset = (a.float() for a in answer)
        things = things_of(batch)
        same = torch.zeros_like(things.image)
        wanted = heat_of(things, same, 1, torch.full_like(things.centre[:, 0], self.sigma))
        known = known_pixels(batch)
        centre_loss = ((heat - wanted).square() * known).sum() / known.sum().clamp_min(1)
        target, inside = _offsets(things.owner, things.centre)
        inside = inside * known
        offset_loss = ((offset - target).abs() * inside).sum() / inside.sum().clamp_min(1)
        semantic_loss = cross_entropy(logits, batch.masks, batch.weights)
        return semantic_loss + CENTRE_WEIGHT * centre_loss + OFFSET_WEIGHT * offset_loss

    def decoded(self, answer: Answer, height: int, width: int) -> list[Predicted]:
        """Centres are peaks of the heat; each pixel of a countable class joins the nearest to where it points."""
        logits, heat, offset = (a.float() for a in answer)
        scores, _, rows, columns = peaks_of(heat, self.most, self.window)
        probabilities = logits.softmax(1)
        said = []
        for i in range(len(logits)):
            sure = scores[i] > self.threshold
            at = torch.stack([columns[i][sure], rows[i][sure]], 1) + 0.5
            numbers = grouped(probabilities[i].argmax(0), offset[i], at, self.aim.things)
            said.append(self._said(probabilities[i], numbers, scores[i][sure]))
        return said

    def _said(self, p: Tensor, numbers: Tensor, height: Tensor) -> Predicted:
        """Each object gets one class; pixels of countable classes that join no object fall to the likeliest other."""
        ids, chance = numbers.cpu().numpy(), p.cpu().numpy()
        things, stuff = self.aim.things, self.aim.stuff
        if self.task != "panoptic":
            stuff = stuff[:1]
        likeliest = np.array(stuff, np.uint8)[chance[stuff].argmax(0)]
        best = np.array(things, np.uint8)[chance[things].argmax(0)]
        mask, sure = np.where(ids > 0, best, likeliest), {}
        for number in np.unique(ids[ids > 0]).tolist():
            own = ids == number
            label = int(np.bincount(best[own]).argmax())
            mask[own] = label
            sure[number] = float(height[number - 1]) * float(chance[label][own].mean())
        return Predicted(mask, instances=ids.astype(np.int32), scores=sure)


def _offsets(
    owner: Int[Tensor, "batch height width"], centre: Float[Tensor, "objects 2"]
) -> tuple[Float[Tensor, "batch 2 height width"], Float[Tensor, "batch 1 height width"]]:
    """From each pixel to its object's centre, and where there is an object."""
    there = owner > 0
    height, width = owner.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=owner.device) + 0.5, torch.arange(width, device=owner.device) + 0.5, indexing="ij"
    )
    table = torch.cat([centre.new_zeros(1, 2), centre])
    to = table[owner].movedim(-1, 1) - torch.stack([x, y])
    return to * there[:, None], there[:, None].float()


def grouped(
    labels: Int[Tensor, "height width"],
    offset: Float[Tensor, "2 height width"],
    centres: Float[Tensor, "centres 2"],
    things: list[int],
) -> Int[Tensor, "height width"]:
    """1 + the place of the centre that each pixel of a countable class points to (equation 1), else 0."""
    out = torch.zeros_like(labels)
    inside = torch.isin(labels, torch.tensor(things, device=labels.device))
    if not len(centres) or not inside.any():
        return out
    y, x = inside.nonzero(as_tuple=True)
    to = torch.stack([x, y], 1) + 0.5 + offset[:, y, x].T
    out[y, x] = F.pairwise_distance(to[:, None], centres[None]).argmin(1) + 1
    return out
