"""YOLACT (Bolya et al., ICCV 2019, arXiv 1904.02689): masks as sums of prototypes, weighted by each object."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.objects.centernet import Answer, CenterNet, Detections, boxes_from
from labelfactory.factory.objects.object_network import Depth, Width, head
from labelfactory.factory.objects.targets import Things, things_of
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.losses import cross_entropy
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Bool, Float

MASK_WEIGHT = 6.125  # section 4.3


class Yolact(CenterNet):
    """Prototypes and coefficients on CenterNet's points instead of RetinaNet's anchors, which few pixels do not need.

    An object's mask is the sigmoid of its coefficients times the prototypes (equation 1), cut at its box; the loss is
    that of the true boxes' pixels, divided by the box's area (section 4.3).
    """

    def __init__(
        self,
        in_channels: int,
        aim: Aim,
        width: Width = 32,
        depth: Depth = 3,
        prototypes: Annotated[int, Parameter("Prototypes.", at_least=1)] = 32,
        threshold: Annotated[float, Parameter("Score from which a peak is an object.", at_least=0, at_most=1)] = 0.1,
        most: Annotated[int, Parameter("Objects in a picture, at most.", at_least=1)] = 100,
    ) -> None:
        super().__init__(in_channels, aim, width, depth, threshold, most)
        self.prototypes = head(width, prototypes)
        self.coefficients = head(width, prototypes)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Answer:
        """Raw outputs for images in 0..1; coefficients go through tanh: prototypes may be taken away (section 4.1)."""
        f = self.body(x)
        plain = Answer(self.heat(f), self.size(f), self.fraction(f), self.semantic(f))
        return plain._replace(prototypes=self.prototypes(f).relu(), coefficients=self.coefficients(f).tanh())

    def loss(self, answer: Answer, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """CenterNet's, cross-entropy of the classes (section 4.4), and binary cross-entropy of the masks."""
        things = things_of(batch)
        loss = self.detection_loss(answer, batch, things) + cross_entropy(
            answer.semantic.float(), batch.masks, batch.weights
        )
        return loss + MASK_WEIGHT * self.mask_loss(answer, things) if len(things) else loss

    def mask_loss(self, answer: Answer, things: Things) -> Float[Tensor, ""]:
        """Binary cross-entropy inside the true boxes, each divided by its area."""
        logits = self.true_logits(answer, things)
        inside = in_boxes(things.box, *logits.shape[1:])
        wrong = F.binary_cross_entropy_with_logits(logits, things.masks().float(), reduction="none") * inside
        return (wrong.sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)).mean()

    def true_logits(self, answer: Answer, things: Things) -> Float[Tensor, "objects height width"]:
        """Mask logits of the true objects, from the coefficients at their centres."""
        return mask_logits(answer, things.image, *things.middle_pixels())

    def found_logits(self, answer: Answer, found: Detections, i: int) -> Float[Tensor, "objects height width"]:
        """Mask logits of what was detected in image ``i``."""
        return mask_logits(answer, torch.full_like(found.rows, i), found.rows, found.columns)

    def decoded(self, answer: Answer, height: int, width: int) -> list[Predicted]:
        """Boxes, and for instances the masks above one half, cut at their boxes."""
        detected = self.detected(answer)
        if self.task == "boxes":
            return [Predicted(boxes=boxes_from(d)) for d in detected]
        return [self.composed(d, self.found_logits(answer, d, i) > 0) for i, d in enumerate(detected)]


def mask_logits(answer: Answer, image: Tensor, rows: Tensor, columns: Tensor) -> Float[Tensor, "objects height width"]:
    """Coefficients at each object's pixel times the prototypes of its image: equation 1 before its sigmoid."""
    assert answer.prototypes is not None
    assert answer.coefficients is not None
    own = answer.coefficients[image, :, rows, columns].float()
    return torch.einsum("nk,nkhw->nhw", own, answer.prototypes.float()[image])


def in_boxes(boxes: Float[Tensor, "boxes 4"], height: int, width: int) -> Bool[Tensor, "boxes height width"]:
    """Pixels whose centre lies in each box."""
    x = (torch.arange(width, device=boxes.device) + 0.5)[None, None]
    y = (torch.arange(height, device=boxes.device) + 0.5)[None, :, None]
    x0, y0, x1, y1 = (edge[:, None, None] for edge in boxes.T)
    return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
