"""An incomplete mask as a network sees it, with the picture where there is one: all as 8-bit channels.

0  the mask, 255 where nothing is labelled
1  the class of the nearest labelled pixel
2  how far away that is, in pixels, 255 at most
3  and following: the picture's channels
"""

import numpy as np
from numpy import ndarray as Array

from labelfactory.array_types import UInt8
from labelfactory.errors import InputError
from labelfactory.limits import IGNORE_INDEX

CHANNELS = 3  # before the picture's


def filled(mask: UInt8[Array, "height width"]) -> tuple[UInt8[Array, "height width"], UInt8[Array, "height width"]]:
    """The class of the nearest labelled pixel, and its distance. InputError where nothing is labelled."""
    from scipy import ndimage

    unknown = mask == IGNORE_INDEX
    if not unknown.any():
        return mask, np.zeros_like(mask)
    if unknown.all():
        raise InputError("the mask has nothing labelled: there is nothing to restore it from")
    distance, (rows, columns) = ndimage.distance_transform_edt(unknown, return_indices=True)
    return mask[rows, columns], np.minimum(np.rint(distance), 255).astype(np.uint8)


def stacked(
    mask: UInt8[Array, "height width"], picture: UInt8[Array, "height width channels"] | None = None
) -> UInt8[Array, "height width all"]:
    """The channels above."""
    near, distance = filled(mask)
    parts = [mask[..., None], near[..., None], distance[..., None]]
    return np.concatenate(parts if picture is None else [*parts, picture], axis=2)
