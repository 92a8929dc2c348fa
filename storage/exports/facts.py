"""What is known of a sample beside its pictures: seed, score, key points and every other small array, as plain data."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.exports.encodings import MaskEncoding
from labelfactory.storage.spec import DatasetSpec

AXES = {"coordinate": ("x", "y", "confidence")}


def is_map(array: ArraySpec) -> bool:
    """Per-pixel arrays beside image and mask: objects, uncertainty, values."""
    return array.per_sample and array.name not in ("image", "mask")


def is_fact(array: ArraySpec) -> bool:
    """Small arrays. The latent is none: it follows from the seed, and only the generator understands it."""
    return not array.per_sample and array.name != "latent"


def maps(spec: DatasetSpec) -> list[ArraySpec]:
    return [array for array in spec.arrays() if is_map(array)]


def facts(dataset: Dataset, samples: Int[np.ndarray, "n"]) -> list[dict[str, Any]]:
    """For each sample its index and every small array as JSON has it.

    Seeds are text, as most readers' whole numbers end at 2**63 - 1; what is not finite is None.
    """
    columns = {array.name: dataset.read(array.name, samples) for array in dataset.spec.arrays() if is_fact(array)}
    rows: list[dict[str, Any]] = [{"index": int(sample)} for sample in samples]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = str(value) if name == "seed" else plain(value)
    return rows


def plain(value: Any) -> Any:
    """Nested lists of Python's own numbers, None for what is not finite."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat(spec: DatasetSpec, row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """One sample's facts as columns of a table: ``keypoints.tip.x`` and the like."""
    arrays = {array.name: array for array in spec.arrays()}
    for name, value in row.items():
        array = arrays.get(name)
        if array is None or not array.sample_shape:
            yield name, value
            continue
        for place in np.ndindex(array.sample_shape):
            entry: Any = value
            for i in place:
                entry = entry[i]
            labels = [axis_label(array, axis, i) for axis, i in enumerate(place, 1)]
            yield ".".join([name, *labels]), entry


def axis_label(array: ArraySpec, axis: int, place: int) -> str:
    """What the entry of a dimension is called: a channel's name (a key point's), x, y or confidence, or its number."""
    channels = tuple(channel.name for channel in array.channels)
    names = channels if axis == array.channel_dim else AXES.get(array.dims[axis], ())
    return names[place] if place < len(names) else str(place)


def description(spec: DatasetSpec, masks: MaskEncoding) -> dict[str, Any]:
    """What the numbers of the whole set mean: classes, their colours, key points, values."""
    document: dict[str, Any] = {
        "classes": [
            {"id": i, "name": info.name, "color": list(info.color), "thing": bool(info.thing)}
            for i, info in enumerate(spec.classes)
        ],
        "ignore_index": spec.ignore_index,
        "masks": masks.style,
        "unlabelled_color": masks.palette[spec.ignore_index].tolist(),
        "licence": spec.licence,
    }
    if points := spec.of_role("points"):
        document["keypoints"] = [channel.name for channel in points.channels]
    if values := [channel.to_json() for array in spec.by_role("values") for channel in array.channels]:
        document["values"] = values
    return document
