"""What predictions are worth on images that people labelled: every score with its interval, and cases to look at."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.box_judge import BoxJudge
from labelfactory.factory.evaluation.instances import IOU_THRESHOLDS
from labelfactory.factory.evaluation.judge import Judge, Score, Table
from labelfactory.factory.evaluation.object_judge import ObjectJudge
from labelfactory.factory.evaluation.pixel_judge import PixelJudge
from labelfactory.factory.evaluation.point_judge import PointJudge
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.interpreters.array_types import Float, Int
from labelfactory.interpreters.classes import LabelClass
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import countable

RANKED_BY: dict[type, str] = {
    PixelJudge: "miou",
    ObjectJudge: "panoptic_quality",
    BoxJudge: "box_f1",
    PointJudge: "pck",
}


@dataclass(frozen=True)
class Case:
    """One image to look at, with its own score."""

    pair: Pair
    predicted: Predicted
    score: float

    @property
    def name(self) -> str:
        return self.pair.name


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
    confusion: Int[Array, "classes classes"] | None  # of a model that says a class for each pixel
    names: list[str]
    ranked_by: str  # name of the score of ``image_scores``
    image_scores: Float[Array, "images"]
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
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "iou_thresholds": IOU_THRESHOLDS.round(2).tolist(),
            "ap_by_threshold": {k: [None if math.isnan(x) else x for x in v] for k, v in self.ap_by_threshold.items()},
            f"image_{self.ranked_by}": {
                n: None if math.isnan(v) else v for n, v in zip(self.names, self.image_scores.tolist(), strict=True)
            },
        }


def evaluate(
    judged: Iterable[tuple[Pair, Predicted]],
    classes: Sequence[LabelClass],
    replicates: int = 2000,
    cases: int = 8,
    keypoints: Sequence[str] = (),
    min_area: int = 1,
) -> Evaluation:
    """Score what some model says of labelled images (``judged``, read once).

    What the model says of the first image decides which judges sit: of pixels, objects, boxes or key points. Objects
    (of classes that are things) are the prediction's own, or else connected parts of at least ``min_area`` pixels.
    Intervals redraw images, or whole groups where pairs belong to some. ``cases``: how many best and worst images to
    keep; they are ranked by the most particular judge's score.

    Raises:
        InputError: no images, or masks or predictions of other classes.
    """
    judges: list[Judge] = []
    names, groups, ranks, pixels = [], [], [], 0
    gallery = _Gallery(cases)
    for pair, predicted in judged:
        judges = judges or _judges(predicted, classes, keypoints, min_area)
        _check_labels(pair, predicted, len(classes))
        own = {type(judge): judge.see(pair, predicted) for judge in judges}
        ranking = _ranking(own, predicted)
        names.append(pair.name)
        groups.append(pair.group or pair.name)
        pixels += int((pair.mask != IGNORE_INDEX).sum())
        ranks.append(own[ranking])
        gallery.see(Case(pair, predicted, own[ranking]))
    if not names:
        raise InputError("there are no labelled images to evaluate on")
    table = Table(classes, groups, replicates)
    for judge in judges:
        judge.write(table)
    by_kind = {type(judge): judge for judge in judges}
    pixel_judge, objects = by_kind.get(PixelJudge), by_kind.get(ObjectJudge)
    numbered = isinstance(objects, ObjectJudge) and objects.numbered == len(names)
    return Evaluation(
        classes=tuple(classes),
        images=len(names),
        groups=len(set(groups)),
        pixels=pixels,
        instances="none" if not countable(classes)[0] else "numbered" if numbered else "connected parts",
        overall=table.overall,
        per_class=table.per_class,
        confusion=np.sum(pixel_judge.confusions, 0) if isinstance(pixel_judge, PixelJudge) else None,
        names=names,
        ranked_by=RANKED_BY[ranking],
        image_scores=np.array(ranks),
        ap_by_threshold=objects.ap_by_threshold if isinstance(objects, ObjectJudge) else {},
        worst=gallery.worst,
        best=gallery.best,
    )


def _judges(
    predicted: Predicted, classes: Sequence[LabelClass], keypoints: Sequence[str], min_area: int
) -> list[Judge]:
    """Those that have something to look at."""
    things = bool(countable(classes)[0])
    judges: list[Judge] = []
    if predicted.mask is not None:
        judges.append(PixelJudge(len(classes)))
        if things:
            judges.append(ObjectJudge(classes, min_area))
    if predicted.boxes is not None or predicted.instances is not None:
        judges.append(BoxJudge(classes))
    if predicted.keypoints is not None:
        judges.append(PointJudge(keypoints))
    if not judges:
        raise InputError("the model says nothing that can be judged: no mask, no boxes, no key points")
    return judges


def _ranking(own: dict[type, float], predicted: Predicted) -> type:
    if predicted.keypoints is not None:
        return PointJudge
    if predicted.instances is not None and ObjectJudge in own:
        return ObjectJudge
    return PixelJudge if PixelJudge in own else BoxJudge


def _check_labels(pair: Pair, predicted: Predicted, num_classes: int) -> None:
    if predicted.mask is not None and predicted.mask.shape != pair.mask.shape:
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
        if not math.isnan(case.score):
            self.best = sorted([*self.best, case], key=lambda c: -c.score)[: self.size]
            self.worst = sorted([*self.worst, case], key=lambda c: c.score)[: self.size]
