"""One picture's objects put together: they never overlap and never leave their boxes, whatever a network says."""

import numpy as np
from numpy import ndarray as Array

from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.interpreters.array_types import Bool, Float, Int, UInt8


def put_together(
    masks: Bool[Array, "objects height width"],
    classes: Int[Array, "objects"],
    scores: Float[Array, "objects"],
    boxes: Float[Array, "objects 4"] | None,
    ground: UInt8[Array, "height width"],
    least: float = 0.5,
) -> Predicted:
    """The surest object takes its pixels first; a later one takes those that are still free.

    Arguments:
        masks, classes, scores: what a network found.
        boxes: x0, y0, x1, y1 in pixels; pixels whose centre is outside of an object's box do not belong to it.
        ground: class of each pixel that no object takes.
        least: share of its pixels that an object must still get, else it is left out (Kirillov et al., 1801.02446).

    Returns:
        numbers from 1 in the order of the scores, the mask that follows from them, and the boxes of what is left.
    """
    height, width = ground.shape
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    instances, mask = np.zeros((height, width), np.int32), ground.copy()
    sure: dict[int, float] = {}
    for i in np.argsort(-scores, kind="stable").tolist():
        own = masks[i]
        if boxes is not None:
            x0, y0, x1, y1 = boxes[i]
            own = own & ((x >= x0) & (x < x1))[None] & ((y >= y0) & (y < y1))[:, None]
        size = int(own.sum())
        free = own & (instances == 0)
        if size == 0 or free.sum() < least * size or not free.any():
            continue
        number = len(sure) + 1
        instances[free], mask[free], sure[number] = number, classes[i], float(scores[i])
    return Predicted(mask, instances=instances, scores=sure)
