"""The production line without an orchestrator: an order becomes a spec, a spec and a shard number a committed shard.

Everything here is a plain function of plain values, so that a loop, a thread pool, Prefect, Dask or Ray can drive it.
"""

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.classes import InterpreterSettings, ensure_interpreter
from labelfactory.factory.heads.head import REGRESSORS, load_regressor
from labelfactory.factory.host_copy import HostCopy
from labelfactory.factory.job import Job, Models, hash_of, load_interpreter, models_of, put_models
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.latents import latents
from labelfactory.factory.order import Order
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.instances import BOUNDARY, label_instances
from labelfactory.interpreters.keypoints import predict_keypoints
from labelfactory.interpreters.values import channels_of, predict_values
from labelfactory.storage import (
    ClassInfo,
    CommitRecord,
    DatasetSpec,
    Manifest,
    ShardWriter,
    Store,
    ValueInfo,
    create_store,
    open_store,
    sample_seeds,
)

__all__ = ["BATCH", "Job", "make_shard", "open_output", "prepare", "produce", "render_shard"]

POLL_S = 1.0  # between two looks at a shard that another worker is making
BATCH = 32  # at most; fixed for a generator: equal batches give equal bytes, whatever the shard or the machine's memory
_HEAT = "heat of centres"  # on its way from the device, not an array of the store
_ONE_AT_A_TIME = threading.Lock()


def prepare(order: Order, cache: Path | None = None, progress: bool = True) -> Job:
    """Loads and checks what an order names and trains its interpreter where none is kept; creates no store yet.

    Raises InputError for an unknown generator, labels or an interpreter of another generator, or impossible numbers.
    """
    generator = open_generator(order.generator, order.device)
    reused, truncation = True, order.truncation
    if order.labels is not None:
        labels = load_labels(order.labels)
        truncation = labels.truncation if truncation is None else truncation
        classes = tuple(ClassInfo(c.name, c.color, c.thing) for c in labels.classes)
        _spec(order, generator.cropped(_crop(order, generator, labels.crop)), classes, "0" * 64, truncation)
        path, reused = ensure_interpreter(generator, labels, InterpreterSettings(), cache, progress)
    else:
        path = Path(str(order.interpreter))
    interpreter, sha256 = load_interpreter(str(path), generator)
    classes = tuple(ClassInfo(c["name"], tuple(c["color"]), c.get("thing")) for c in interpreter.classes)
    generator = generator.cropped(_crop(order, generator, _learned_crop(interpreter, path)))
    spec = _spec(order, generator, classes, sha256, 0.7 if truncation is None else truncation)
    regressors = {kind: str(file) for kind in REGRESSORS if (file := getattr(order, kind)) is not None}
    for kind, file in regressors.items():
        model = load_regressor(file, generator, kind)
        known: dict[str, Any] = {REGRESSORS[kind]: hash_of(Path(file))}
        if kind == "keypoints":
            known |= {"keypoints": model.names, "keypoint_uncertainty": True}
        elif kind == "values":
            known["values"] = tuple(ValueInfo(c.name, c.unit, c.low, c.high) for c in channels_of(model, file))
        spec = replace(spec, **known)
    return Job(
        out=order.out,
        generator=order.generator,
        generator_sha256=generator.sha256,
        interpreter=str(path),
        spec=spec,
        interpreter_reused=reused,
        device=order.device,
        storage_options=dict(order.storage_options),
        regressors=regressors,
    )


def _crop(order: Order, generator: ImageGenerator, learned: Crop | None) -> Crop | None:
    """What the order says, else what was labelled; InputError where the order asks for more than that."""
    if order.crop is None:
        return learned
    crop = Crop.parse(order.crop, generator.resolution, generator.resolution)
    if learned is not None and not crop.within(learned):
        raise InputError(f"crop {crop}: reaches beyond {learned}, the part that was labelled")
    return crop


def _learned_crop(interpreter: StyleInterpreter, path: Path) -> Crop | None:
    """The crop of the labels that an interpreter has learned from."""
    numbers = interpreter.extra.get("crop", [])
    if not isinstance(numbers, list) or len(numbers) not in (0, 4) or not all(type(n) is int for n in numbers):
        raise InputError(f"{path}: its crop {numbers!r} is not top, bottom, left, right; train the interpreter again")
    return Crop.of(numbers)


def _spec(
    order: Order, generator: ImageGenerator, classes: tuple[ClassInfo, ...], interpreter_sha256: str, truncation: float
) -> DatasetSpec:
    height, width = generator.image_size
    return DatasetSpec(
        count=order.count,
        height=height,
        width=width,
        channels=generator.image_channels,
        latent_dim=generator.z_dim,
        classes=classes,
        generator=order.generator,
        generator_sha256=generator.sha256,
        interpreter_sha256=interpreter_sha256,
        label_precision="" if order.precision == "auto" else order.precision,
        seed=order.seed,
        truncation=truncation,
        shard_size=order.shard_size,
        instance=order.instances or order.centres is not None,
        licence=str(generator.metadata.get("licence", "unknown")),
        crop=generator.crop.numbers if generator.crop else (),
    )


def open_output(job: Job) -> Store:
    """Creates the store, or opens the one that is there to continue it, and sees that its models lie in it."""
    store = create_store(job.out, job.spec, job.storage_options or None)
    put_models(job, store)
    return store


def render_shard(
    job: Job, start: int, stop: int, on_progress: Callable[[int], Any] = lambda n: None
) -> dict[str, np.ndarray]:
    """Every array of samples ``start`` to ``stop``; ``on_progress`` hears of each batch's number of samples.

    On a GPU a batch's results travel to the host, and are finished there, while the next batch is computed.
    """
    models = models_of(job)
    seeds = sample_seeds(job.spec.seed, start, stop)
    z = latents(seeds.tolist(), models.generator.z_dim)
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
    return {name: np.concatenate(values) for name, values in parts.items()} | {"seed": seeds, "latent": z}


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
        boundary = next((i for i, c in enumerate(spec.classes) if c.name == BOUNDARY), None)
        things = [i for i, c in enumerate(spec.classes) if c.thing and i != boundary]
        numbered = zip(masks, [None] * len(masks) if heats is None else heats, strict=True)
        own["instance"] = np.stack([label_instances(m, things, boundary, heat=h, sigma=sigma)[0] for m, h in numbered])
    return own


def make_shard(
    job: Job, shard: int, store: Store | None = None, on_progress: Callable[[int], Any] = lambda n: None
) -> CommitRecord:
    """Makes and commits one shard; what any worker runs. Returns the committed record, also of one made before.

    Where another worker is making this very shard it waits for that, and takes over should that worker die.
    """
    store = store or open_store(job.out, job.storage_options or None)
    while (record := store.record(shard)) is None and not store.claim(shard):
        time.sleep(POLL_S)
    if record is None:
        record = store.record(shard)  # its maker may have finished between our look and our claim
    try:
        return record or store.write_shard(shard, render_shard(job, *store.shard_range(shard), on_progress))
    finally:
        store.release(shard)


def produce(job: Job, progress: bool = True) -> Manifest:
    """Makes every missing shard in this process, then finishes the store. Running it again resumes."""
    with open_output(job) as store:
        missing = {shard: store.shard_range(shard) for shard in store.missing()}
        todo = sum(stop - start for start, stop in missing.values())
        with tqdm(total=todo, desc="pairs", unit="pair", disable=not progress) as bar, ShardWriter(store) as writer:
            for shard in store.claim_missing():
                writer.put(shard, render_shard(job, *store.shard_range(shard), bar.update))
        return store.finalize()
