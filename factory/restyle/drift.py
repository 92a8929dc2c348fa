"""Label drift: how far a picture's edges lie from its mask's, in pixels along the normals of the mask's edges.

Between two pixels of different classes lies a point of the mask's edge. Its normal is the gradient of the smoothed
mask. Along the normal the picture's gradient is sampled, profiles of neighbours on the same edge are averaged, and the
place of the steepest change, to a part of a pixel, is the displacement. Points without a clear steepest place say
nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array
from scipy import ndimage
from scipy.spatial import cKDTree

from labelfactory.array_types import Float, Int, UInt8
from labelfactory.limits import IGNORE_INDEX

REACH = 6.0  # pixels to both sides of an edge in which the picture's edge is looked for
STEP = 0.25
SMOOTH_MASK, SMOOTH_PICTURE = 2.0, 1.0  # standard deviations in pixels
NEIGHBOURS = 11  # points of the same edge whose profiles are averaged
CLEAR = 1.5  # a profile's top against its mean, from which a point counts


@dataclass(frozen=True)
class EdgePoints:
    """Points of a mask's edges.

    places       row and column, in pixels
    normals      row and column of the unit vector that points from the first class to the second
    classes      both classes
    displacement of the picture's edge along the normal, in pixels; NaN where there is no clear edge
    """

    places: Float[Array, "n 2"]
    normals: Float[Array, "n 2"]
    classes: Int[Array, "n 2"]
    displacement: Float[Array, "n"]

    @property
    def known(self) -> Array:
        """Points that say something."""
        return np.isfinite(self.displacement)

    def median(self) -> float:
        """Median of the absolute displacement, in pixels; NaN where no point says anything."""
        found = np.abs(self.displacement[self.known])
        return float(np.median(found)) if found.size else float("nan")

    def by_class(self, count: int) -> Float[Array, "classes"]:
        """The same of the edges of each class."""
        found = np.full(count, np.nan, np.float32)
        for c in range(count):
            some = np.abs(self.displacement[self.known & (self.classes == c).any(1)])
            if some.size:
                found[c] = np.median(some)
        return found


def edge_points(mask: UInt8[Array, "height width"]) -> tuple[Array, Array, Array]:
    """Places, normals and classes of the points between pixels of different classes; 255 has no edges."""
    found: list[tuple[Array, Array]] = []
    for axis in (0, 1):
        ahead = np.moveaxis(mask, axis, 0)
        differs = (ahead[1:] != ahead[:-1]) & (ahead[1:] != IGNORE_INDEX) & (ahead[:-1] != IGNORE_INDEX)
        at = np.argwhere(np.moveaxis(differs, 0, axis)).astype(np.float64)
        rows, columns = at.astype(np.int64).T
        step = np.eye(2, dtype=np.int64)[axis]
        pair = np.stack([mask[rows, columns], mask[rows + step[0], columns + step[1]]], 1).astype(np.int64)
        found.append((at + 0.5 * step, pair))
    places, classes = (np.concatenate([one[i] for one in found]) for i in range(2))
    classes = np.sort(classes, axis=1)
    normals, level = np.zeros_like(places), np.zeros(len(places))
    for c in np.unique(classes):  # from the first class to the second: down the first's, up the second's
        smooth = ndimage.gaussian_filter((mask == c).astype(np.float32), SMOOTH_MASK)
        sign = np.where(classes[:, 1] == c, 1.0, 0.0) - np.where(classes[:, 0] == c, 1.0, 0.0)
        level += sign * ndimage.map_coordinates(smooth, places.T, order=1, mode="nearest")
        for axis, slope in enumerate(np.gradient(smooth)):
            normals[:, axis] += sign * ndimage.map_coordinates(slope, places.T, order=1, mode="nearest")
    length = np.linalg.norm(normals, axis=1)
    inside = (places >= 1).all(1) & (places <= np.array(mask.shape) - 2).all(1) & (length > 1e-3)
    normals, length = normals[inside] / length[inside, None], length[inside]
    # pixels are steps around the edge that they stand for: onto the line where both classes are equally near
    step = np.clip(-level[inside] / length, -1, 1)
    return places[inside] + step[:, None] * normals, normals, classes[inside]


def measure(picture: UInt8[Array, "height width channels"], mask: UInt8[Array, "height width"]) -> EdgePoints:
    """Where the picture's edges lie from the mask's, for displacements below ``REACH`` pixels."""
    places, normals, classes = edge_points(mask)
    steps = np.arange(-REACH, REACH + STEP / 2, STEP)
    if not len(places):
        return EdgePoints(places, normals, classes, np.empty(0))
    along = places[:, None] + steps[None, :, None] * normals[:, None]  # (points, steps, 2)
    flat = along.reshape(-1, 2).T
    total = np.zeros(len(places) * len(steps), np.float32)
    for channel in np.moveaxis(picture.astype(np.float32), 2, 0):
        slopes = [ndimage.gaussian_filter(channel, SMOOTH_PICTURE, order=order) for order in ((1, 0), (0, 1))]
        down, right = (ndimage.map_coordinates(s, flat, order=1, mode="nearest") for s in slopes)
        towards = down * np.repeat(normals[:, 0], len(steps)) + right * np.repeat(normals[:, 1], len(steps))
        total += towards.astype(np.float32) ** 2
    profiles = _averaged(np.sqrt(total).reshape(len(places), len(steps)), places, classes)
    return EdgePoints(places, normals, classes, _steepest(profiles, steps))


def _averaged(profiles: Array, places: Array, classes: Array) -> Array:
    """Each profile with those of its nearest neighbours between the same classes."""
    found = np.empty_like(profiles)
    kinds = classes[:, 0] * 256 + classes[:, 1]
    for kind in np.unique(kinds):
        some = np.flatnonzero(kinds == kind)
        tree = cKDTree(places[some])
        _, near = tree.query(places[some], min(NEIGHBOURS, len(some)))
        found[some] = profiles[some][near.reshape(len(some), -1)].mean(1)
    return found


def _steepest(profiles: Array, steps: Array) -> Array:
    """The top of a parabola through the highest sample and its neighbours; NaN at the ends or where it is not clear."""
    top = profiles.argmax(1)
    rows = np.arange(len(profiles))
    inside = (top > 0) & (top < len(steps) - 1)
    at = np.clip(top, 1, len(steps) - 2)
    left, middle, right = (profiles[rows, at + d] for d in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    clear = inside & (middle > CLEAR * np.maximum(profiles.mean(1), 1e-6)) & (middle > 1.0)
    return np.where(clear, steps[at] + shift * STEP, np.nan)
