"""What the cells of the downstream study are put together from: network, training, arrays, files, clock."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from domains import NUCLEI

from labelfactory.factory.pairs.augmentation import PRESETS
from labelfactory.factory.pairs.pairs import ArrayPairs, JoinedPairs, Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.segmenters.catalogue import build_segmenter
from labelfactory.factory.segmenters.inference import predict_pairs
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.interpreters.classes import LabelClass
from labelfactory.whole_files import whole_file


def with_real(generated: ArrayPairs, real: ArrayPairs) -> Pairs:
    """Pairs and labelled crops, these repeated until they are a quarter of all."""
    return JoinedPairs([generated, real], [1, max(1, round(len(generated) / (3 * len(real))))])


def recipe(options: argparse.Namespace, channels: int, classes: Sequence[LabelClass]) -> dict[str, Any]:
    """What a kept segmenter's file says of it."""
    about = {"name": options.architecture, "image_channels": channels, "options": options.network_options}
    return about | {"classes": [asdict(c) for c in classes]}


def network(
    options: argparse.Namespace, channels: int, seed: int, classes: Sequence[LabelClass] = NUCLEI.classes
) -> Segmenter:
    """The study's network, untrained."""
    torch.manual_seed(seed)
    return build_segmenter(options.architecture, channels, len(classes), **options.network_options)


def training_config(options: argparse.Namespace, seed: int) -> TrainingConfig:
    """How every network of the study is trained."""
    return TrainingConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        augmentation=PRESETS[options.augmentation],
        average=options.average,
        seed=seed,
        validate_every=max(1, options.steps // 4),
    )


def segment(model: Segmenter, images: np.ndarray) -> np.ndarray:
    """A segmenter's masks of images of one size, on its device."""
    blank = ArrayPairs(images, np.zeros(images.shape[:3], np.uint8))
    found = predict_pairs(model, blank, bf16=uses_bf16("auto", next(model.parameters()).device))
    return np.stack([p.argmax(0).astype(np.uint8) for _, p in found])


def keep(path: Path, **arrays: np.ndarray) -> None:
    """Arrays in a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)


def subset(pairs: ArrayPairs, indices: list[int]) -> ArrayPairs:
    """Some of the pairs."""
    weights = None if pairs.weights is None else pairs.weights[indices]
    names, groups = ([x[i] for i in indices] for x in (pairs.names, pairs.groups))
    return ArrayPairs(pairs.images[indices], pairs.masks[indices], weights, names, groups)


def parted(pairs: ArrayPairs) -> tuple[ArrayPairs, ArrayPairs]:
    """The pairs of four fifths of the groups, and those of the others: what options are chosen on, without val."""
    groups = sorted(set(pairs.groups))
    held = {groups[i] for i in np.random.default_rng(0).permutation(len(groups))[: max(1, len(groups) // 5)]}
    rest, others = ([i for i, g in enumerate(pairs.groups) if (g in held) == out] for out in (False, True))
    return subset(pairs, rest), subset(pairs, others)


def in_memory(store: StorePairs) -> ArrayPairs:
    """A store's pairs as arrays: small images are read once instead of every epoch."""
    read = [p for start in range(0, len(store), 512) for p in store.fetch(range(start, min(start + 512, len(store))))]
    weights = None if store.temperature is None else np.stack([p.weights for p in read if p.weights is not None])
    return ArrayPairs(np.stack([p.image for p in read]), np.stack([p.mask for p in read]), weights)


class Clock:
    """Wall and processor seconds since the last lap."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.monotonic(), time.process_time()

    def lap(self) -> dict[str, float]:
        wall, cpu = time.monotonic(), time.process_time()
        lap = {"wall_s": round(wall - self.wall, 2), "cpu_s": round(cpu - self.cpu, 2)}
        self.wall, self.cpu = wall, cpu
        return lap
