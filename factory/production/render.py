"""The arrays of a range of samples."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch import Tensor

from labelfactory.array_types import UInt64
from labelfactory.factory.production.host_copy import HostCopy
from labelfactory.factory.production.job import PSEUDO, RESTYLED, SYNTHESIS, Job
from labelfactory.factory.production.models import Models, models_of
from labelfactory.factory.production.origins import drawn
from labelfactory.factory.production.siblings import unstable_labels
from labelfactory.factory.production.tracking import numbered_alike
from labelfactory.lazy import member
from labelfactory.storage import DatasetSpec

BATCH = 32  # at most; fixed for a generator: equal batches give equal bytes, whatever the shard or the machine's memory
# Stores whose pictures no generator draws, by the label kind that says so: what makes their samples.
OTHERWISE_MADE = {
    SYNTHESIS: "labelfactory.factory.production.synthesising:render_synthesised",
    RESTYLED: "labelfactory.factory.restyle.rendering:render_restyled",
    PSEUDO: "labelfactory.factory.restyle.pseudo_rendering:render_pseudo_labelled",
}
_ONE_AT_A_TIME = threading.Lock()


def render_shard(
    job: Job, start: int, stop: int, on_progress: Callable[[int], Any] = lambda n: None
) -> dict[str, np.ndarray]:
    """Every array of samples ``start`` to ``stop``; ``on_progress`` hears of each batch's number of samples."""
    for kind, place in OTHERWISE_MADE.items():
        if kind in job.spec.heads:
            found: dict[str, np.ndarray] = member(place)(job, start, stop, on_progress)
            return found
    models = models_of(job)
    size = models.generator.batch_size(BATCH)
    indices = np.arange(start, stop, dtype=np.uint64)
    parts: dict[str, list[np.ndarray]] = {array.name: [] for array in job.spec.shard_arrays()}
    for found in render(job.spec, models, (indices[i : i + size] for i in range(0, len(indices), size)), size):
        for name in parts:  # a head may have found more than this store has arrays for
            parts[name].append(found[name])
        on_progress(len(found["image"]))
    return numbered_alike(job.spec, {name: np.concatenate(values) for name, values in parts.items()})


def render(
    spec: DatasetSpec, models: Models, batches: Iterable[UInt64[np.ndarray, "_"]], size: int
) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of each batch of samples, given by their indices; each is computed as a batch of ``size``.

    On a GPU a batch's results travel to the host, and are finished there, while the next batch is computed.
    """
    before: tuple[HostCopy, dict[str, np.ndarray]] | None = None

    def finished(copy: HostCopy, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = copy.arrays()
        for head, model in models.heads:
            found |= head.finish(model, found, spec.classes)
        return found | known

    for indices in batches:
        z, classes, known = drawn(spec, indices, models.generator.latent_shape)
        copy = HostCopy(_on_device(spec, models, known["seed"], z, classes, size))
        if before is not None:
            yield finished(*before)
        before = copy, known
        if models.generator.device.type == "cpu":  # which computes one thing after another
            yield finished(*before)
            before = None
    if before is not None:
        yield finished(*before)


def _on_device(
    spec: DatasetSpec,
    models: Models,
    seeds: UInt64[np.ndarray, "_"],
    z: np.ndarray,
    classes: np.ndarray | None,
    size: int,
) -> dict[str, Tensor]:
    """What the models say of a batch, in the memory that they compute in."""
    generator, crop = models.generator, models.generator.crop

    def filled(rows: np.ndarray) -> np.ndarray:
        """A short batch is filled up: arithmetic may round differently in another batch size."""
        return np.concatenate([rows, np.repeat(rows[:1], size - len(rows), axis=0)])

    whole, of = filled(z), None if classes is None else filled(classes)
    # on CUDA the next call overwrites these feature maps, so threads take turns
    with _ONE_AT_A_TIME if generator.device.type == "cuda" else nullcontext():
        images, maps = generator.generate(whole, spec.truncation, of)
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
        if spec.siblings:  # the maps above have been read: the generator is called again
            left_out = unstable_labels(spec, models, label.mask, whole, filled(seeds), of)
            own["mask"] = label.mask.masked_fill(left_out, spec.ignore_index)[: len(z)]
    return own
