"""Labelled samples as the generator sees them: feature maps beside masks."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.bundled import BUILTIN, builtin_path
from labelfactory.factory.generator import Generated, ImageGenerator, seeing
from labelfactory.factory.latents import latents
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.limits import IGNORE_INDEX
from labelfactory.progress import Progress


def sample_latent(generator: ImageGenerator, sample: Sample) -> np.ndarray:
    """What a label set knows of a sample, as a latent for ``ImageGenerator.generate`` (batch of one)."""
    if sample.seed is not None:
        return latents([sample.seed], generator.latent_shape)
    return np.asarray(sample.latent, dtype=np.float32)[None]


def generated(generator: ImageGenerator, labels: LabelSet, sample: Sample) -> Generated:
    """Image and feature maps of one sample. InputError for a photograph that the generator cannot look at."""
    if sample.origin is None:
        images = torch.from_numpy(sample.image[None].copy())
        return Generated(images, seeing(generator, labels.where).see_images(images, sample.condition))
    return generator.generate(sample_latent(generator, sample), labels.truncation, sample.condition)


def feature_maps(
    generator: ImageGenerator, labels: LabelSet, samples: Iterable[Sample], progress: bool = True
) -> Iterator[tuple[Sample, list[Tensor]]]:
    """Some of a label set's samples and their feature maps, one at a time."""
    for sample in Progress(samples, desc="feature maps", unit="image", disable=not progress, leave=False):
        yield sample, generated(generator, labels, sample).feature_maps


def labelled_features(
    generator: ImageGenerator, labels: LabelSet, progress: bool = True
) -> Iterator[tuple[list[Tensor], UInt8[Tensor, "height width"]]]:
    """Feature maps and mask of each labelled sample, one at a time: what ``StyleInterpreter.fit`` reads.

    Masks of a crop are of the whole picture's size here, with nothing labelled outside.

    Raises InputError where the labels belong to another generator or have another size.
    """
    generator.check_labels(labels)
    samples = labels.labelled
    if not len(samples):
        raise InputError(f"{labels.where}: no sample has a label; label some images first")
    for sample, maps in feature_maps(generator, labels, samples, progress):
        yield maps, torch.from_numpy(labels.embed(sample.mask, IGNORE_INDEX, generator.size).copy())


def describe_labels(generator: ImageGenerator, labels: LabelSet) -> dict[str, Any]:
    """What an interpreter has to know about the labels that it learns from, ready for JSON."""
    return {
        "classes": [
            {"name": c.name, "color": list(c.color)} | ({} if c.thing is None else {"thing": c.thing})
            for c in labels.classes
        ],
        "generator_sha256": generator.sha256,
        "truncation": labels.truncation,
        "labels_sha256": labels.content_sha256,
        "pictures": [s.group for s in labels.labelled],
        **({"crop": list(labels.crop.numbers)} if labels.crop else {}),
    }


def group_numbers(groups: Iterable[str]) -> list[int]:
    """Equal numbers for samples of one group (``Sample.group``): what training holds out together."""
    return np.unique(list(groups), return_inverse=True)[1].tolist()


def load_labels(source: str | Path) -> LabelSet:
    """A label set's folder, or ``builtin:NAME`` for the bundled one."""
    name = os.fspath(source)
    return LabelSet.load(builtin_path(name, "labels") if name.startswith(BUILTIN) else name)
