"""Segmenters: networks whose answer is a logit for each class and pixel."""

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.segmenters.losses import segmentation_loss
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.interpreters.array_types import Float, UInt8


class Segmenter(Network):
    """Base of all segmenters: ``forward`` maps images in 0..1 to logits, one per class and pixel.

    A line in ``architectures`` makes a segmenter known by name. Whatever is known by name passes
    tests/segmenter_contract.py.
    """

    own_loss = False
    whole: bool = False  # where a pixel lies in the picture matters: no tiles

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels)
        if num_classes < 2:
            raise InputError(f"a segmenter needs at least 1 channel and 2 classes, got {in_channels} and {num_classes}")
        self.num_classes = num_classes

    def loss(self, answer: Tensor, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Cross-entropy or Dice of the pixels inside the margin, weighted as the batch and the settings say."""
        target, weights = _inside(batch.masks, self.margin), _inside(batch.weights, self.margin)
        of_classes = None if how.class_weights is None else torch.tensor(how.class_weights, device=answer.device)
        return segmentation_loss(how.loss, answer.float(), target, weights, of_classes)

    @torch.no_grad()
    def probabilities(
        self, images: UInt8[Tensor, "batch height width channels"]
    ) -> Float[Tensor, "batch classes out_height out_width"]:
        """Class probabilities of 8-bit images, in evaluation mode, in float32."""
        training = self.training
        self.eval()
        device = next(self.parameters()).device
        logits = self(self.prepare(images.to(device)))
        self.train(training)
        return logits.float().softmax(1)

    def found(self, images: UInt8[Tensor, "batch height width channels"]) -> list[Predicted]:
        """The likeliest class of each pixel, and the probabilities of all."""
        return [Predicted(p.argmax(0).astype(np.uint8), p) for p in self.probabilities(images).cpu().numpy()]


def _inside(x: Tensor, margin: int) -> Tensor:
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin] if margin else x
