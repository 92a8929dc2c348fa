"""CenterNet (Zhou, Wang, Krähenbühl, arXiv 1904.07850): objects as points with a size and a fraction of a pixel."""

from typing import Annotated, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.evaluation.predicted import Boxes, Predicted
from labelfactory.factory.objects.object_network import Depth, ObjectNetwork, Width, body, head, peaks_of
from labelfactory.factory.objects.targets import Things, heat_of, known_pixels, things_of
from labelfactory.factory.objects.together import put_together
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.losses import cross_entropy
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float

SIZE_WEIGHT = 0.1  # of the loss, equation 4
PRIOR = 0.1  # what the heat starts at, appendix of the paper
OVERLAP = 0.7  # IoU that a box from within the radius still has (CornerNet, section 3.2)


class Answer(NamedTuple):
    """Logits of the centres (one channel a countable class), sizes and fractions x, y in pixels, logits of classes;
    and for masks made of prototypes, these and their coefficients at each pixel."""

    heat: Tensor
    size: Tensor
    fraction: Tensor
    semantic: Tensor
    prototypes: Tensor | None = None
    coefficients: Tensor | None = None


class Detections(NamedTuple):
    """One image's boxes: corners in pixels, class ids, scores, and row and column of each centre's pixel."""

    corners: Tensor
    labels: Tensor
    scores: Tensor
    rows: Tensor
    columns: Tensor


class CenterNet(ObjectNetwork):
    """On a U-Net at full resolution, where the paper has a stride of 4: it suits objects of few pixels.

    For masks a semantic head is added: a pixel of a countable class joins, of the boxes of that class that it lies in,
    the one whose centre is nearest in units of the box's sides.
    """

    def __init__(
        self,
        in_channels: int,
        aim: Aim,
        width: Width = 32,
        depth: Depth = 3,
        threshold: Annotated[float, Parameter("Score from which a peak is an object.", at_least=0, at_most=1)] = 0.1,
        most: Annotated[int, Parameter("Objects in a picture, at most.", at_least=1)] = 100,
    ) -> None:
        super().__init__(in_channels, aim)
        self.threshold, self.most = threshold, most
        self.body = body(in_channels, width, depth)
        self.heat = head(width, len(aim.things), prior=PRIOR)
        self.size = head(width, 2)
        self.fraction = head(width, 2)
        self.semantic = head(width, self.num_classes)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Answer:
        """Raw outputs for images in 0..1."""
        f = self.body(x)
        return Answer(self.heat(f), self.size(f), self.fraction(f), self.semantic(f))

    def loss(self, answer: Answer, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Focal loss of the centres + 0.1 x distance of the sizes + distance of the fractions (equation 4), and
        cross-entropy of the classes."""
        things = things_of(batch)
        detection = self.detection_loss(answer, batch, things)
        return detection + cross_entropy(answer.semantic.float(), batch.masks, batch.weights)

    def detection_loss(self, answer: Answer, batch: Batch, things: Things) -> Float[Tensor, ""]:
        """The paper's own three terms."""
        middle = things.middle
        sides = things.box[:, 2:] - things.box[:, :2]
        wanted = heat_of(things, self.channels(things.label), len(self.aim.things), radius_of(sides) / 3, middle)
        known = known_pixels(batch)
        loss = focal_loss(answer.heat.float(), wanted, known)
        if not len(things):
            return loss
        rows, columns = things.middle_pixels()
        at = things.image, slice(None), rows, columns
        size_loss = (answer.size.float()[at] - sides).abs().sum(1).mean()
        fraction_loss = (answer.fraction.float()[at] - (middle - torch.stack([columns, rows], 1))).abs().sum(1).mean()
        return loss + SIZE_WEIGHT * size_loss + fraction_loss

    def detected(self, answer: Answer) -> list[Detections]:
        """Peaks of the heat with their boxes, cut at the picture's border (section 4.1)."""
        scores, channel, rows, columns = peaks_of(answer.heat.float().sigmoid(), self.most)
        height, width = answer.heat.shape[-2:]
        limit = answer.size.new_tensor([width, height, width, height], dtype=torch.float32)
        things = torch.tensor(self.aim.things, device=rows.device)
        said = []
        for i in range(len(scores)):
            kept = scores[i] > self.threshold
            r, c = rows[i][kept], columns[i][kept]
            size = answer.size[i, :, r, c].float().T.clamp_min(1)
            middle = torch.stack([c, r], 1) + answer.fraction[i, :, r, c].float().T.clamp(0, 1)
            corners = torch.cat([middle - size / 2, middle + size / 2], 1).clamp_min(0).minimum(limit)
            said.append(Detections(corners, things[channel[i][kept]], scores[i][kept], r, c))
        return said

    def decoded(self, answer: Answer, height: int, width: int) -> list[Predicted]:
        """Boxes, and for instances the pixels that join them."""
        detected = self.detected(answer)
        if self.task == "boxes":
            return [Predicted(boxes=boxes_from(d)) for d in detected]
        labels = answer.semantic.float().argmax(1)
        return [self.composed(d, nearest_boxes(d, m)) for d, m in zip(detected, labels, strict=True)]

    def composed(self, found: Detections, masks: Tensor) -> Predicted:
        """Objects of one image put together over what no object covers."""
        boxes = boxes_from(found)
        ground = np.full(masks.shape[1:], self.aim.stuff[0], np.uint8)
        return put_together(masks.cpu().numpy(), boxes.classes, boxes.scores, boxes.corners, ground)


def boxes_from(found: Detections) -> Boxes:
    """As the judges want them."""
    arrays = (t.detach().cpu().numpy() for t in (found.corners.double(), found.labels, found.scores.double()))
    return Boxes(*arrays)


def nearest_boxes(found: Detections, labels: Tensor) -> Tensor:
    """Mask of each box: pixels of its class that lie in it and in no box of the class whose centre is nearer."""
    height, width = labels.shape
    x0, y0, x1, y1 = (e[:, None, None] for e in found.corners.T)
    x = (torch.arange(width, device=labels.device) + 0.5)[None, None]
    y = (torch.arange(height, device=labels.device) + 0.5)[None, :, None]
    far = ((x - (x0 + x1) / 2) / (x1 - x0)) ** 2 + ((y - (y0 + y1) / 2) / (y1 - y0)) ** 2
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1) & (labels[None] == found.labels[:, None, None])
    if not len(far):
        return inside
    far = far.where(inside, far.new_tensor(torch.inf))
    return inside & (far.argmin(0)[None] == torch.arange(len(far), device=labels.device)[:, None, None])


def focal_loss(
    logits: Float[Tensor, "batch classes height width"],
    wanted: Float[Tensor, "batch classes height width"],
    known: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, ""]:
    """Penalty-reduced focal loss with α = 2 and β = 4, a mean over the centres (equation 1)."""
    p = logits.sigmoid()
    centre = (wanted == 1) * known
    here = (1 - p) ** 2 * F.logsigmoid(logits) * centre
    elsewhere = (1 - wanted) ** 4 * p**2 * F.logsigmoid(-logits) * (wanted < 1) * known
    return -(here + elsewhere).sum() / centre.sum().clamp_min(1)


def radius_of(sides: Float[Tensor, "objects 2"]) -> Float[Tensor, "objects"]:
    """How far both corners of a box may move so that it keeps an IoU of ``OVERLAP`` (CornerNet, section 3.2).

    The smallest of the three cases (both outwards, both inwards, both in one direction), each the root of a quadratic;
    at least 1 pixel.
    """
    w, h = sides.unbind(1)
    total, area = w + h, w * h
    moved = (total - (total**2 - 4 * area * (1 - OVERLAP) / (1 + OVERLAP)).sqrt()) / 2
    inwards = (total - (total**2 - 4 * (1 - OVERLAP) * area).sqrt()) / 4
    outwards = (-total + (total**2 + 4 * (1 / OVERLAP - 1) * area).sqrt()) / 4
    return torch.stack([moved, inwards, outwards]).amin(0).clamp_min(1)
