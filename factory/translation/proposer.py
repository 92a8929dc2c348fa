"""A restorer proposes on the labelling page: what is drawn on an image, completed. It learns nothing meanwhile."""

import math
from pathlib import Path

import numpy as np
import torch

from labelfactory.array_types import UInt8
from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.proposer import FreshSample, Progress, Proposal, nothing_proposed
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.factory.translation.completing import check_classes
from labelfactory.factory.translation.restorer import LoadedRestorer, load_restorer
from labelfactory.factory.translation.restoring import restore
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.uncertainty import image_score
from labelfactory.limits import IGNORE_INDEX


class RestoringProposer:
    """What is drawn on each sample, and the restorer. An image on which nothing is drawn has no proposal."""

    def __init__(self, restorer: LoadedRestorer, labels: LabelSet) -> None:
        self.restorer, self.images = restorer, [sample.image for sample in labels]
        self.drawn: dict[int, UInt8[np.ndarray, "height width"]] = {}
        self.revision = 0
        self.bf16 = uses_bf16("auto", restorer.network.temperature.device)

    @classmethod
    def begin(cls, generator: ImageGenerator, labels: LabelSet, model: Path | None) -> "RestoringProposer":
        """InputError where no restorer is named, or it is one of other classes or of smaller masks."""
        if model is None:
            raise InputError("a restorer proposes from its file: name it")
        restorer = load_restorer(model, generator.device)
        check_classes(restorer, labels)
        if restorer.degradation.factor > 1:
            raise InputError(f"{model}: enlarges small masks; give one of sparse, coarse or scribble")
        return cls(restorer, labels)

    def learn(self, index: int, mask: UInt8[np.ndarray, "height width"]) -> None:
        """What is drawn there now."""
        self.drawn[index] = mask
        self.revision += 1

    def train(self) -> Progress:
        """Nothing to do."""
        return Progress(self.revision, 0, 0, float("nan"), 0.0)

    def propose(self, index: int) -> Proposal:
        """What is drawn, completed."""
        image, mask = self.images[index], self.drawn.get(index)
        if mask is None or (mask == IGNORE_INDEX).all():
            nothing = nothing_proposed(*image.shape[:2])
            return Proposal(index, self.revision, nothing, np.full_like(nothing, 255), math.log(self.classes))
        made = restore(self.restorer, mask, image if self.restorer.sees_pictures else None, bf16=self.bf16)
        heat = np.rint(255 * made.uncertainty / math.log(self.classes)).clip(0, 255).astype(np.uint8)
        score = image_score(torch.from_numpy(made.uncertainty)[None])
        return Proposal(index, self.revision, made.mask, heat, float(score[0]))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.restorer.classes)

    def fresh(self, place: int) -> FreshSample:
        """A restorer has nothing to say of images that nobody drew on."""
        raise InputError("a restorer labels only images that somebody drew on: there is no gallery")
