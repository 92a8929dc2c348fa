"""UPSNet's panoptic head (Xiong et al., CVPR 2019, arXiv 1901.03784): one softmax over other classes and objects."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.objects.centernet import Answer
from labelfactory.factory.objects.targets import things_of
from labelfactory.factory.objects.yolact import Yolact, in_boxes
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.interpreters.array_types import Float, Int
from labelfactory.limits import IGNORE_INDEX

NEVER = -1e4  # logit of an object outside of its box


def panoptic_logits(
    semantic: Float[Tensor, "classes height width"],
    masks: Float[Tensor, "objects height width"],
    labels: Int[Tensor, "objects"],
    boxes: Float[Tensor, "objects 4"],
    stuff: Sequence[int],
    things: Sequence[int],
) -> Float[Tensor, "channels height width"]:
    """Uncountable classes, then objects, then "unknown" (section 3.2, figure 3); no parameters.

    An object's channel is its mask logit plus its class's semantic logit inside its box. Outside the paper has 0 there,
    which could win where all else is negative: here it never does. "Unknown" is the highest semantic logit of the
    countable classes less the highest that some object took up.
    """
    inside = in_boxes(boxes, *semantic.shape[1:])
    own = semantic[labels]
    objects = (masks + own).masked_fill(~inside, NEVER)
    taken = own.masked_fill(~inside, 0.0)
    highest = taken.amax(0) if len(labels) else semantic.new_zeros(semantic.shape[1:])
    unknown = semantic[list(things)].amax(0) - highest
    return torch.cat([semantic[list(stuff)], objects, unknown[None]])


class UPSNet(Yolact):
    """Semantic and instance heads of YOLACT below it, on one body, trained through the panoptic head together."""

    def loss(self, answer: Answer, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Those of the heads, and cross-entropy of the panoptic logits with the true boxes (section 3.2)."""
        loss = super().loss(answer, batch, how)
        things = things_of(batch)
        logits = self.true_logits(answer, things)
        stuff, countable = self.aim.stuff, self.aim.things
        place = torch.full((256,), IGNORE_INDEX, dtype=torch.int64, device=loss.device)
        place[stuff] = torch.arange(len(stuff), device=loss.device)
        wrong = []
        for i in range(len(batch.masks)):
            own = things.of(i)
            z = panoptic_logits(
                answer.semantic[i].float(), logits[own], things.label[own], things.box[own], stuff, countable
            )
            target = place[batch.masks[i]]
            owner = things.owner[i]
            number = torch.full((len(things) + 1,), 0, device=loss.device)
            number[own + 1] = torch.arange(len(own), device=loss.device) + len(stuff)
            target = torch.where(owner > 0, number[owner], target)
            known = (target != IGNORE_INDEX) * batch.weights[i]
            per_pixel = F.cross_entropy(z[None], target[None], ignore_index=IGNORE_INDEX, reduction="none")[0]
            wrong.append((per_pixel * known).sum() / known.sum().clamp_min(1e-6))
        return loss + torch.stack(wrong).mean()

    def decoded(self, answer: Answer, height: int, width: int) -> list[Predicted]:
        """The highest channel of each pixel: an object, an uncountable class, or (unknown) the likeliest of those."""
        if self.task != "panoptic":
            return super().decoded(answer, height, width)
        said, stuff = [], self.aim.stuff
        for i, found in enumerate(self.detected(answer)):
            semantic, masks = answer.semantic[i].float(), self.found_logits(answer, found, i)
            boxes = self.composed(found, masks > 0)  # first, as in section 3.2: the surest keep, what they hide goes
            kept = self._kept(found.scores, boxes)
            one = [part[kept] for part in (found.labels, found.corners, found.scores)]
            z = panoptic_logits(semantic, masks[kept], one[0], one[1], stuff, self.aim.things)
            best = z.argmax(0)
            ids = (best - len(stuff) + 1).clamp(0, None) * (best < len(stuff) + len(kept))
            likeliest = torch.tensor(stuff, device=z.device)[semantic[stuff].argmax(0)]
            labels = torch.cat([one[0].new_zeros(1), one[0]])[ids]
            mask = torch.where(ids > 0, labels, likeliest).cpu().numpy().astype(np.uint8)
            scores = {k + 1: float(s) for k, s in enumerate(one[2].tolist())}
            said.append(Predicted(mask, instances=ids.cpu().numpy().astype(np.int32), scores=scores))
        return said

    def _kept(self, scores: Tensor, composed: Predicted) -> Tensor:
        """Places of the detections that were not left out when masks were put together."""
        left = sorted((composed.scores or {}).values(), reverse=True)
        kept, place = [], 0
        for i in scores.argsort(descending=True, stable=True).tolist():
            if place < len(left) and float(scores[i].double()) == left[place]:
                kept.append(i)
                place += 1
        return torch.tensor(kept, dtype=torch.int64, device=scores.device)
