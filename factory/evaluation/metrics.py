"""Segmentation scores, all from one confusion matrix (Long, Shelhamer, Darrell, CVPR 2015, section 5).

Classes that occur in neither the truth nor the prediction have no IoU and no Dice (NaN) and do not enter the means; a
class that was predicted but is nowhere in the truth has an IoU of 0 and does. Mean accuracy is over the classes that
occur in the truth. Pixels whose truth is ``ignore_index`` are not counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, Int, Shaped
from labelfactory.limits import IGNORE_INDEX


def confusion_matrix(
    truth: Shaped[Array, "*shape"],
    prediction: Shaped[Array, "*shape"],
    num_classes: int,
    ignore_index: int = IGNORE_INDEX,
) -> Int[Array, "classes classes"]:
    """Pixels of true class i (row) that were predicted as class j (column)."""
    counted = truth != ignore_index
    t, p = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    for name, labels in (("truth", t), ("prediction", p)):
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            bad = labels.max() if labels.max() >= num_classes else labels.min()
            raise InputError(f"the {name} holds label {bad}; {num_classes} classes have labels 0 to {num_classes - 1}")
    return np.bincount(t * num_classes + p, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Scores:
    """Scores of one confusion matrix, or of a batch of them (leading dimensions are kept)."""

    pixel_accuracy: Float[Array, "*batch"]
    mean_accuracy: Float[Array, "*batch"]
    miou: Float[Array, "*batch"]
    frequency_weighted_iou: Float[Array, "*batch"]
    mean_dice: Float[Array, "*batch"]
    iou: Float[Array, "*batch classes"]
    dice: Float[Array, "*batch classes"]
    accuracy: Float[Array, "*batch classes"]


def scores(confusion: Shaped[Array, "*batch classes classes"]) -> Scores:
    """The table of scores, each in 0..1, with n_ij pixels of class i predicted as j and t_i = sum_j n_ij."""
    n = confusion.astype(np.float64)
    n_ii = np.diagonal(n, axis1=-2, axis2=-1)
    t_i = n.sum(-1)
    p_i = n.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = n_ii / t_i
        iou = n_ii / (t_i + p_i - n_ii)
        dice = 2 * n_ii / (t_i + p_i)
        total = t_i.sum(-1)
        return Scores(
            pixel_accuracy=np.asarray(n_ii.sum(-1) / total),
            mean_accuracy=_mean(accuracy),
            miou=_mean(iou),
            frequency_weighted_iou=np.asarray(np.where(t_i > 0, t_i * np.nan_to_num(iou), 0).sum(-1) / total),
            mean_dice=_mean(dice),
            iou=iou,
            dice=dice,
            accuracy=accuracy,
        )


def _mean(per_class: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    """Mean over the classes that have a value."""
    has = ~np.isnan(per_class)
    return np.asarray(np.where(has, per_class, 0).sum(-1) / has.sum(-1))
