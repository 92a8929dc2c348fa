"""The arrays of a range of samples."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch import Tensor

from labelfactory.factory.latents import latents
from labelfactory.factory.production.host_copy import HostCopy
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.models import Models, models_of
from labelfactory.interpreters.instances import label_instances
from labelfactory.interpreters.keypoints import predict_keypoints
from labelfactory.interpreters.values import predict_values
from labelfactory.masks import countable
from labelfactory.storage import DatasetSpec, sample_seeds

BATCH = 32  # at most; fixed for a generator: equal batches give equal bytes, whatever the shard or the machine's memory
_HEAT = "heat of centres"  # on its way from the device, not an array of the store
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
    parts: dict[str, list[np.ndarray]] = {}

    def collect(copy: HostCopy) -> None:
        own = _with_instances(job.spec, models, copy.arrays())
        for name, value in own.items():
            parts.setdefault(name, []).append(value)
        on_progress(len(own["image"]))

    before: HostCopy | None = None
    for first in range(0, len(z), size):
        copy = HostCopy(_on_device(job.spec, models, z[first : first + size], size))
        if before is not None:
            collect(before)
        before = copy
    if before is not None:
        collect(before)
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    return arrays | {"seed": seeds, "latent": z.reshape(len(z), -1)}


def _on_device(spec: DatasetSpec, models: Models, z: np.ndarray, size: int) -> dict[str, Tensor]:
    """What the models say of a batch, in the memory that they compute in."""
    generator, crop = models.generator, models.generator.crop
    # A short batch is filled up: arithmetic may round differently in another batch size.
    filled = np.concatenate([z, np.repeat(z[:1], size - len(z), axis=0)])
    with _ONE_AT_A_TIME if generator.device.type == "cuda" else nullcontext():  # its maps are overwritten by the next
        images, maps = generator.generate(filled, spec.truncation)
        label = models.interpreter.predict(maps, spec.label_precision or "auto", crop=crop)
        found = {
            "image": images,
            "mask": label.mask,
            "uncertainty": label.uncertainty,
            "uncertainty_score": label.score,
        }
        own = {name: value[: len(z)] for name, value in found.items()}
        maps = [m[: len(z)] for m in maps]
        if models.keypoints is not None:
            points = predict_keypoints(models.keypoints, maps, crop)
            own["keypoints"] = points.points.float()
            if spec.keypoint_uncertainty:
                own["keypoint_uncertainty"] = points.uncertainty.float()
        if models.values is not None:
            values = predict_values(models.values, maps, crop)
            own |= {"value": values.value.half(), "value_uncertainty": values.uncertainty.half()}
        if spec.instance and models.centres is not None:
            own[_HEAT] = models.centres.mean_and_spread(maps, crop)[0][:, 0]
    return own


def _with_instances(spec: DatasetSpec, models: Models, own: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a batch; where objects are asked for, with their numbers in place of the heat of their centres."""
    masks, heats = own["mask"], own.pop(_HEAT, None)
    if spec.instance:
        sigma = models.centres.sigma if models.centres is not None else 1.0
        things, boundary = countable(spec.classes)
        numbered = zip(masks, [None] * len(masks) if heats is None else heats, strict=True)
        own["instance"] = np.stack([label_instances(m, things, boundary, heat=h, sigma=sigma)[0] for m, h in numbered])
    return own
