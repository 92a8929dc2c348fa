"""The production line without an orchestrator: an order becomes a spec, a spec and a shard number a committed shard.

Everything here is a plain function of plain values, so that a loop, a thread pool, Prefect, Dask or Ray can drive it.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from factory.errors import InputError, WorkError
from factory.files import whole_file
from factory.generators import ImageGenerator, open_generator
from factory.interpreting import InterpreterSettings, cache_dir, ensure_interpreter, load_labels
from factory.keypointing import load_keypoint_regressor
from factory.order import Order
from factory.sampling import latents
from interpreters import StyleInterpreter
from interpreters.instances import label_instances
from interpreters.keypoints import predict_keypoints
from interpreters.regression import FeatureRegressor
from storage import (
    ClassInfo,
    CommitRecord,
    DatasetSpec,
    Manifest,
    ShardWriter,
    Store,
    create_store,
    open_store,
    sample_seeds,
)

POLL_S = 1.0  # between two looks at a shard that another worker is making
BOUNDARY = "boundary"  # the class of this name separates touching objects
BATCH = 32  # fixed: equal batches give equal bytes, whatever the shard or the machine's memory


@dataclass(frozen=True)
class Job:
    """An order with everything found and checked; small enough to send to any worker."""

    out: str
    generator: str
    generator_sha256: str
    interpreter: str
    spec: DatasetSpec
    interpreter_reused: bool
    device: str = "auto"
    storage_options: dict[str, Any] = field(default_factory=dict, hash=False)
    regressor: str | None = None


def prepare(order: Order, cache: Path | None = None, progress: bool = True) -> Job:
    """Loads and checks what an order names and trains its interpreter where none is kept; creates no store yet.

    Raises InputError for an unknown generator, labels or an interpreter of another generator, or impossible numbers.
    """
    generator = open_generator(order.generator, order.device)
    reused, truncation = True, order.truncation
    if order.labels is not None:
        labels = load_labels(order.labels)
        truncation = labels.truncation if truncation is None else truncation
        _spec(
            order, generator, tuple(ClassInfo(c.name, c.color, c.thing) for c in labels.classes), "0" * 64, truncation
        )
        path, reused = ensure_interpreter(generator, labels, InterpreterSettings(), cache, progress)
    else:
        path = Path(str(order.interpreter))
    interpreter, sha256 = _load_interpreter(str(path), generator)
    classes = tuple(ClassInfo(c["name"], tuple(c["color"]), c.get("thing")) for c in interpreter.classes)
    spec = _spec(order, generator, classes, sha256, 0.7 if truncation is None else truncation)
    if order.keypoints is not None:
        names = load_keypoint_regressor(order.keypoints, generator).names
        spec = replace(spec, keypoints=names, regressor_sha256=_hash_of(Path(order.keypoints)))
    options = dict(order.storage_options)
    place, sha256 = order.generator, generator.sha256
    return Job(order.out, place, sha256, str(path), spec, reused, order.device, options, order.keypoints)


def _spec(
    order: Order, generator: ImageGenerator, classes: tuple[ClassInfo, ...], interpreter_sha256: str, truncation: float
) -> DatasetSpec:
    return DatasetSpec(
        count=order.count,
        height=generator.resolution,
        width=generator.resolution,
        channels=generator.image_channels,
        latent_dim=generator.z_dim,
        classes=classes,
        generator=order.generator,
        generator_sha256=generator.sha256,
        interpreter_sha256=interpreter_sha256,
        seed=order.seed,
        truncation=truncation,
        shard_size=order.shard_size,
        instance=order.instances,
        licence=str(generator.metadata.get("licence", "unknown")),
    )


def _load_interpreter(
    path: str, generator: ImageGenerator, expected: str | None = None
) -> tuple[StyleInterpreter, str]:
    """The interpreter and its file's sha256."""
    interpreter = StyleInterpreter.load(path)
    sha256 = _hash_of(Path(path))
    if interpreter.generator_sha256 != generator.sha256:
        raise InputError(
            f"{path}: this interpreter reads generator {interpreter.generator_sha256[:12]}..., "
            f"the one given is {generator.sha256[:12]}...; give that generator or train an interpreter for this one"
        )
    if expected not in (None, sha256):
        raise InputError(f"{path}: not the interpreter of this dataset (sha256 {expected[:12]}...): it was replaced")
    if len(interpreter.classes) != interpreter.num_classes:
        raise InputError(f"{path}: names {len(interpreter.classes)} of its {interpreter.num_classes} classes")
    return interpreter, sha256


_LOADING = threading.Lock()  # threads of one process wait for the first that loads, rather than load as well


@lru_cache(maxsize=2)
def _load_models(job: Job) -> tuple[ImageGenerator, StyleInterpreter, FeatureRegressor | None]:
    """Loaded once in a worker process, however many shards it makes."""
    generator = open_generator(job.generator, job.device, job.generator_sha256)
    path = str(_model_file(job, "interpreter", job.interpreter, job.spec.interpreter_sha256))
    interpreter, _ = _load_interpreter(path, generator, job.spec.interpreter_sha256)
    regressor = None
    if job.spec.keypoints:
        file = _model_file(job, "regressor", job.regressor or "", job.spec.regressor_sha256)
        regressor = load_keypoint_regressor(file, generator).to(generator.device)
    return generator, interpreter.to(generator.device), regressor


def _models(job: Job) -> tuple[ImageGenerator, StyleInterpreter, FeatureRegressor | None]:
    with _LOADING:
        return _load_models(job)


def model_key(kind: str, sha256: str) -> str:
    """Where a store keeps the "interpreter" (or "regressor") that labelled it, so that any machine can go on."""
    return f"_models/{kind}-{sha256}.safetensors"


def _hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _model_file(job: Job, kind: str, path: str, sha256: str) -> Path:
    """The job's own file where this machine has it, else the store's copy of it, kept in the cache."""
    own = Path(path)
    kept = cache_dir() / f"{kind}s" / f"{sha256}.safetensors"
    for found in (own, kept):
        if found.is_file() and _hash_of(found) == sha256:
            return found
    key = model_key(kind, sha256)
    try:
        data = open_store(job.out, job.storage_options or None).backend.read(key)
    except FileNotFoundError:
        raise InputError(
            f"{own}: not the {kind} of this dataset (sha256 {sha256[:12]}...), nor is it in {job.out}"
        ) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WorkError(f"{job.out}/{key} is damaged: run the command that made the store again, it is put back")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(kept) as file:
        file.write(data)
    return kept


def open_output(job: Job) -> Store:
    """Creates the store, or opens the one that is there to continue it, and sees that its models lie in it."""
    store = create_store(job.out, job.spec, job.storage_options or None)
    _put_model(store, "interpreter", job.interpreter, job.spec.interpreter_sha256)
    if job.spec.keypoints:
        _put_model(store, "regressor", job.regressor or "", job.spec.regressor_sha256)
    return store


def _put_model(store: Store, kind: str, path: str, sha256: str) -> None:
    key = model_key(kind, sha256)
    stored = store.backend.read_many([key])[0]
    if stored is None or hashlib.sha256(stored).hexdigest() != sha256:
        data = Path(path).read_bytes() if Path(path).is_file() else b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"{path}: not the {kind} of this dataset (sha256 {sha256[:12]}...)")
        store.backend.write({key: data})


def render_shard(
    job: Job, start: int, stop: int, on_progress: Callable[[int], Any] = lambda n: None
) -> dict[str, np.ndarray]:
    """Every array of samples ``start`` to ``stop``; ``on_progress`` hears of each batch's number of samples."""
    generator, interpreter, regressor = _models(job)
    seeds = sample_seeds(job.spec.seed, start, stop)
    z = latents(seeds.tolist(), generator.z_dim)
    names = ("image", "mask", "uncertainty", "uncertainty_score")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for first in range(0, len(z), BATCH):
        batch = z[first : first + BATCH]
        # A short batch is filled up: arithmetic may round differently in another batch size.
        filled = np.concatenate([batch, np.repeat(batch[:1], BATCH - len(batch), axis=0)])
        images, maps = generator.generate(filled, job.spec.truncation)
        label = interpreter.predict(maps)
        for name, value in zip(names, (images, label.mask, label.uncertainty, label.score), strict=True):
            parts[name].append(value[: len(batch)].cpu().numpy())
        if regressor is not None:
            points = predict_keypoints(regressor, [m[: len(batch)] for m in maps]).points
            parts.setdefault("keypoints", []).append(points.float().cpu().numpy())
        on_progress(len(batch))
    arrays = {name: np.concatenate(values) for name, values in parts.items()} | {"seed": seeds, "latent": z}
    if job.spec.instance:
        arrays["instance"] = _instances(job.spec, arrays["mask"])
    return arrays


def _instances(spec: DatasetSpec, masks: np.ndarray) -> np.ndarray:
    """Object numbers of every mask."""
    boundary = next((i for i, c in enumerate(spec.classes) if c.name == BOUNDARY), None)
    things = [i for i, c in enumerate(spec.classes) if c.thing and i != boundary]
    return np.stack([label_instances(mask, things, boundary)[0] for mask in masks])


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
