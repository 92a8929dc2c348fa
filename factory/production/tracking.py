"""Objects that keep their number from frame to frame of a sequence."""

from collections.abc import Sequence

import numpy as np

from labelfactory.errors import WorkError
from labelfactory.factory.evaluation.instances import Objects, objects_of, overlaps
from labelfactory.interpreters.array_types import Int, Shaped, UInt8
from labelfactory.interpreters.instances import MOST
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import countable
from labelfactory.storage import DatasetSpec

LEAST_IOU = 0.3  # of an object with itself one frame later, as in the code of SORT (Bewley et al., arXiv 1602.00763)


def numbered_alike(spec: DatasetSpec, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A shard's arrays; in a store of walks that numbers objects, their numbers stay through each sequence.

    WorkError where a sequence has more objects than there are numbers.
    """
    array = spec.of_role("objects")
    if not spec.walk or array is None:
        return arrays
    things, _ = countable(spec.classes)
    numbers = arrays[array.name].copy()
    for first in range(0, len(numbers), spec.walk):
        frames = slice(first, first + spec.walk)
        try:
            numbers[frames] = tracked(numbers[frames], arrays["mask"][frames], things)
        except WorkError as error:
            raise WorkError(f"sequence {int(arrays['sequence'][first])}: {error}") from None
    return arrays | {array.name: numbers}


def tracked(
    numbers: Shaped[np.ndarray, "frames height width"],
    masks: UInt8[np.ndarray, "frames height width"],
    things: Sequence[int],
) -> Shaped[np.ndarray, "frames height width"]:
    """The frames' object numbers (from 1 in each frame) so that one object has one number in all of them.

    An object is the one of its class in the frame before that it overlaps, pairs being chosen so that all their IoUs
    together are largest; at an IoU below ``LEAST_IOU`` it is a new one. New ones get numbers that the sequence has not
    had, so that the number of an object that is lost stays its own.
    """
    out, before, theirs, last = np.zeros_like(numbers), None, np.zeros(0, np.int64), 0
    for frame, (own, mask) in enumerate(zip(numbers, masks, strict=True)):
        objects = objects_of(np.where(np.isin(mask, things), mask, IGNORE_INDEX), things, own)
        found = np.zeros(len(objects.classes), np.int64)
        if before is not None:
            old, new = matched(before, objects)
            found[new] = theirs[old]
        fresh = np.flatnonzero(found == 0)
        if last + len(fresh) > MOST:
            raise WorkError(f"has more than {MOST} objects; walk fewer frames")
        found[fresh] = last + 1 + np.arange(len(fresh))
        last += len(fresh)
        out[frame] = np.concatenate([[0], found])[objects.ids]
        before, theirs = objects, found
    return out


def matched(before: Objects, after: Objects) -> tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]]:
    """Places of the objects that are the same in two neighbouring frames."""
    from scipy.optimize import linear_sum_assignment

    iou = overlaps(before, after, np.ones(before.ids.shape, bool))[0]
    iou = np.where((before.classes[:, None] == after.classes[None]) & (iou >= LEAST_IOU), iou, 0.0)
    old, new = linear_sum_assignment(iou, maximize=True)
    real = iou[old, new] > 0
    return old[real], new[real]
