"""The arrays of a range of samples."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch import Tensor

from labelfactory.factory.latents import drawn_classes, latents
from labelfactory.factory.production.host_copy import HostCopy
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.models import Models, models_of
from labelfactory.storage import DatasetSpec, sample_seeds

BATCH = 32  # at most; fixed for a generator: equal batches give equal bytes, whatever the shard or the machine's memory
_ONE_AT_A_TIME = threading.Lock()


def render_shard(
    job: Job, start: int, stop: int, on_progress: Callable[[int], Any] = lambda n: None
) -> dict[str, np.ndarray]:
    """Every array of samples ``start`` to ``stop``; ``on_progress`` hears of each batch's number of samples.

    On a GPU a batch's results travel to the host, and are finished there, while the next batch is computed.
    """
    models = models_of(job)
    seeds = sample_seeds(job.spec.seed, start, stop)
    z = latents(seeds.tolist(), models.generator.latent_shape)
    size = models.generator.batch_size(BATCH)
    known = {"seed": seeds, "latent": z.reshape(len(z), -1)}
    classes = drawn_classes(seeds.tolist(), job.spec.conditions)
    if classes is not None:
        known["condition"] = classes.astype(np.uint16)
    parts: dict[str, list[np.ndarray]] = {a.name: [] for a in job.spec.shard_arrays() if a.name not in known}

    def collect(copy: HostCopy) -> None:
        found = copy.arrays()
        for head, model in models.heads:
            found |= head.finish(model, found, job.spec.classes)
        for name in parts:  # a head may have found more than this store has arrays for
            parts[name].append(found[name])
        on_progress(len(found["image"]))

    before: HostCopy | None = None
    for first in range(0, len(z), size):
        part = slice(first, first + size)
        copy = HostCopy(_on_device(job.spec, models, z[part], None if classes is None else classes[part], size))
        if before is not None:
            collect(before)
        before = copy
    if before is not None:
        collect(before)
    return {name: np.concatenate(values) for name, values in parts.items()} | known


def _on_device(
    spec: DatasetSpec, models: Models, z: np.ndarray, classes: np.ndarray | None, size: int
) -> dict[str, Tensor]:
    """What the models say of a batch, in the memory that they compute in."""
    generator, crop = models.generator, models.generator.crop
    # A short batch is filled up: arithmetic may round differently in another batch size.
    short = size - len(z)
    filled = np.concatenate([z, np.repeat(z[:1], short, axis=0)])
    of = None if classes is None else np.concatenate([classes, np.repeat(classes[:1], short)])
    # on CUDA the next call overwrites these feature maps, so threads take turns
    with _ONE_AT_A_TIME if generator.device.type == "cuda" else nullcontext():
        images, maps = generator.generate(filled, spec.truncation, of)
        label = models.interpreter.predict(maps, spec.label_precision or "auto", crop=crop)
        found = {
            "image": images,
            "mask": label.mask,
            "uncertainty": label.uncertainty,
            "uncertainty_score": label.score,
        }
        own = {name: value[: len(z)] for name, value in found.items()}
        maps = [m[: len(z)] for m in maps]
        for head, model in models.heads:
            own |= head.predict(model, maps, crop)
    return own
