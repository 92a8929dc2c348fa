"""Pixels: every score of the confusion matrix, and the outlines' F-score."""

from functools import partial

import numpy as np
from numpy import ndarray as Array

from labelfactory.factory.evaluation.boundary import boundary_f
from labelfactory.factory.evaluation.judge import Judge, Table, nanmean
from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.pairs import Pair


class PixelJudge(Judge):
    """Judges ``mask``."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.confusions: list[Array] = []
        self.boundaries: list[Array] = []

    def see(self, pair: Pair, predicted: Predicted) -> float:
        """The image's mIoU."""
        assert predicted.mask is not None
        self.confusions.append(confusion_matrix(pair.mask, predicted.mask, self.num_classes))
        self.boundaries.append(boundary_f(pair.mask, predicted.mask, self.num_classes))
        return float(scores(self.confusions[-1]).miou)

    def write(self, table: Table) -> None:
        """Scores of the summed confusion matrix; the boundary score is the mean over images with an outline."""
        n = np.stack(self.confusions)
        for name in ("miou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "mean_dice"):
            table.overall[name] = table.scored(n, partial(_score, name))
        for name in ("iou", "dice", "accuracy"):
            table.per_class[name] = table.columns(n, partial(_score, name))
        f = np.stack(self.boundaries)
        has = ~np.isnan(f)
        sums = np.stack([np.where(has, f, 0), has], 1)
        table.per_class["boundary_f"] = table.columns(sums, _mean)
        table.overall["boundary_f"] = table.scored(sums, lambda s: nanmean(_mean(s)))


def _score(name: str, confusion: Array) -> Array:
    return np.asarray(getattr(scores(confusion), name))


def _mean(s: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(s[..., 0, :] / s[..., 1, :])
