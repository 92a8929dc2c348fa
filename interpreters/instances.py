"""From class masks to single objects."""

from collections.abc import Sequence

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, Shaped, UInt8
from labelfactory.interpreters.centres import split_regions
from labelfactory.masks import connected_objects

MOST = 2**16 - 1  # ids are 16-bit


def label_instances(
    mask: UInt8[np.ndarray, "height width"],
    things: Sequence[int],
    boundary: int | None = None,
    min_size: int = 1,
    heat: Float[np.ndarray, "height width"] | None = None,
    sigma: float = 3.0,
) -> tuple[Shaped[np.ndarray, "height width"], dict[int, int]]:
    """Number the connected regions of each thing class (``masks.connected_objects``).

    Arguments:
        mask: class ids.
        things: ids of the classes that are countable objects.
        boundary: id of a class that was drawn where objects touch. Its pixels separate, and then belong to the nearest
            object next to them; the mask itself stays as it is.
        min_size: regions of fewer pixels get no number.
        heat, sigma: heatmap of the objects' centres and its σ (``interpreters.centres``): regions with several centres
            are cut into as many objects.

    Returns:
        uint16 ids (0: no object; from 1, larger objects first), and the size in pixels of each, boundary included.

    Raises:
        InputError: a thing that is the boundary, or more than 65,535 objects.
    """
    if boundary is not None and boundary in things:
        raise InputError(f"class {boundary} is both a thing and the boundary between things; choose one")
    ids, _ = connected_objects(mask, things, boundary)
    if heat is not None:
        ids = split_regions(ids, heat, sigma)
    ids[np.bincount(ids.ravel())[ids] < min_size] = 0
    if boundary is not None and ids.any():
        from scipy import ndimage

        distance, (y, x) = ndimage.distance_transform_edt(ids == 0, return_indices=True)
        joins = (mask == boundary) & (distance <= 2)
        ids[joins] = ids[y[joins], x[joins]]
    found, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    order = sorted((i for i in range(len(found)) if found[i]), key=lambda i: (-counts[i], found[i]))
    if len(order) > MOST:
        raise InputError(f"{len(order)} objects in one image; at most {MOST} can be numbered")
    table = np.zeros(len(found), dtype=np.uint16)
    table[order] = np.arange(1, len(order) + 1)
    return table[inverse].reshape(mask.shape), {n + 1: int(counts[i]) for n, i in enumerate(order)}
