"""Mask2Former (arXiv 2112.01527) and EoMT (arXiv 2503.19108) of ``transformers``, with their own set matching.

Each query says a class and a mask; the losses match queries to labelled regions (Hungarian algorithm).
"""

from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.objects.library import Folder, Overrides, library_model
from labelfactory.factory.objects.targets import things_of
from labelfactory.factory.objects.together import put_together
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.backbones import ImageNetInput
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float, UInt8

MODELS = {
    "mask2former": ("Mask2FormerConfig", "Mask2FormerForUniversalSegmentation"),
    "eomt": ("EomtConfig", "EomtForUniversalSegmentation"),
}
OVERLAP = 0.8  # share of its pixels that a region must keep to be shown (both papers' panoptic inference)


class MaskMatching(Segmenter):
    """One of ``MODELS``: fresh, with ``overrides`` of the library's default configuration, or from a folder.

    ``forward`` gives the log of the semantic output (class times mask probability, summed over queries) for whatever
    task. Everything runs in float32: the library's matching takes nothing less. A network for pictures of one size
    (EoMT) sees every picture at that size.
    """

    own_loss = True
    aim: Aim

    def __init__(
        self,
        architecture: str,
        aim: Aim,
        folder: Folder = None,
        overrides: Overrides = None,
        threshold: Annotated[float, Parameter("Score from which a region counts.", at_least=0, at_most=1)] = 0.3,
    ) -> None:
        super().__init__(3, len(aim.classes))
        if architecture not in MODELS:
            raise InputError(f"unknown architecture {architecture!r}: choose one of {', '.join(MODELS)}")
        self.aim, self.task, self.threshold = aim, aim.task, threshold
        self.normalise = ImageNetInput()
        self.model = library_model(*MODELS[architecture], folder, {"num_labels": self.num_classes}, overrides)
        side = getattr(self.model.config, "image_size", None) if architecture == "eomt" else None
        self.size = (side, side) if isinstance(side, int) else side

    def saved_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The whole configuration: what a folder said must come back without the folder."""
        kept = {k: v for k, v in options.items() if k == "threshold"}
        return {"overrides": self.model.config.to_dict(), **kept}

    def queries(self, images: Tensor, **labels: Any) -> Any:
        """The library's answer, its loss where there are labels; masks are logits at its own resolution."""
        with torch.autocast(images.device.type, enabled=False):
            x = self.normalise(images.float())
            if self.size is not None:
                x = F.interpolate(x, self.size, mode="bilinear", align_corners=False)
            return self.model(pixel_values=x, **labels)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        """Logits of images in 0..1."""
        out = self.queries(x)
        classes = out.class_queries_logits.softmax(-1)[..., :-1]  # the last class is "no object"
        logits = torch.einsum("bqc,bqhw->bchw", classes, out.masks_queries_logits.sigmoid()).clamp_min(1e-6).log()
        return F.interpolate(logits, x.shape[-2:], mode="bilinear", align_corners=False)

    def answer(self, images: Tensor, batch: Batch) -> Any:
        """The library's answer with its loss."""
        masks, labels = self._regions(batch)
        if self.size is not None:
            masks = [F.interpolate(m[None], self.size, mode="nearest")[0] for m in masks]
        return self.queries(images, mask_labels=masks, class_labels=labels)

    def loss(self, answer: Any, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Cross-entropy of the classes, binary cross-entropy and Dice of the masks, as the library weighs them."""
        loss: Tensor = answer.loss
        return loss.squeeze()

    def _regions(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """Masks and class ids of every image: objects, and where the task has them regions of the other classes."""
        things = things_of(batch) if self.task != "semantic" else None
        whole = {"semantic": range(self.num_classes), "panoptic": self.aim.stuff, "instance": ()}[self.task]
        masks, labels = [], []
        for i, mask in enumerate(batch.masks):
            present = [c for c in whole if (mask == c).any()]
            parts = [(mask == c)[None] for c in present]
            ids = torch.tensor(present, dtype=torch.int64, device=mask.device)
            if things is not None:
                own = things.of(i)
                parts.append(things.masks(own))
                ids = torch.cat([ids, things.label[own]])
            none = mask.new_zeros((0, *mask.shape), dtype=torch.bool)
            masks.append(torch.cat([none, *parts]).float())
            labels.append(ids)
        return masks, labels

    @torch.no_grad()
    def found(self, images: UInt8[Tensor, "batch height width channels"]) -> list[Predicted]:
        """Regions put together: the surest query takes its pixels first."""
        if self.task == "semantic":
            return super().found(images)
        training = self.training
        self.eval()
        out = self.queries(self.prepare(images))
        self.train(training)
        chance = out.class_queries_logits.softmax(-1)[..., :-1]
        masks = F.interpolate(out.masks_queries_logits, images.shape[1:3], mode="bilinear", align_corners=False)
        read = self._panoptic if self.task == "panoptic" else self._instances
        return [read(c, m.sigmoid()) for c, m in zip(chance, masks, strict=True)]

    def _instances(self, chance: Tensor, masks: Tensor) -> Predicted:
        """A query's score is its class's probability times the mean of its mask above one half."""
        scores, place = chance[:, self.aim.things].max(-1)
        inside = masks > 0.5
        scores = scores * (masks * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)
        kept = scores > self.threshold
        labels = torch.tensor(self.aim.things, device=place.device)[place]
        ground = np.full(masks.shape[1:], self.aim.stuff[0], np.uint8)
        own, classes, sure = (t[kept].cpu().numpy() for t in (inside, labels, scores.double()))
        return put_together(own, classes, sure, None, ground)

    def _panoptic(self, chance: Tensor, masks: Tensor) -> Predicted:
        """Each pixel goes to the query of highest class times mask probability (MaskFormer, 2107.06278, sec. 3.4)."""
        scores, labels = chance.max(-1)
        kept = scores > self.threshold
        scores, labels, masks = scores[kept], labels[kept], masks[kept]
        semantic = torch.einsum("qc,qhw->chw", chance[kept][:, self.aim.stuff], masks)
        mask = np.array(self.aim.stuff, np.uint8)[semantic.argmax(0).cpu().numpy()]
        ids, sure = np.zeros(mask.shape, np.int32), dict[int, float]()
        owner = (scores[:, None, None] * masks).argmax(0) if len(scores) else None
        for q in range(len(scores)):
            assert owner is not None
            label, own = int(labels[q]), (owner == q) & (masks[q] > 0.5)
            size = int((masks[q] > 0.5).sum())
            if size == 0 or int(own.sum()) < OVERLAP * size:
                continue
            pixels = own.cpu().numpy()
            if label in self.aim.things:
                ids[pixels] = len(sure) + 1
                sure[len(sure) + 1] = float(scores[q] * masks[q][own].mean())
            mask[pixels] = label
        return Predicted(mask, instances=ids, scores=sure)
