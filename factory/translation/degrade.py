"""Masks made incomplete, as people have them: eroded objects, coarse polygons, scribbles, an eighth of the size.

A degradation is a function of the whole mask and of random numbers. 255 is "not labelled", before and after.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy import ndarray as Array

from labelfactory.array_types import Float, Int, Shaped, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.pairs.resized import nearest
from labelfactory.interpreters.formats.drawing import fill_polygon
from labelfactory.limits import IGNORE_INDEX

Mask = UInt8[Array, "height width"]
KEPT_FROM = (0.35, 0.55)  # of an object's greatest depth: what lies deeper stays (sparse)
CORNER = 0.06  # of a region's extent: how far a coarse polygon may run beside its outline
GAP = 1.5  # pixels on either side of where two polygons meet that nobody labelled
FEWEST = 12  # pixels of an object that somebody would draw a polygon or a scribble for


@dataclass(frozen=True)
class Degradation:
    """One way in which masks are incomplete.

    exact   whether what is labelled is right, so that a restored mask keeps it
    factor  by which the mask's sides are divided; 1: none
    """

    name: str
    exact: bool
    factor: int = 1

    @property
    def text(self) -> str:
        """As it is typed."""
        return self.name if self.factor == 1 else f"{self.name}:{self.factor}"

    def __call__(
        self, mask: Mask, rng: np.random.Generator, instances: Shaped[Array, "height width"] | None = None
    ) -> Mask:
        """The incomplete mask, of the same size; ``instances`` tell touching objects of a class apart."""
        if self.factor > 1:
            return enlarged(reduced(mask, self.factor), mask.shape)
        return _WAYS[self.name](mask, rng, instances)


def parse_degradation(text: str) -> Degradation:
    """A degradation of its name: ``sparse``, ``coarse``, ``scribble`` or ``downsample:N``; InputError for others."""
    if found := re.fullmatch(r"downsample:(\d{1,3})", text):
        factor = int(found[1])
        if factor >= 2:
            return Degradation("downsample", exact=False, factor=factor)
    if text in _WAYS:
        return Degradation(text, exact=text != "coarse")
    raise InputError(f"degradation {text!r}: expected {', '.join(_WAYS)} or downsample:N with N from 2 on")


def reduced(mask: Mask, factor: int) -> UInt8[Array, "low narrow"]:
    """Every ``factor``-th pixel of both axes: the nearest to the middle of each block."""
    height, width = (-(-side // factor) for side in mask.shape)
    return np.asarray(nearest(mask, (height, width)))


def enlarged(mask: Mask, size: tuple[int, ...]) -> UInt8[Array, "high wide"]:
    """A small mask at another size: each of its pixels a block."""
    return np.asarray(nearest(mask, (size[0], size[1])))


def numbered(
    mask: Mask, instances: Shaped[Array, "height width"] | None = None
) -> tuple[Int[Array, "height width"], Int[Array, "objects"]]:
    """Numbers of objects from 1 (0: not labelled), and each number's class.

    An object is a connected part of a class (corners count), or an instance where a class has such.
    """
    from scipy import ndimage

    numbers, classes = np.zeros(mask.shape, np.int32), [IGNORE_INDEX]
    for value in np.unique(mask[mask != IGNORE_INDEX]).tolist():
        of_class = mask == value
        if instances is not None and np.any(instances[of_class]):
            _, labels = np.unique(instances[of_class], return_inverse=True)
            count = int(labels.max()) + 1
            numbers[of_class] = labels.ravel() + len(classes)
        else:
            found, count = ndimage.label(of_class, structure=np.ones((3, 3)))
            numbers[of_class] = found[of_class] + (len(classes) - 1)
        classes += [value] * count
    return numbers, np.array(classes)


def depth(numbers: Int[Array, "height width"]) -> Float[Array, "height width"]:
    """How far each pixel is from the next object, 1 at its rim; the picture's border is no rim."""
    from scipy import ndimage

    rim = np.zeros(numbers.shape, bool)
    below, beside = numbers[1:] != numbers[:-1], numbers[:, 1:] != numbers[:, :-1]
    rim[1:] |= below
    rim[:-1] |= below
    rim[:, 1:] |= beside
    rim[:, :-1] |= beside
    if not rim.any():
        return np.ones(numbers.shape, np.float32)
    return np.asarray(ndimage.distance_transform_edt(~rim) + 1, np.float32)


def _deepest(deep: Float[Array, "height width"], numbers: Int[Array, "height width"], count: int) -> Float[Array, "n"]:
    """Greatest depth of each object."""
    found = np.zeros(count, np.float32)
    np.maximum.at(found, numbers.ravel(), deep.ravel())
    return found


def _sparse(mask: Mask, rng: np.random.Generator, instances: Shaped[Array, "height width"] | None) -> Mask:
    """The inner part of each object: what lies deeper than a share of its greatest depth."""
    numbers, classes = numbered(mask, instances)
    deep = depth(numbers)
    least = rng.uniform(*KEPT_FROM, size=len(classes)) * _deepest(deep, numbers, len(classes))
    return np.where(deep >= least[numbers], mask, IGNORE_INDEX).astype(np.uint8)


def _coarse(mask: Mask, rng: np.random.Generator, instances: Shaped[Array, "height width"] | None) -> Mask:
    """Each object as a polygon of few corners, large ones first; small ones and the seams are not labelled."""
    from scipy import ndimage

    from labelfactory.storage.outlines import outline

    height, width = mask.shape
    found, owner = np.full_like(mask, IGNORE_INDEX), np.zeros(mask.shape, np.int32)
    numbers, classes = numbered(mask, instances)
    boxes, sizes = ndimage.find_objects(numbers), np.bincount(numbers.ravel(), minlength=len(classes))
    sizes[0] = 0  # what nobody knows is no object
    for number in np.argsort(-sizes, kind="stable").tolist():
        if sizes[number] < FEWEST:
            break
        rows, columns = boxes[number - 1]
        pixels = numbers[rows, columns] == number
        corners = outline(ndimage.binary_fill_holes(pixels)) + np.array([columns.start, rows.start])
        extent = float(np.hypot(*pixels.shape))
        corners = corners + rng.normal(0, CORNER * extent / 6, 2)  # drawn a little beside
        polygon = simplified(corners, CORNER * extent)
        if len(polygon) >= 3:
            region = fill_polygon(polygon, height, width)
            found[region], owner[region] = classes[number], number
    edge = np.zeros(mask.shape, bool)
    edge[1:] |= owner[1:] != owner[:-1]
    edge[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    if edge.any():
        found[ndimage.distance_transform_edt(~edge) <= GAP] = IGNORE_INDEX
    return found


def simplified(corners: Float[Array, "corners 2"], tolerance: float) -> Float[Array, "some 2"]:
    """Few of a closed line's corners, none of the others further than ``tolerance`` (Douglas and Peucker, 1973)."""
    far = int(((corners - corners[0]) ** 2).sum(1).argmax())
    keep = np.zeros(len(corners), bool)
    keep[[0, far]] = True
    closed = np.concatenate([corners, corners[:1]])
    waiting = [(0, far), (far, len(corners))]
    while waiting:
        start, end = waiting.pop()
        if end - start < 2:
            continue
        a, b, inner = closed[start], closed[end], closed[start + 1 : end]
        along = b - a
        length = float(np.hypot(*along))
        across = inner - a
        distance = np.abs(along[0] * across[:, 1] - along[1] * across[:, 0]) / length if length else np.hypot(*across.T)
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            middle = start + 1 + worst
            keep[middle] = True
            waiting += [(start, middle), (middle, end)]
    return corners[keep]


def _scribble(mask: Mask, rng: np.random.Generator, instances: Shaped[Array, "height width"] | None) -> Mask:
    """In each object a stroke, two or three pixels wide, between some of its inner pixels."""
    from scipy import ndimage

    numbers, classes = numbered(mask, instances)
    deep = depth(numbers)
    deepest, sizes = _deepest(deep, numbers, len(classes)), np.bincount(numbers.ravel(), minlength=len(classes))
    line = np.zeros(mask.shape, np.int32)
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        if box is None or sizes[number] < FEWEST:
            continue
        inner = np.argwhere((numbers[box] == number) & (deep[box] >= 0.5 * deepest[number]))
        points = inner[rng.integers(len(inner), size=int(rng.integers(2, 5)))] + [box[0].start, box[1].start]
        for start, end in pairwise(points):
            steps = int(np.abs(end - start).max()) + 1
            rows, columns = np.rint(np.linspace(start, end, steps)).astype(int).T
            own = numbers[rows, columns] == number
            line[rows[own], columns[own]] = number
    if not line.any():
        return np.full_like(mask, IGNORE_INDEX)
    distance, (rows, columns) = ndimage.distance_transform_edt(line == 0, return_indices=True)
    near = line[rows, columns]
    thickness = rng.uniform(0.5, 1.5, size=len(classes))
    drawn = (near == numbers) & (distance <= thickness[near]) & (numbers > 0)
    return np.where(drawn, mask, IGNORE_INDEX).astype(np.uint8)


_WAYS: dict[str, Callable[[Mask, np.random.Generator, Shaped[Array, "height width"] | None], Mask]] = {
    "sparse": _sparse,
    "coarse": _coarse,
    "scribble": _scribble,
}
