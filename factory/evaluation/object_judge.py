"""Objects: average precision, panoptic quality and its two factors, and for cells the aggregated Jaccard index."""

import math
from collections.abc import Sequence
from dataclasses import fields
from functools import partial

import numpy as np
from numpy import ndarray as Array

from labelfactory.factory.evaluation.aggregated_jaccard import aggregated_jaccard
from labelfactory.factory.evaluation.average_precision import write_average_precision
from labelfactory.factory.evaluation.instances import Matches, PanopticCounts, match, objects_of
from labelfactory.factory.evaluation.judge import Judge, Table, nanmean
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.interpreters.classes import LabelClass
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import countable

PQ_FIELDS = tuple(field.name for field in fields(PanopticCounts))
QUALITIES = ("panoptic_quality", "segmentation_quality", "recognition_quality")


class ObjectJudge(Judge):
    """Judges objects of countable classes: the prediction's own, or else connected parts of its mask."""

    def __init__(self, classes: Sequence[LabelClass], min_area: int = 1) -> None:
        self.things, self.boundary = countable(classes)
        self.stuff = [i for i in range(len(classes)) if i not in self.things and i != self.boundary]
        self.min_area, self.numbered = min_area, 0
        self.matches: list[Matches] = []
        self.regions: list[Array] = []
        self.jaccard: list[tuple[float, float]] = []
        self.ap_by_threshold: dict[str, list[float]] = {}

    def see(self, pair: Pair, predicted: Predicted) -> float:
        """The image's panoptic quality, of all its objects together."""
        assert predicted.mask is not None
        self.numbered += pair.instances is not None
        truth = objects_of(pair.mask, self.things, pair.instances, boundary=self.boundary)
        found = objects_of(
            predicted.mask,
            self.things,
            predicted.instances,
            predicted.probabilities,
            self.min_area,
            self.boundary,
            predicted.scores,
        )
        known = pair.mask != IGNORE_INDEX
        m = match(truth, found, known, self.things)
        self.matches.append(m)
        self.regions.append(np.stack([_region(pair.mask, predicted.mask, known, i) for i in self.stuff], 1))
        index = aggregated_jaccard(np.where(known, truth.ids, 0), np.where(known, found.ids, 0))
        self.jaccard.append((0.0, 0.0) if math.isnan(index) else (index, 1.0))
        return float(PanopticCounts(*(getattr(m, name).sum(keepdims=True) for name in PQ_FIELDS)).panoptic_quality[0])

    def write(self, table: Table) -> None:
        """Panoptic quality and its factors, AP and, where there are objects, the aggregated Jaccard index."""
        sums = np.stack([np.stack([getattr(m, name) for name in PQ_FIELDS]) for m in self.matches])
        for name in QUALITIES:
            table.per_class[name] = table.columns(sums, partial(quality, name=name), self.things)
        ap = write_average_precision(table, self.matches, self.things)
        if "ap" in table.overall:
            for name in QUALITIES:
                table.overall[name] = table.scored(sums, partial(_mean, name=name))
            jaccard = np.array(self.jaccard)
            table.overall["aji"] = table.scored(jaccard, _ratio)
            self._write_all(table, sums)
        self.ap_by_threshold = {table.classes[i].name: ap[place].tolist() for place, i in enumerate(self.things)}

    def _write_all(self, table: Table, sums: Array) -> None:
        """Panoptic quality of all classes: each other class is one region of a picture (1801.00868, section 4)."""
        regions = np.stack(self.regions)
        if not self.stuff:
            return
        table.overall["pq_stuff"] = table.scored(regions, _mean)
        both = np.concatenate([sums, regions], 2)
        table.overall["pq_all"] = table.scored(both, _mean)


def _region(truth: Array, prediction: Array, known: Array, label: int) -> Array:
    """IoU, true positive, false positive and false negative of one class's pixels as a single region."""
    t, p = (truth == label) & known, (prediction == label) & known
    union = int((t | p).sum())
    iou = float((t & p).sum()) / union if union else 0.0
    hit = iou > 0.5
    return np.array([iou * hit, hit, p.any() and not hit, t.any() and not hit], np.float64)


def quality(sums: Array, name: str = "panoptic_quality") -> Array:
    """One of ``QUALITIES`` of the fields of ``PanopticCounts``, stacked before the axis of classes."""
    found: Array = getattr(PanopticCounts(*np.moveaxis(sums, -2, 0)), name)
    return found


def _mean(sums: Array, name: str = "panoptic_quality") -> Array:
    return nanmean(quality(sums, name))


def _ratio(s: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(s[..., 0] / s[..., 1])
