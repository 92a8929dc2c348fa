"""Stores to export: one of each kind of array, and one of real 64 px masks."""

from pathlib import Path

import numpy as np
from PIL import Image
from storage_data import VALUES, fill, make_arrays, make_spec

from labelfactory.factory.bundled import builtin_path
from labelfactory.storage import ClassInfo, Dataset, create_store, finalize, open_dataset

CLASSES = (
    ClassInfo("background", (0, 0, 0)),
    ClassInfo("nucleus", (80, 160, 255), thing=True),
    ClassInfo("tissue", (255, 0, 0), thing=False),
)
FULL = make_spec(
    count=14, shard_size=5, classes=CLASSES, keypoints=("tip", "tail"), keypoint_uncertainty=True, values=VALUES,
    instance=True,
)  # fmt: skip


def full_dataset(folder: Path) -> Dataset:
    """14 samples of 8 x 6 pixels in three shards, with every array that a store may have; 13 are kept."""
    fill(create_store(str(folder), FULL))
    return open_dataset(str(folder))


def nuclei_dataset(folder: Path) -> Dataset:
    """The masks that people drew for the bundled generator, as a store of 64 px pictures; all are kept."""
    masks = []
    for path in sorted(builtin_path("builtin:nuclei64", "labels/masks").glob("*.png")):
        with Image.open(path) as picture:
            masks.append(np.asarray(picture))
    classes = tuple(ClassInfo(name, (90 * i, 0, 0)) for i, name in enumerate(("background", "nucleus", "neighbour")))
    spec = make_spec(count=len(masks), shard_size=len(masks), height=64, width=64, classes=classes, keep_quantile=1.0)
    with create_store(str(folder), spec) as store:
        store.write_shard(0, make_arrays(spec, 0) | {"mask": np.stack(masks)})
        finalize(store)
    return open_dataset(str(folder))


def truth(dataset: Dataset, name: str) -> dict[int, np.ndarray]:
    """Sample -> what the store holds."""
    return dict(zip(dataset.samples.tolist(), dataset.read(name, dataset.samples), strict=True))
