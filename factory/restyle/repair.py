"""Masks that no longer fit, mended: bent towards the picture's edges, or filled in anew by a restorer that sees it."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy import ndarray as Array
from scipy import ndimage

from labelfactory.array_types import Float, UInt8
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.factory.restyle.drift import EdgePoints, measure
from labelfactory.factory.translation.restorer import LoadedRestorer
from labelfactory.factory.translation.restoring import restore
from labelfactory.limits import IGNORE_INDEX

WINDOW = 24.0  # standard deviation in pixels over which points share a displacement
DAMPING = 0.02  # against the aperture: along an edge nothing is known
ROUNDS = 4
GOOD = 0.5  # pixels: what is nearer than this is left alone
LOST = 0.25  # share of the edge's clear points, of those before, below which a picture no longer shows the mask
BAND = 4  # pixels to both sides of an edge that a restorer fills in anew
AS_IT_WAS, WARPED, RESTORED, BEYOND = range(4)
STATES = {AS_IT_WAS: "as they were", WARPED: "warped", RESTORED: "restored", BEYOND: "beyond repair"}


class Repaired(NamedTuple):
    """The pair's labels after repair, their drift, and what was done (``STATES``)."""

    pair: Pair
    points: EdgePoints
    state: int


def displacement_field(points: EdgePoints, size: tuple[int, int]) -> Float[Array, "2 height width"]:
    """Of each pixel the movement u (rows, columns) that explains the displacements d = n . u of the points around it.

    Least squares in a Gaussian window, as Lucas and Kanade's optical flow: (sum n n^T) u = sum n d, damped.
    """
    some = points.known
    rows, columns = np.clip(np.rint(points.places[some]), 0, np.array(size) - 1).astype(np.int64).T
    n, d = points.normals[some], points.displacement[some]
    sums = np.zeros((5, *size))
    for image, value in zip(
        sums, (n[:, 0] ** 2, n[:, 0] * n[:, 1], n[:, 1] ** 2, n[:, 0] * d, n[:, 1] * d), strict=True
    ):
        np.add.at(image, (rows, columns), value)
    a, b, c, p, q = (ndimage.gaussian_filter(image, WINDOW) for image in sums)
    weight = a + c
    damp = DAMPING * weight + 1e-9
    a, c = a + damp, c + damp
    det = a * c - b * b
    field = np.stack([(c * p - b * q) / det, (a * q - b * p) / det])
    return field * np.minimum(1, weight / (0.05 * weight.max() + 1e-12))  # far from all edges nothing moves


def moved(pair: Pair, field: Float[Array, "2 height width"]) -> Pair:
    """Mask, object numbers and key points moved by a field; the picture stays."""
    grid = np.indices(pair.mask.shape)
    rows, columns = (
        np.clip(np.rint(g - f), 0, side - 1).astype(np.int64)
        for g, f, side in zip(grid, field, pair.mask.shape, strict=True)
    )
    points = pair.keypoints
    if points is not None:
        at = np.stack([points[:, 1], points[:, 0]]) - 0.5  # a pixel's centre is at + 0.5
        shift = [ndimage.map_coordinates(f, at, order=1, mode="nearest") for f in field]
        points = points.copy()
        points[:, 0] += shift[1].astype(np.float32)
        points[:, 1] += shift[0].astype(np.float32)
    objects = None if pair.instances is None else pair.instances[rows, columns]
    return replace(pair, mask=pair.mask[rows, columns], instances=objects, keypoints=points)


def warped(pair: Pair) -> tuple[Pair, EdgePoints]:
    """The pair whose labels lie nearest to the picture's edges, of several rounds of bending them; labels are sampled
    once, whatever the number of rounds."""
    best = pair, measure(pair.image, pair.mask)
    field = np.zeros((2, *pair.mask.shape))
    points = best[1]
    for _ in range(ROUNDS):
        if not points.known.any() or best[1].median() < GOOD:
            break
        field = field + displacement_field(points, pair.mask.shape)
        one = moved(pair, field)
        points = measure(one.image, one.mask)
        if not points.median() < best[1].median():
            break
        best = one, points
    return best


def refilled(pair: Pair, restorer: LoadedRestorer, bf16: bool = False) -> Pair:
    """The pair whose mask around its edges is what a restorer makes of the picture."""
    mask = pair.mask
    edges = np.zeros(mask.shape, bool)
    edges[1:] |= mask[1:] != mask[:-1]
    edges[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    near = ndimage.binary_dilation(edges, iterations=BAND)
    known = np.where(near, np.uint8(IGNORE_INDEX), mask)
    if (known == IGNORE_INDEX).all():
        return pair
    found = restore(restorer, known, pair.image, bf16=bf16).mask
    return replace(pair, mask=np.where(near & (mask != IGNORE_INDEX), found, mask).astype(np.uint8))


def repaired(
    pair: Pair, before: EdgePoints, repair: str, restorer: LoadedRestorer | None, max_drift: float, bf16: bool = False
) -> Repaired:
    """The labels of a restyled pair, mended as far as it goes; ``before`` are the edges of the pair as it was given.

    A pair is beyond repair where its drift is above ``max_drift`` and above what it was before, or where the picture
    has lost most of the edges that it had. Where it never had a clear edge nothing is known, and nothing is done.
    """
    points = measure(pair.image, pair.mask)
    best = Repaired(pair, points, AS_IT_WAS)
    if repair == "warp" and not points.median() < GOOD:
        one, found = warped(pair)
        if found.median() < points.median():
            best = Repaired(one, found, WARPED)
    if restorer is not None and best.points.median() > max_drift and pair.instances is None:
        one = refilled(pair, restorer, bf16)
        found = measure(one.image, one.mask)
        if found.median() < best.points.median():
            best = Repaired(one, found, RESTORED)
    lost = best.points.known.sum() < LOST * before.known.sum()
    beyond = lost or best.points.median() > max(max_drift, float(np.nan_to_num(before.median())))
    return best._replace(state=BEYOND) if beyond else best


def within(points: Float[Array, "points 3"], size: tuple[int, int]) -> UInt8[Array, "points"]:
    """1 for key points that are labelled and inside."""
    x, y, seen = points.T
    return ((seen > 0) & (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])).astype(np.uint8)
