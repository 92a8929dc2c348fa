"""A proposer that needs no learning: the upper half of an image is of the class that was drawn there last."""

from pathlib import Path

import numpy as np

from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.proposer import FreshSample, Progress, Proposal
from labelfactory.interpreters.labelset import LabelSet


class Halves:
    def __init__(self, size: tuple[int, int]) -> None:
        self.size, self.revision, self.upper = size, 0, 0

    @classmethod
    def begin(cls, generator: ImageGenerator, labels: LabelSet, model: Path | None) -> "Halves":
        return cls(labels.samples[0].mask.shape)

    def learn(self, index: int, mask: np.ndarray) -> None:
        drawn = mask[: len(mask) // 2]
        self.upper, self.revision = int(drawn[drawn != 255].max(initial=0)), self.revision + 1

    def train(self) -> Progress:
        return Progress(self.revision, 0, 0, float("nan"), 0.0)

    def propose(self, index: int) -> Proposal:
        mask = np.zeros(self.size, np.uint8)
        mask[: len(mask) // 2] = self.upper
        return Proposal(index, self.revision, mask, np.zeros_like(mask), 0.0)

    def fresh(self, place: int) -> FreshSample:
        proposal = self.propose(0)
        return FreshSample(place, self.revision, place, proposal.mask[..., None], proposal.mask, 0.0)
