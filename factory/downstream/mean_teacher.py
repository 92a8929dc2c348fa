"""Mean-teacher semi-supervision (Tarvainen and Valpola, NeurIPS 2017, arXiv 1703.01780), the baseline with few labels.

For segmentation the teacher's answer is turned with the student's image, as in transformation-consistent
self-ensembling (Li et al., arXiv 1903.00348).
"""

import math
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray as Array
from torch import Tensor
from tqdm import tqdm

from factory.downstream.augment import Augmentation, Batch, augment, dihedral
from factory.downstream.losses import segmentation_loss
from factory.downstream.pairs import Pairs
from factory.downstream.segmenter import Segmenter
from factory.downstream.training import (
    TrainingConfig,
    learning_rate,
    load_batch,
    parameter_groups,
    update_average,
    uses_bf16,
)
from factory.errors import InputError
from interpreters.shapes import Float, UInt8

JITTER = Augmentation(dihedral=False, blur=0.7, brightness=0.1, contrast=1.25, p=0.8)


@dataclass(frozen=True)
class MeanTeacherConfig:
    """How the unlabelled images count.

    consistency       largest weight of the consistency loss
    ramp              fraction of the steps over which it rises to that
    unlabelled_batch  unlabelled images a step
    """

    consistency: float = 5.0
    ramp: float = 0.4
    unlabelled_batch: int = 32


def train_mean_teacher(
    model: Segmenter,
    labelled: Pairs,
    unlabelled: UInt8[Array, "images height width channels"],
    config: TrainingConfig,
    semi: MeanTeacherConfig | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Segmenter:
    """Train on few labelled pairs and many unlabelled images; returns the teacher (the averaged weights).

    The student learns the labels, and on unlabelled images the teacher's probabilities (mean squared difference), each
    seeing its own jitter. ``config.batch_size`` labelled and ``semi.unlabelled_batch`` unlabelled images a step.
    """
    semi = semi or MeanTeacherConfig()
    if len(labelled) == 0 or len(unlabelled) == 0:
        raise InputError("mean teacher needs labelled pairs and unlabelled images")
    device = torch.device(device)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    teacher: Segmenter = deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(parameter_groups(model, config.weight_decay), lr=config.learning_rate)
    bf16 = uses_bf16(config.precision, device)
    class_weights = None if config.class_weights is None else torch.tensor(config.class_weights, device=device)
    for step in tqdm(range(config.steps), desc="mean teacher", unit="step", disable=not progress, leave=False):
        rng = np.random.Generator(np.random.Philox(key=[config.seed, step], counter=1 << 65))
        few = labelled.fetch(rng.integers(len(labelled), size=config.batch_size).tolist())
        batch = load_batch(model, few, config, step, device)
        chosen = unlabelled[rng.integers(len(unlabelled), size=semi.unlabelled_batch)]
        x = model.prepare(torch.from_numpy(chosen).to(device))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        element = int(rng.integers(8 if x.shape[-1] == x.shape[-2] else 1))
        seen_by_teacher = jitter(x, generator)
        seen_by_student = dihedral(jitter(x, generator), element).contiguous(memory_format=torch.channels_last)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, config)
        model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(torch.cat([batch.images, seen_by_student]))
            with torch.no_grad():
                target = dihedral(teacher(seen_by_teacher).float().softmax(1), element)
        n = len(batch.images)
        loss = segmentation_loss(config.loss, logits[:n].float(), batch.masks, batch.weights, class_weights)
        consistency = (logits[n:].float().softmax(1) - target).square().mean()
        total = loss + semi.consistency * ramp_up(step, semi.ramp * config.steps) * consistency
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()
        update_average(teacher, model, min(config.average, (step + 1) / (step + 10)))
    return teacher


def jitter(
    x: Float[Tensor, "batch channels height width"], generator: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Light changes alone: geometry stays, so that two views can be compared pixel by pixel."""
    blank = torch.zeros(len(x), *x.shape[-2:], dtype=torch.int64, device=x.device)
    return augment(Batch(x, blank, blank.float()), JITTER, generator).images


def ramp_up(step: int, length: float) -> float:
    """exp(-5 (1 - t)^2) with t rising from 0 to 1 over ``length`` steps (appendix B of the paper)."""
    t = min(1.0, step / max(1.0, length))
    return math.exp(-5 * (1 - t) ** 2)
