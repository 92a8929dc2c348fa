"""Key points: share within a distance (PCK), mean error, and object key point similarity (OKS)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy import ndarray as Array

from labelfactory.factory.evaluation.judge import Judge, Table, nanmean
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.keypoints import distances

PCK = {"pck": 0.1, "pck5": 0.05}  # of the picture's longer side
OKS_SIGMA = 0.05  # one for all points: COCO's own range from 0.025 (eyes) to 0.107 (hips)


class PointJudge(Judge):
    """Judges ``keypoints``; a point that people did not label does not count."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.errors: list[Float[Array, points]] = []
        self.sides: list[float] = []
        self.areas: list[float] = []

    def see(self, pair: Pair, predicted: Predicted) -> float:
        """The image's share of points within a tenth of its longer side."""
        assert predicted.keypoints is not None
        truth = np.zeros((len(self.names), 3), np.float32) if pair.keypoints is None else pair.keypoints
        error = distances(predicted.keypoints[None].astype(np.float64), truth[None].astype(np.float64))[0]
        side, area = max(pair.mask.shape), _area(truth)
        self.errors.append(error)
        self.sides.append(side)
        self.areas.append(area)
        known = error[~np.isnan(error)]
        return float((known <= PCK["pck"] * side).mean()) if known.size else math.nan

    def write(self, table: Table) -> None:
        """Scores of all labelled points together, and PCK of each by its name."""
        error, side, area = np.stack(self.errors), np.array(self.sides)[:, None], np.array(self.areas)[:, None]
        known = ~np.isnan(error)
        for name, share in PCK.items():
            table.overall[name] = table.scored(_sums(error <= share * side, known), _share)
            for k, point in enumerate(self.names):
                at = slice(k, k + 1)
                table.overall[f"{name}: {point}"] = table.scored(
                    _sums(error[:, at] <= share * side, known[:, at]), _share
                )
        table.overall["mean_error"] = table.scored(_sums(np.nan_to_num(error), known), _share)
        with np.errstate(divide="ignore", invalid="ignore"):
            alike = np.exp(-(np.nan_to_num(error) ** 2) / (2 * area * (2 * OKS_SIGMA) ** 2))
        own = nanmean(np.where(known & (area > 0), alike, np.nan))
        there = ~np.isnan(own)
        table.overall["oks"] = table.scored(np.stack([np.nan_to_num(own), there], 1), _share)


def _area(points: Float[Array, "points 3"]) -> float:
    """Square of the scale that OKS measures by: 0.53 of the labelled points' box, as for people without a mask."""
    some = points[points[:, 2] > 0, :2]
    if len(some) < 2:
        return 0.0
    low, high = some.min(0), some.max(0)
    return 0.53 * float((high - low).max() ** 2)


def _sums(value: Array, known: Array) -> Array:
    return np.stack([(value * known).sum(1), known.sum(1)], 1).astype(np.float64)


def _share(s: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(s[..., 0] / s[..., 1])
