"""Objects: average precision as COCO defines it, and panoptic quality (Kirillov et al., CVPR 2019, 1801.00868)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, Int, Shaped
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import connected_objects

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Objects:
    """The objects of one image, which do not overlap: ``ids`` is 0 where there is none, else 1 + the object's place."""

    ids: Int[Array, "height width"]
    classes: Int[Array, "objects"]
    scores: Float[Array, "objects"]


def objects_of(
    mask: Shaped[Array, "height width"],
    things: Sequence[int],
    instances: Shaped[Array, "height width"] | None = None,
    probabilities: Float[Array, "classes height width"] | None = None,
    min_area: int = 1,
    boundary: int | None = None,
    confidence: Mapping[int, float] | None = None,
) -> Objects:
    """Objects of the classes ``things``.

    They are the numbered ``instances`` (the class of each is the commonest in ``mask``), or else the connected parts of
    each class, kept apart by the class ``boundary`` where there is one (``masks.connected_objects``). Their score is
    the ``confidence`` in their number, or else the mean probability of their class. Smaller ones than ``min_area``
    pixels are left out.
    """
    if instances is None:
        parts, classes = connected_objects(mask, things, boundary)
        class_of = np.concatenate([[-1], classes])
    else:
        numbers, places = np.unique(np.where(instances > 0, instances, 0), return_inverse=True)
        parts = places.reshape(mask.shape) + (numbers[0] != 0)  # 0 stays "no object" where every pixel is in one
        votes = np.bincount((256 * parts + mask).ravel(), minlength=256 * (int(parts.max()) + 1)).reshape(-1, 256)
        votes[:, IGNORE_INDEX] = 0
        class_of = np.where(votes.any(1), votes.argmax(1), -1)
        class_of[0] = -1
    area = np.bincount(parts.ravel(), minlength=len(class_of))
    kept = np.isin(class_of, things) & (area >= min_area)
    renumbered = np.where(kept, np.cumsum(kept), 0)
    ids, classes = renumbered[parts], class_of[kept]
    scores = np.ones(len(classes))
    if confidence is not None and instances is not None:
        scores = _confidence(confidence, numbers[numbers > 0][kept[1:]].tolist())
    elif probabilities is not None:
        inside = ids > 0
        own = probabilities[class_of[parts[inside]], *np.nonzero(inside)]
        scores = np.bincount(ids[inside], own, minlength=len(classes) + 1)[1:] / area[kept]
    return Objects(ids, classes, scores)


def _confidence(confidence: Mapping[int, float], numbers: Sequence[int]) -> Float[Array, "objects"]:
    lacking = [n for n in numbers if n not in confidence]
    if lacking:
        raise InputError(f"object {lacking[0]} of a prediction has no score: expected one for each number")
    return np.array([confidence[n] for n in numbers], np.float64)


def overlaps(
    truth: Objects, prediction: Objects, valid: Shaped[Array, "height width"]
) -> tuple[Float[Array, "truths predictions"], Float[Array, "predictions"]]:
    """IoU of every true with every predicted object on valid pixels, and each prediction's share of invalid ones."""
    rows, columns = len(truth.classes) + 1, len(prediction.classes) + 1
    pairs = truth.ids[valid].astype(np.int64) * columns + prediction.ids[valid]
    n = np.bincount(pairs, minlength=rows * columns).reshape(rows, columns).astype(np.float64)
    union = n.sum(1)[:, None] + n.sum(0)[None] - n
    area = np.bincount(prediction.ids.ravel(), minlength=columns)[1:]
    invalid = 1 - n.sum(0)[1:] / np.maximum(area, 1)
    return n[1:, 1:] / np.maximum(union[1:, 1:], 1), invalid


@dataclass(frozen=True)
class PanopticCounts:
    """What panoptic quality is made of, for each class of things: of an image, or summed over images.

    The qualities are in 0..1, and NaN where there is nothing to judge: for ``segmentation_quality`` a class of which
    nothing was found, for the others one without objects, true or predicted.
    """

    iou_sum: Float[Array, "*batch things"]
    true_positives: Shaped[Array, "*batch things"]
    false_positives: Shaped[Array, "*batch things"]
    false_negatives: Shaped[Array, "*batch things"]

    @property
    def panoptic_quality(self) -> Float[Array, "*batch things"]:
        """PQ = sum of IoU / (TP + FP/2 + FN/2), equation 1; the product of the other two (equation 2)."""
        return _ratio(self.iou_sum, self._weight)

    @property
    def segmentation_quality(self) -> Float[Array, "*batch things"]:
        """SQ: mean IoU of what was found."""
        return _ratio(self.iou_sum, self.true_positives)

    @property
    def recognition_quality(self) -> Float[Array, "*batch things"]:
        """RQ = TP / (TP + FP/2 + FN/2), the F1 of what was found."""
        return _ratio(self.true_positives, self._weight)

    @property
    def _weight(self) -> Float[Array, "*batch things"]:
        return np.asarray(self.true_positives + 0.5 * self.false_positives + 0.5 * self.false_negatives)


def _ratio(over: Array, under: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(over / under)


@dataclass(frozen=True)
class Matches(PanopticCounts):
    """What one image adds to panoptic quality and average precision, per class of ``things``."""

    truths: Int[Array, "things"]
    detections: list[tuple[int, float, Array]]  # place of the class, score, whether matched at each IoU threshold


def match(truth: Objects, prediction: Objects, valid: Shaped[Array, "height width"], things: Sequence[int]) -> Matches:
    """Matches of one image. Predictions that lie mostly on unlabelled pixels count neither for nor against."""
    iou, invalid = overlaps(truth, prediction, valid)
    return match_by(iou, invalid, truth.classes, prediction.classes, prediction.scores, things)


def match_by(
    iou: Float[Array, "truths predictions"],
    invalid: Float[Array, "predictions"],
    truths: Int[Array, "truths"],
    predictions: Int[Array, "predictions"],
    scores: Float[Array, "predictions"],
    things: Sequence[int],
) -> Matches:
    """The same from overlaps of whatever kind and the classes of both sides."""
    counts = np.zeros((4, len(things)), np.int64)
    iou_sum = np.zeros(len(things))
    detections = []
    for place, label in enumerate(things):
        t = np.flatnonzero(truths == label)
        p = np.flatnonzero((predictions == label) & (invalid <= 0.5))
        pair = iou[np.ix_(t, p)]
        matched = pair > 0.5  # at most one in each row and column, as objects do not overlap
        iou_sum[place] = pair[matched].sum()
        counts[:, place] = matched.sum(), len(p) - matched.sum(), len(t) - matched.sum(), len(t)
        order = p[np.argsort(-scores[p], kind="stable")]
        hits = _greedy(iou[np.ix_(t, order)])
        detections += [(place, float(scores[i]), hit) for i, hit in zip(order, hits, strict=True)]
    return Matches(iou_sum, counts[0], counts[1], counts[2], counts[3], detections)


def _greedy(iou: Float[Array, "truths predictions"]) -> Shaped[Array, "predictions thresholds"]:
    """Predictions, surest first, each take the best true object that is still free, at each threshold."""
    hits = np.zeros((iou.shape[1], len(IOU_THRESHOLDS)), bool)
    for k, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(iou.shape[0], bool)
        for j in range(iou.shape[1]):
            candidates = np.where(free, iou[:, j], -1.0)
            if candidates.size and candidates.max() >= threshold:
                free[candidates.argmax()] = False
                hits[j, k] = True
    return hits


def average_precision(
    matches: Sequence[Matches], things: Sequence[int], weights: Float[Array, "replicates images"] | None = None
) -> Float[Array, "*replicates things thresholds"]:
    """COCO's AP of each class at each IoU threshold, all areas, any number of objects; NaN without true objects.

    Precision is made monotone and read at 101 recalls. ``weights`` says how often each image counts, in replicates.
    """
    times = np.ones((1, len(matches))) if weights is None else weights
    ap = np.full((len(times), len(things), len(IOU_THRESHOLDS)), np.nan)
    for place in range(len(things)):
        truths = times @ np.array([m.truths[place] for m in matches], np.float64)
        found = [(score, hit, i) for i, m in enumerate(matches) for at, score, hit in m.detections if at == place]
        found.sort(key=lambda one: -one[0])
        hits = np.array([hit for _, hit, _ in found], np.float64).reshape(len(found), len(IOU_THRESHOLDS))
        image = np.array([i for _, _, i in found], np.int64)
        for r in np.flatnonzero(truths > 0):
            counted = times[r, image] > 0
            ap[r, place] = _interpolated(hits[counted], times[r, image][counted], truths[r])
    return ap[0] if weights is None else ap


def _interpolated(
    hits: Float[Array, "detections thresholds"], count: Float[Array, "detections"], truths: float
) -> Float[Array, "thresholds"]:
    """AP of detections, surest first, each of which counts so often."""
    if not len(hits):
        return np.zeros(len(IOU_THRESHOLDS))
    tp = (hits * count[:, None]).cumsum(0)
    precision = tp / count.cumsum()[:, None]
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = [np.searchsorted(recall, RECALLS, side="left") for recall in (tp / truths).T]
    read = [
        np.where(a < len(hits), p[np.minimum(a, len(hits) - 1)], 0).mean() for a, p in zip(at, precision.T, strict=True)
    ]
    return np.array(read)
