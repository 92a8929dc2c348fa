"""Small dataset specs and shards of made-up but rule-abiding content, for the tests of storage."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.storage import ClassInfo, DatasetSpec, Store, ValueInfo, finalize, sample_seeds

SPEC = DatasetSpec(
    count=10,
    shard_size=4,
    height=8,
    width=6,
    channels=3,
    latent_dim=5,
    classes=(ClassInfo("background", (0, 0, 0)), ClassInfo("nucleus", (80, 160, 255)), ClassInfo("rest", (255, 0, 0))),
    generator="builtin:nuclei64",
    generator_sha256="ab" * 32,
    interpreter_sha256="cd" * 32,
    seed=7,
)

VALUES = (ValueInfo("depth", "m", 0.0, 10.0), ValueInfo("slope", "", -1.0, 1.0))


def make_spec(**changes: Any) -> DatasetSpec:
    return replace(SPEC, **changes)


def make_arrays(spec: DatasetSpec, shard: int) -> dict[str, np.ndarray]:
    """A shard as a generator would make it: every sample a function of its seed."""
    start, stop = spec.shard_range(shard)
    seeds = sample_seeds(spec.seed, start, stop)
    shape = (spec.height, spec.width)
    samples = []
    for seed in seeds:
        rng = np.random.default_rng(int(seed))
        values = [*range(len(spec.classes)), spec.ignore_index]
        sample = {
            "image": rng.integers(0, 256, (*shape, spec.channels), dtype=np.uint8),
            "mask": rng.choice(np.array(values, dtype=np.uint8), shape),
            "uncertainty": rng.random(shape).astype(np.float16),
            "uncertainty_score": np.float32(rng.random()),
            "seed": seed,
            "latent": rng.standard_normal(spec.latent_dim, dtype=np.float32),
            "keypoints": rng.random((len(spec.keypoints), 3), dtype=np.float32) * 6,
            "value": rng.random((*shape, *([len(spec.values)] if spec.values else []))).astype(np.float16),
            "value_uncertainty": rng.random((*shape, len(spec.values))).astype(np.float16),
            "keypoint_uncertainty": rng.random(len(spec.keypoints), dtype=np.float32),
            "instance": rng.integers(0, 5, shape, dtype=np.uint16),
        }
        samples.append(sample)
    return {array.name: np.stack([sample[array.name] for sample in samples]) for array in spec.shard_arrays()}


def fill(store: Store) -> None:
    """Makes what is missing and finishes the store."""
    for shard in store.claim_missing():
        store.write_shard(shard, make_arrays(store.spec, shard))
    finalize(store)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a store, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
