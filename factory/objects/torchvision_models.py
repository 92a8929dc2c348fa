"""Mask R-CNN, Keypoint R-CNN, Faster R-CNN and RetinaNet of torchvision behind our interface (an optional extra)."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.predicted import Boxes, Predicted
from labelfactory.factory.objects.object_network import ObjectNetwork
from labelfactory.factory.objects.targets import things_of
from labelfactory.factory.objects.together import put_together
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float

MODELS = {
    "mask-rcnn": "MaskRCNN",
    "keypoint-rcnn": "KeypointRCNN",
    "faster-rcnn": "FasterRCNN",
    "retinanet": "RetinaNet",
}
BACKBONES = ("mobilenet_v2", "resnet18", "resnet50", "resnet101")
MARGIN = 0.2  # of the longer side, that a box of key points is wider than they are


class TorchvisionDetector(ObjectNetwork):
    """One of ``MODELS`` on a feature pyramid of one of ``BACKBONES``, with the library's own losses, in float32.

    ``--backbone-weights`` takes torchvision's state dict of the backbone. Frozen stages are counted from the image and
    keep weights and running statistics. Key points belong to the picture: those of the surest box count.
    """

    backbone_prefixes = ("model.backbone.body.",)

    def __init__(
        self,
        architecture: str,
        aim: Aim,
        backbone: Annotated[str, Parameter("Backbone.", choices=BACKBONES)] = "mobilenet_v2",
        frozen_stages: Annotated[int, Parameter("Stages that are not trained.", at_least=0, at_most=5)] = 0,
        side: Annotated[int, Parameter("Shorter side that pictures are seen at, in pixels.", at_least=32)] = 320,
        threshold: Annotated[float, Parameter("Score from which an object counts.", at_least=0, at_most=1)] = 0.05,
        most: Annotated[int, Parameter("Objects in a picture, at most.", at_least=1)] = 100,
    ) -> None:
        super().__init__(3, aim)
        try:
            from torchvision.models import detection
        except (ImportError, RuntimeError) as error:
            raise InputError(
                f"{architecture} needs torchvision, of the release that fits torch {torch.__version__}: "
                "pip install labelfactory[detection]"
            ) from error
        self.most = most
        body = _pyramid(backbone, frozen_stages)
        common: dict[str, Any] = {"num_classes": 1 + len(aim.things), "min_size": side, "max_size": 4 * side}
        anchors = _anchors(body, side)
        if architecture == "retinanet":
            common |= {"anchor_generator": anchors, "score_thresh": threshold, "detections_per_img": most}
        else:
            common |= {"rpn_anchor_generator": anchors, "box_score_thresh": threshold, "box_detections_per_img": most}
        if architecture == "keypoint-rcnn":
            common |= {"num_keypoints": len(aim.keypoints), "num_classes": 2}
        self.model = getattr(detection, MODELS[architecture])(body, **common)
        # ``Network.train`` leaves their running statistics as they are
        self.frozen = tuple(
            m for m in self.model.backbone.body.children() if not any(p.requires_grad for p in m.parameters())
        )

    def stages(self) -> list[list[torch.nn.Module]]:
        """Which stages learn is settled where torchvision builds the network."""
        raise InputError("torchvision's detectors freeze by an option of theirs: give --option frozen_stages=N")

    def backbone_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's own names, which have ``features.`` or nothing where ours has ``model.backbone.body.``"""
        own = self.backbone_prefixes[0]
        return {own + key.removeprefix("features."): value for key, value in state.items()}

    def forward(self, x: Float[Tensor, "batch 3 height width"], labels: list[dict[str, Tensor]] | None = None) -> Any:
        """Losses by name in training, else what is detected in each image, for images in 0..1."""
        with torch.autocast(x.device.type, enabled=False):
            return self.model(list(x.float()), labels)

    def answer(self, images: Tensor, batch: Batch) -> Any:
        """The library's losses."""
        return self(images, self._points(batch) if self.task == "keypoints" else self._objects(batch))

    def loss(self, answer: dict[str, Tensor], batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Their sum."""
        return torch.stack(list(answer.values())).sum()

    def _objects(self, batch: Batch) -> list[dict[str, Tensor]]:
        things = things_of(batch)
        place = torch.zeros(256, dtype=torch.int64, device=things.label.device)
        place[self.aim.things] = torch.arange(1, len(self.aim.things) + 1, device=place.device)
        labels = []
        for i in range(len(batch.masks)):
            own = things.of(i)
            entry = {"boxes": things.box[own], "labels": place[things.label[own]]}
            labels.append(entry | ({"masks": things.masks(own).to(torch.uint8)} if self.task == "instance" else {}))
        return labels

    def _points(self, batch: Batch) -> list[dict[str, Tensor]]:
        assert batch.points is not None
        height, width = batch.masks.shape[1:]
        limit = batch.points.new_tensor([width, height])
        labels = []
        for points in batch.points:
            some = points[points[:, 2] > 0, :2]
            there = bool(len(some))
            low, high = (some.amin(0), some.amax(0)) if there else (limit * 0, limit)
            wider = MARGIN * (high - low).amax().clamp_min(8)
            box = torch.cat([(low - wider).clamp_min(0), (high + wider).minimum(limit)])[None][: int(there)]
            ones = torch.ones(len(box), dtype=torch.int64, device=box.device)
            labels.append({"boxes": box, "labels": ones, "keypoints": points[None][: int(there)]})
        return labels

    def decoded(self, answer: list[dict[str, Tensor]], height: int, width: int) -> list[Predicted]:
        """The library's detections; masks above one half are put together."""
        return [self._read({k: v.detach().cpu() for k, v in one.items()}, height, width) for one in answer]

    def _read(self, one: dict[str, Tensor], height: int, width: int) -> Predicted:
        if self.task == "keypoints":
            points = torch.zeros(len(self.aim.keypoints), 3)
            if len(one["scores"]):
                best = int(one["scores"].argmax())
                sure = one["keypoints_scores"][best].sigmoid()
                limit = torch.tensor([width, height], dtype=torch.float32)
                points = torch.cat([one["keypoints"][best, :, :2].clamp_min(0).minimum(limit), sure[:, None]], 1)
            return Predicted(keypoints=points.numpy().astype(np.float32))
        ids = np.array([self.aim.stuff[0], *self.aim.things])[one["labels"].numpy()]
        boxes = Boxes(one["boxes"].double().numpy(), ids, one["scores"].double().numpy())
        if self.task == "boxes":
            return Predicted(boxes=boxes)
        ground = np.full((height, width), self.aim.stuff[0], np.uint8)
        return put_together(one["masks"][:, 0].numpy() > 0.5, ids, boxes.scores, boxes.corners, ground)


def _pyramid(name: str, frozen: int) -> Any:
    """A backbone with a feature pyramid, nothing fetched, with batch normalisation that learns."""
    from torchvision.models.detection import backbone_utils

    made: dict[str, Any] = {"backbone_name": name, "weights": None, "norm_layer": torch.nn.BatchNorm2d}
    if name == "mobilenet_v2":
        return backbone_utils.mobilenet_backbone(
            fpn=True, trainable_layers=6 - frozen, returned_layers=[1, 2, 3, 4], **made
        )
    return backbone_utils.resnet_fpn_backbone(trainable_layers=5 - frozen, **made)


@torch.no_grad()
def _anchors(body: Any, side: int) -> Any:
    """Squares and oblongs of a size a level, from a sixteenth of the side to nearly all of it."""
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    levels = len(body.eval()(torch.zeros(1, 3, 64, 64)))
    sizes = tuple((float(s),) for s in np.geomspace(side / 16, side / 1.25, levels))
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * levels)
