"""Objects and key points of samples, as COCO and YOLO see them."""

import numpy as np
from jaxtyping import Float32, Int

from labelfactory.storage.dataset import Dataset
from labelfactory.storage.exports.engine import in_parallel
from labelfactory.storage.segments import Segment, segments
from labelfactory.storage.spec import DatasetSpec


def objects_of(dataset: Dataset, samples: Int[np.ndarray, "n"]) -> list[list[Segment]]:
    """All regions of each sample's mask; things are told apart by the store's objects where it has them."""
    mask = dataset.read("mask", samples)
    numbered = dataset.spec.of_role("objects")
    instance = None if numbered is None else dataset.read(numbered.name, samples)
    return in_parallel(
        lambda i: list(segments(dataset.spec, mask[i], None if instance is None else instance[i])), len(samples)
    )


def seen_points(spec: DatasetSpec, points: Float32[np.ndarray, "point 3"]) -> np.ndarray:
    """Which key points lie in the picture; what was not found is not finite."""
    x, y = points[:, 0], points[:, 1]
    return np.isfinite(points[:, :2]).all(axis=1) & (x >= 0) & (x <= spec.width) & (y >= 0) & (y <= spec.height)


def points_box(spec: DatasetSpec, points: Float32[np.ndarray, "point 3"], found: list[Segment]) -> list[float] | None:
    """x, y, width, height round the seen key points and round the objects that they lie on; None where none is seen.

    Stores have one set of key points an image and do not say whose they are.
    """
    seen = points[seen_points(spec, points), :2]
    if not len(seen):
        return None
    columns = np.clip(seen[:, 0].astype(int), 0, spec.width - 1)
    rows = np.clip(seen[:, 1].astype(int), 0, spec.height - 1)
    boxes = [segment.box for segment in found if segment.thing and segment.pixels[rows, columns].any()]
    left, top = np.min([seen.min(axis=0), *(box[:2] for box in boxes)], axis=0).tolist()
    right, bottom = np.max([seen.max(axis=0), *(np.add(box[:2], box[2:]) for box in boxes)], axis=0).tolist()
    return [left, top, right - left, bottom - top]
