"""Small dataset specs and shards of made-up but rule-abiding content, for the tests of storage."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labelfactory.storage import ClassInfo, DatasetSpec, Store, ValueInfo, finalize, sample_seeds
from labelfactory.storage.arrays import ROLES
from labelfactory.storage.label_arrays import arrays_in

if TYPE_CHECKING:
    import pytest

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


def make_spec(
    keypoints: tuple[str, ...] = (),
    value: bool = False,
    instance: bool = False,
    values: tuple[ValueInfo, ...] = (),
    **changes: Any,
) -> DatasetSpec:
    """Label arrays as stores of today state them: which there are, and by hash what made them."""
    made_by = {name: changes.pop(name) for name in list(changes) if name in MADE_BY}
    document = {"keypoints": keypoints, "value": value, "instance": instance, **made_by}
    document["values"] = [info.to_json() for info in values]
    spec = replace(SPEC, **changes)
    return replace(spec, label_arrays=(*spec.label_arrays, *arrays_in(document, spec.height, spec.width)))


MADE_BY = ("regressor_sha256", "keypoint_uncertainty", "value_sha256", "centre_sha256", "arrays")


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
        }
        if spec.walk:
            sequence, frame = divmod(start + len(samples), spec.walk)
            sample |= {"sequence": np.uint64(sequence), "frame": np.uint16(frame)}
        for array in sorted(spec.label_arrays, key=lambda a: list(ROLES).index(a.role)):
            if array.role == "objects":
                sample[array.name] = rng.integers(0, 5, array.sample_shape, dtype=np.uint16)
            else:
                numbers = rng.random(array.sample_shape) * (6 if array.role == "points" else 1)
                sample[array.name] = numbers.astype(array.dtype)
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


def split_manifests(patch: "pytest.MonkeyPatch") -> None:
    """Manifests of stores of three shards and more come in parts of two shards."""
    patch.setattr("labelfactory.storage.manifest.PARTS_FROM", 3)
    patch.setattr("labelfactory.storage.manifest.SHARDS_IN_PART", 2)
