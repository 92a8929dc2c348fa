"""DETR (arXiv 2005.12872), RT-DETRv2 (arXiv 2407.17140) and RF-DETR (arXiv 2511.09554) of ``transformers``.

Each query says a class, a box and, where the model has masks, a mask; the losses match queries to objects.
"""

from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.evaluation.predicted import Boxes, Predicted
from labelfactory.factory.objects.cornernet import without_doubles
from labelfactory.factory.objects.library import Folder, Overrides, library_model
from labelfactory.factory.objects.object_network import ObjectNetwork
from labelfactory.factory.objects.targets import things_of
from labelfactory.factory.objects.together import put_together
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.backbones import ImageNetInput
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float


class Model(NamedTuple):
    """Names in the library; softmax: the last class is "no object", else each class has a sigmoid of its own."""

    config: str
    boxes: str
    masks: str | None
    softmax: bool


MODELS = {
    "detr": Model("DetrConfig", "DetrForObjectDetection", "DetrForSegmentation", True),
    "rt-detr-v2": Model("RTDetrV2Config", "RTDetrV2ForObjectDetection", None, False),
    "rf-detr": Model("RfDetrConfig", "RfDetrForObjectDetection", "RfDetrForInstanceSegmentation", False),
}


class BoxMatching(ObjectNetwork):
    """One of ``MODELS``: fresh, with ``overrides`` of the library's default configuration, or from a folder.

    Everything runs in float32: the library's matching takes nothing less.
    """

    def __init__(
        self,
        architecture: str,
        aim: Aim,
        folder: Folder = None,
        overrides: Overrides = None,
        threshold: Annotated[float, Parameter("Score from which an object counts.", at_least=0, at_most=1)] = 0.3,
        most: Annotated[int, Parameter("Objects in a picture, at most.", at_least=1)] = 100,
    ) -> None:
        super().__init__(3, aim)
        known = MODELS[architecture]
        self.threshold, self.most, self.softmax = threshold, most, known.softmax
        self.normalise = ImageNetInput()
        self.masks = aim.task == "instance"
        name = known.masks if self.masks and known.masks else known.boxes
        self.model = library_model(known.config, name, folder, {"num_labels": self.num_classes}, overrides)

    def saved_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The whole configuration: what a folder said must come back without the folder."""
        kept = {k: v for k, v in options.items() if k in ("threshold", "most")}
        return {"overrides": self.model.config.to_dict(), **kept}

    def forward(self, x: Float[Tensor, "batch 3 height width"], labels: list[dict[str, Tensor]] | None = None) -> Any:
        """The library's answer to images in 0..1, with its loss where there are labels."""
        with torch.autocast(x.device.type, enabled=False):
            return self.model(pixel_values=self.normalise(x.float()), labels=labels)

    def answer(self, images: Tensor, batch: Batch) -> Any:
        """The library's answer with its loss."""
        things, (height, width) = things_of(batch), batch.masks.shape[1:]
        size = things.box.new_tensor([width, height, width, height])
        x0, y0, x1, y1 = (things.box / size).unbind(1)
        boxes = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1)
        labels = []
        for i in range(len(images)):
            own = things.of(i)
            entry = {"class_labels": things.label[own], "boxes": boxes[own]}
            labels.append(entry | ({"masks": things.masks(own).float()} if self.masks else {}))
        return self(images, labels)

    def loss(self, answer: Any, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Class, box and mask losses of the matched queries, as the library weighs them."""
        loss: Tensor = answer.loss
        return loss.squeeze()

    def decoded(self, answer: Any, height: int, width: int) -> list[Predicted]:
        """Boxes of the sure queries, and for instances their masks put together."""
        logits = answer.logits.float()
        chance = logits.softmax(-1) if self.softmax else logits.sigmoid()
        scores, place = chance[..., self.aim.things].max(-1)
        cx, cy, w, h = answer.pred_boxes.float().unbind(-1)
        size = scores.new_tensor([width, height, width, height])
        corners = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], -1).clamp(0, 1) * size
        labels = torch.tensor(self.aim.things, device=place.device)[place]
        said = []
        for i in range(len(scores)):
            kept = (scores[i] > self.threshold).nonzero().squeeze(1)
            kept = kept[without_doubles(corners[i][kept], labels[i][kept], scores[i][kept], self.most, 0.7)]
            own, ids, sure = (t[i][kept].cpu().numpy() for t in (corners.double(), labels, scores.double()))
            boxes = Boxes(own, ids, sure)
            said.append(
                Predicted(boxes=boxes) if not self.masks else self._composed(answer, i, kept, boxes, height, width)
            )
        return said

    def _composed(self, answer: Any, i: int, kept: Tensor, boxes: Boxes, height: int, width: int) -> Predicted:
        logits = answer.pred_masks[i][None].float()
        masks = (F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)[0] > 0)[kept]
        ground = np.full((height, width), self.aim.stuff[0], np.uint8)
        return put_together(masks.cpu().numpy(), boxes.classes, boxes.scores, boxes.corners, ground)
