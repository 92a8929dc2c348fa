"""Aggregated Jaccard index of cell segmentation (Kumar et al., IEEE TMI 2017, algorithm 1)."""

import math

import numpy as np
from numpy import ndarray as Array

from labelfactory.interpreters.array_types import Int


def aggregated_jaccard(truth: Int[Array, "height width"], prediction: Int[Array, "height width"]) -> float:
    """Sum of intersections over sum of unions, of each true object with the prediction that it overlaps best.

    Predictions that no true object chose add their size to the unions. Both maps number objects from 1 (0: none); NaN
    where neither has any.
    """
    rows, columns = int(truth.max()) + 1, int(prediction.max()) + 1
    n = np.bincount((truth.astype(np.int64) * columns + prediction).ravel(), minlength=rows * columns)
    n = n.reshape(rows, columns)
    size_t, size_p = n.sum(1)[1:], n.sum(0)[1:]
    n = n[1:, 1:]
    if not size_t.sum() + size_p.sum():
        return math.nan
    if not n.size:
        return 0.0
    union = size_t[:, None] + size_p[None] - n
    best = (n / np.maximum(union, 1)).argmax(1)
    there = size_t > 0
    place = np.arange(len(best))
    overlap = n[place, best]
    hit = overlap > 0
    intersections = overlap[hit].sum()
    unions = union[place, best][hit].sum() + size_t[there & ~hit].sum()
    unused = np.setdiff1d(np.arange(len(size_p)), best[hit])
    return float(intersections / (unions + size_p[unused].sum()))
