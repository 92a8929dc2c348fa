"""What predictions are worth on images that people labelled: every score with its interval, and cases to look at."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.bootstrap import interval
from labelfactory.factory.evaluation.boundary import boundary_f
from labelfactory.factory.evaluation.instances import (
    IOU_THRESHOLDS,
    Matches,
    average_precision,
    match,
    objects_of,
    panoptic_quality,
)
from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.interpreters.array_types import Float, Int, UInt8
from labelfactory.interpreters.classes import LabelClass
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import countable

PQ_FIELDS = ("iou_sum", "true_positives", "false_positives", "false_negatives")


@dataclass(frozen=True)
class Case:
    """One image to look at."""

    name: str
    miou: float
    image: UInt8[Array, "height width channels"]
    truth: UInt8[Array, "height width"]
    prediction: UInt8[Array, "height width"]


@dataclass(frozen=True)
class Score:
    """A score in 0..1 (NaN where it is not defined) and its 95 % bootstrap interval (NaN where there is none)."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Evaluation:
    """Everything a report shows. ``overall`` and ``per_class`` (one list entry a class) are by name of the score."""

    classes: tuple[LabelClass, ...]
    images: int
    groups: int
    pixels: int
    instances: str  # where true objects come from: "numbered", "connected parts" or "none"
    overall: dict[str, Score]
    per_class: dict[str, list[Score]]
    confusion: Int[Array, "classes classes"]
    per_image: Int[Array, "images classes classes"]
    names: list[str]
    image_miou: Float[Array, "images"]
    ap_by_threshold: dict[str, list[float]]  # class name to AP at each of IOU_THRESHOLDS
    worst: list[Case]
    best: list[Case]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and names; undefined scores are null."""

        def plain(score: Score) -> dict[str, float | None]:
            return {k: None if math.isnan(v) else v for k, v in vars(score).items()}

        return {
            "classes": [c.name for c in self.classes],
            "images": self.images,
            "groups": self.groups,
            "pixels": self.pixels,
            "instances": self.instances,
            "overall": {k: plain(v) for k, v in self.overall.items()},
            "per_class": {k: [plain(s) for s in v] for k, v in self.per_class.items()},
            "confusion": self.confusion.tolist(),
            "iou_thresholds": IOU_THRESHOLDS.round(2).tolist(),
            "ap_by_threshold": {k: [None if math.isnan(x) else x for x in v] for k, v in self.ap_by_threshold.items()},
            "image_miou": {
                n: None if math.isnan(v) else v for n, v in zip(self.names, self.image_miou.tolist(), strict=True)
            },
        }


def evaluate(
    judged: Iterable[tuple[Pair, Predicted]],
    classes: Sequence[LabelClass],
    replicates: int = 2000,
    cases: int = 8,
    min_area: int = 1,
) -> Evaluation:
    """Score what some model says of labelled images (``judged``, read once).

    Pixel scores are of the summed confusion matrix; the boundary score is the mean over images. Objects (of classes
    that are things) are the prediction's own, or else connected parts of at least ``min_area`` pixels. Intervals redraw
    images, or whole groups where pairs belong to some. ``cases``: how many best and worst images to keep.

    Raises:
        InputError: no images, or masks or predictions of other classes.
    """
    things, boundary = countable(classes)
    confusions, boundaries, matches, names, groups, numbered = [], [], [], [], [], 0
    gallery = _Gallery(cases)
    for pair, predicted in judged:
        _check_labels(pair, predicted, len(classes))
        n = confusion_matrix(pair.mask, predicted.mask, len(classes))
        confusions.append(n)
        boundaries.append(boundary_f(pair.mask, predicted.mask, len(classes)))
        if things:
            numbered += pair.instances is not None
            truth = objects_of(pair.mask, things, pair.instances, boundary=boundary)
            found = objects_of(
                predicted.mask,
                things,
                predicted.instances,
                predicted.probabilities,
                min_area,
                boundary,
                predicted.scores,
            )
            matches.append(match(truth, found, pair.mask != IGNORE_INDEX, things))
        names.append(pair.name)
        groups.append(pair.group or pair.name)
        gallery.see(Case(pair.name, float(scores(n).miou), pair.image, pair.mask, predicted.mask))
    if not names:
        raise InputError("there are no labelled images to evaluate on")
    per_image = np.stack(confusions)
    overall, per_class = _pixel_scores(per_image, groups, replicates)
    _add_boundary(overall, per_class, np.stack(boundaries), groups, replicates)
    ap_by_threshold: dict[str, list[float]] = {}
    if things:
        ap_by_threshold = _add_objects(overall, per_class, matches, things, classes, groups, replicates)
    source = "none" if not things else "numbered" if numbered == len(names) else "connected parts"
    return Evaluation(
        classes=tuple(classes),
        images=len(names),
        groups=len(set(groups)),
        pixels=int(per_image.sum()),
        instances=source,
        overall=overall,
        per_class=per_class,
        confusion=per_image.sum(0),
        per_image=per_image,
        names=names,
        image_miou=scores(per_image).miou,
        ap_by_threshold=ap_by_threshold,
        worst=gallery.worst,
        best=gallery.best,
    )


def _pixel_scores(
    per_image: Int[Array, "images classes classes"], groups: list[str], replicates: int
) -> tuple[dict[str, Score], dict[str, list[Score]]]:
    total = scores(per_image.sum(0))
    overall, per_class = {}, {}
    for name in ("miou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "mean_dice"):
        low, high = interval(per_image, partial(_score, name), groups, replicates)
        overall[name] = Score(float(getattr(total, name)), float(low), float(high))
    for name in ("iou", "dice", "accuracy"):
        low, high = interval(per_image, partial(_score, name), groups, replicates)
        per_class[name] = _zip(getattr(total, name), low, high)
    return overall, per_class


def _score(name: str, confusion: Array) -> Array:
    return np.asarray(getattr(scores(confusion), name))


def _add_boundary(
    overall: dict[str, Score],
    per_class: dict[str, list[Score]],
    f: Float[Array, "images classes"],
    groups: list[str],
    replicates: int,
) -> None:
    """Mean over the images in which a class has an outline, then over classes."""
    has = ~np.isnan(f)
    sums = np.stack([np.where(has, f, 0), has], 1)

    def mean(s: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return s[..., 0, :] / s[..., 1, :]

    low, high = interval(sums, mean, groups, replicates)
    per_class["boundary_f"] = _zip(mean(sums.sum(0)), low, high)

    low, high = interval(sums, lambda s: _nanmean(mean(s)), groups, replicates)
    overall["boundary_f"] = Score(float(_nanmean(mean(sums.sum(0)))), float(low), float(high))


def _add_objects(
    overall: dict[str, Score],
    per_class: dict[str, list[Score]],
    matches: list[Matches],
    things: list[int],
    classes: Sequence[LabelClass],
    groups: list[str],
    replicates: int,
) -> dict[str, list[float]]:
    """Panoptic quality with, average precision without interval (it is no sum over images)."""
    sums = np.stack([np.stack([getattr(m, name) for name in PQ_FIELDS]) for m in matches])

    def quality(s: Array) -> Array:
        return panoptic_quality(*(s[..., i, :] for i in range(4)))

    low, high = interval(sums, quality, groups, replicates)
    pq = _zip(quality(sums.sum(0)), low, high)
    ap = average_precision(matches, things)
    undefined = Score(math.nan)
    columns = {
        "panoptic_quality": pq,
        "ap": [Score(float(x)) for x in ap.mean(1)],
        "ap50": [Score(float(x)) for x in ap[:, 0]],
    }
    for name, column in columns.items():
        per_class[name] = [column[things.index(i)] if i in things else undefined for i in range(len(classes))]
        values = [s.value for s in column if not math.isnan(s.value)]
        if values:
            overall[name] = Score(float(np.mean(values)))
    if "panoptic_quality" in overall:
        low, high = interval(sums, lambda s: _nanmean(quality(s)), groups, replicates)
        overall["panoptic_quality"] = Score(overall["panoptic_quality"].value, float(low), float(high))
    return {classes[label].name: ap[place].tolist() for place, label in enumerate(things)}


def _nanmean(x: Array) -> Array:
    has = ~np.isnan(x)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(has, x, 0).sum(-1) / has.sum(-1))


def _zip(value: Array, low: Array, high: Array) -> list[Score]:
    return [Score(float(v), float(a), float(b)) for v, a, b in zip(value, low, high, strict=True)]


def _check_labels(pair: Pair, predicted: Predicted, num_classes: int) -> None:
    if predicted.mask.shape != pair.mask.shape:
        raise InputError(
            f"{pair.name}: the prediction is {_size(predicted.mask)}, the mask {_size(pair.mask)}: must be equal"
        )
    if predicted.probabilities is not None and len(predicted.probabilities) != num_classes:
        raise InputError(
            f"the model knows {len(predicted.probabilities)} classes, {num_classes} were named: they must agree"
        )
    labelled = pair.mask[pair.mask != IGNORE_INDEX]
    if labelled.size and labelled.max() >= num_classes:
        raise InputError(
            f"{pair.name}: the mask has value {labelled.max()}, the {num_classes} classes have ids 0 to "
            f"{num_classes - 1}: give --map to turn mask values into classes"
        )


def _size(array: Array) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


class _Gallery:
    """The best and the worst so far; memory does not grow with the number of images."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.best: list[Case] = []
        self.worst: list[Case] = []

    def see(self, case: Case) -> None:
        if not math.isnan(case.miou):
            self.best = sorted([*self.best, case], key=lambda c: -c.miou)[: self.size]
            self.worst = sorted([*self.worst, case], key=lambda c: c.miou)[: self.size]
