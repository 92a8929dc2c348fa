"""Boundary F-score (Csurka, Larlus, Perronnin, BMVC 2013, section 3)."""

import numpy as np
from numpy import ndarray as Array
from scipy import ndimage

from labelfactory.interpreters.array_types import Bool, Float, Shaped
from labelfactory.limits import IGNORE_INDEX


def boundary_f(
    truth: Shaped[Array, "height width"],
    prediction: Shaped[Array, "height width"],
    num_classes: int,
    tolerance: float | None = None,
) -> Float[Array, "classes"]:
    """F-score of each class's outline in one image; NaN for a class with no outline in either.

    A boundary pixel counts as found where the other outline is at most ``tolerance`` pixels away; None takes 0.75 % of
    the image's diagonal as the paper does, at least 1. The image's frame is no outline, nor is the edge of an
    unlabelled region. A score over several images is the mean of theirs (the paper's section 3.3).
    """
    if tolerance is None:
        tolerance = max(1.0, 0.0075 * float(np.hypot(*truth.shape)))
    valid = truth != IGNORE_INDEX
    scores = np.full(num_classes, np.nan)
    for label in range(num_classes):
        t, p = (outline(mask == label, valid) for mask in (truth, prediction))
        if not t.any() and not p.any():
            continue
        scores[label] = 0.0
        if t.any() and p.any():
            precision = (ndimage.distance_transform_edt(~t)[p] <= tolerance).mean()
            recall = (ndimage.distance_transform_edt(~p)[t] <= tolerance).mean()
            if precision + recall > 0:
                scores[label] = 2 * precision * recall / (precision + recall)
    return scores


def outline(region: Bool[Array, "height width"], valid: Bool[Array, "height width"]) -> Bool[Array, "height width"]:
    """Pixels of a region with one of their four neighbours outside of it; invalid pixels are neither."""
    other = np.pad(valid & ~region, 1)
    beside = other[:-2, 1:-1] | other[2:, 1:-1] | other[1:-1, :-2] | other[1:-1, 2:]
    return region & valid & beside
