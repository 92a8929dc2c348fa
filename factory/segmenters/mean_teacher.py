"""Unlabelled images in training: mean teacher (Tarvainen and Valpola, NeurIPS 2017, arXiv 1703.01780).

For segmentation the teacher's answer is turned with the student's image, as in transformation-consistent
self-ensembling (Li et al., arXiv 1903.00348). The teacher is the moving average that training keeps anyway.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.pairs.augment import Batch, augment
from labelfactory.factory.pairs.augmentation import Augmentation
from labelfactory.factory.pairs.pairs import Pair, Pairs, collate, random_crop
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.settings import MeanTeacherConfig
from labelfactory.factory.symmetry import dihedral
from labelfactory.interpreters.array_types import Float

JITTER = Augmentation(dihedral=False, blur=0.7, brightness=0.1, contrast=1.25, noise=0.03, p=0.8)


@dataclass(frozen=True)
class Views:
    """The same images twice, each in its own light; the student's are turned by ``element`` of the square's eight."""

    teacher: Float[Tensor, "batch channels height width"]
    student: Float[Tensor, "batch channels height width"]
    element: int


class Unlabelled:
    """Images without labels (masks are not looked at), and the loss that they add.

    The student learns the labels of others, and on these images the teacher's probabilities (mean squared difference),
    each seeing its own jitter. Which images a step sees, and how, depends on seed and step alone.
    """

    def __init__(self, images: Pairs, config: MeanTeacherConfig | None = None) -> None:
        if len(images) == 0:
            raise InputError("there are no unlabelled images: name a folder, zip or store that holds some")
        self.images, self.config = images, config or MeanTeacherConfig()

    def fetch(self, seed: int, step: int) -> list[Pair]:
        """The images of a step."""
        return self.images.fetch(_rng(seed, step).integers(len(self.images), size=self.config.batch_size).tolist())

    def views(
        self, model: Network, some: list[Pair], seed: int, step: int, crop: int | None, size: tuple[int, ...]
    ) -> Views:
        """Both views of a step's images, on the model's device; InputError where they are not of ``size``."""
        rng = _rng(seed, step, 1)
        if crop is not None:
            some = [random_crop(pair, crop, rng) for pair in some]
        images, _, _ = collate(some)
        if images.shape[1:3] != size:
            raise InputError(
                f"unlabelled images of {images.shape[2]} x {images.shape[1]} beside labelled ones of "
                f"{size[1]} x {size[0]}: set a crop size"
            )
        x = model.prepare(torch.from_numpy(images).to(next(model.parameters()).device))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        element = (
            int(rng.integers(8)) if size[0] == size[1] else 2 * int(rng.integers(2))
        )  # no quarter turns of oblongs
        student = dihedral(jitter(x, generator), element).contiguous(memory_format=torch.channels_last)
        return Views(jitter(x, generator), student, element)

    def loss(
        self,
        teacher: Network,
        views: Views,
        logits: Float[Tensor, "batch classes out_height out_width"],
        progress: float,
    ) -> Float[Tensor, ""]:
        """How far the student's logits are from the teacher's answer; ``progress`` runs from 0 to 1 over training."""
        with torch.no_grad():
            answer = dihedral(teacher(views.teacher).float().softmax(1), views.element)
        difference = (logits.softmax(1) - answer).square().mean()
        return self.config.consistency * ramp_up(progress, self.config.ramp) * difference


def jitter(
    x: Float[Tensor, "batch channels height width"], generator: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Light changes alone: geometry stays, so that two views can be compared pixel by pixel."""
    blank = torch.zeros(len(x), *x.shape[-2:], dtype=torch.int64, device=x.device)
    return augment(Batch(x, blank, blank.float()), JITTER, generator).images


def ramp_up(progress: float, length: float) -> float:
    """exp(-5 (1 - t)^2) with t rising from 0 to 1 over ``length`` of the training (appendix B of the paper)."""
    t = 1.0 if progress >= length else progress / length
    return math.exp(-5 * (1 - t) ** 2)


def _rng(seed: int, step: int, stream: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, step], counter=(1 << 65) + (stream << 66)))
