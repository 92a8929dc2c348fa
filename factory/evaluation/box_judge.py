"""Boxes: COCO's average precision by the overlap of boxes."""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray as Array

from labelfactory.factory.evaluation.average_precision import write_average_precision
from labelfactory.factory.evaluation.instances import Matches, Objects, match_by, objects_of
from labelfactory.factory.evaluation.judge import Judge, Table
from labelfactory.factory.evaluation.predicted import Boxes, Predicted
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.interpreters.array_types import Float, Shaped
from labelfactory.interpreters.classes import LabelClass
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import countable


class BoxJudge(Judge):
    """Judges ``boxes``, or else those around the objects of a model that finds objects."""

    def __init__(self, classes: Sequence[LabelClass]) -> None:
        self.things, self.boundary = countable(classes)
        self.matches: list[Matches] = []

    def see(self, pair: Pair, predicted: Predicted) -> float:
        """The image's F1 of boxes that overlap by half or more."""
        truth = around(objects_of(pair.mask, self.things, pair.instances, boundary=self.boundary))
        found = boxes_of(predicted, self.things)
        lost = _invalid(found.corners, pair.mask == IGNORE_INDEX)
        iou = box_iou(truth.corners, found.corners)
        m = match_by(iou, lost, truth.classes, found.classes, found.scores, self.things)
        self.matches.append(m)
        hits = sum(bool(hit[0]) for _, _, hit in m.detections)
        both = len(m.detections) + int(m.truths.sum())
        return 2 * hits / both if both else float("nan")

    def write(self, table: Table) -> None:
        """AP, AP50 and AP75."""
        write_average_precision(table, self.matches, self.things, "box_")


def boxes_of(predicted: Predicted, things: Sequence[int]) -> Boxes:
    """The boxes that a model found, or else those around its objects' pixels."""
    if predicted.boxes is not None:
        return predicted.boxes
    assert predicted.mask is not None
    return around(
        objects_of(predicted.mask, things, predicted.instances, predicted.probabilities, confidence=predicted.scores)
    )


def around(objects: Objects) -> Boxes:
    """The boxes around objects, in pixels: a single pixel's has sides of 1."""
    from scipy import ndimage

    corners = [
        (columns.start, rows.start, columns.stop, rows.stop) for rows, columns in ndimage.find_objects(objects.ids)
    ]
    return Boxes(np.array(corners, np.float64).reshape(-1, 4), objects.classes, objects.scores)


def box_iou(a: Float[Array, "a 4"], b: Float[Array, "b 4"]) -> Float[Array, "a b"]:
    """Intersection over union of every box of ``a`` with every box of ``b``."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    area = [np.clip(x[:, 2:] - x[:, :2], 0, None).prod(-1) for x in (a, b)]
    return np.asarray(both / np.maximum(area[0][:, None] + area[1][None] - both, 1e-9), np.float64)


def _invalid(corners: Float[Array, "boxes 4"], unlabelled: Shaped[Array, "height width"]) -> Float[Array, "boxes"]:
    """Share of each box's pixels that are not labelled."""
    shares = np.zeros(len(corners))
    if not unlabelled.any():
        return shares
    height, width = unlabelled.shape
    edges = np.clip(np.rint(corners), 0, [width, height, width, height]).astype(int)
    for i, (x0, y0, x1, y1) in enumerate(edges.tolist()):
        inside = unlabelled[y0:y1, x0:x1]
        shares[i] = inside.mean() if inside.size else 0.0
    return shares
