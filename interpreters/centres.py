"""Objects of one class that touch, told apart by their centres.

As in Panoptic-DeepLab (arXiv 1911.10194, section 3.2) a heatmap is regressed whose peaks are the objects' centres, and
every pixel joins one of them; here by the outlines alone, without regressed offsets: one output per pixel is enough.
"""

import numpy as np

from labelfactory.interpreters.array_types import Float, Int

PEAK = 0.3  # height from which a peak counts as a centre; a perfect heatmap's is 1
UNKNOWN = -1  # in maps of object numbers: not labelled


def centre_heat(objects: Int[np.ndarray, "height width"], sigma: float) -> Float[np.ndarray, "1 height width"]:
    """exp(-d² / 2σ²) around the nearest object's centroid, 0 without objects, NaN where ``objects`` is unknown."""
    height, width = objects.shape
    y, x = np.mgrid[:height, :width]
    heat = np.zeros((height, width), np.float32)
    for number in np.unique(objects[objects > 0]):
        rows, columns = np.nonzero(objects == number)
        squared = (y - rows.mean()) ** 2 + (x - columns.mean()) ** 2
        heat = np.maximum(heat, np.exp(-squared / (2 * sigma**2)))
    heat[objects == UNKNOWN] = np.nan
    return heat[None].astype(np.float32)


def peaks(heat: Float[np.ndarray, "height width"], sigma: float) -> Int[np.ndarray, "peaks 2"]:
    """Row and column of every maximum of at least ``PEAK`` that no higher value is nearer to than about σ."""
    from scipy import ndimage

    window = 2 * max(1, round(sigma)) + 1
    highest = (heat == ndimage.maximum_filter(heat, window)) & (heat >= PEAK)
    plateaus, count = ndimage.label(highest, structure=np.ones((3, 3)))
    found = ndimage.center_of_mass(highest, plateaus, np.arange(1, count + 1)) if count else []
    centres = np.rint(np.array(found).reshape(-1, 2)).astype(np.int64)
    first = np.unique(centres, axis=0, return_index=True)[1]  # a flat ring has its middle where the peak inside it is
    return centres[np.sort(first)]


def split_regions(
    ids: Int[np.ndarray, "height width"], heat: Float[np.ndarray, "height width"], sigma: float
) -> Int[np.ndarray, "height width"]:
    """Regions (numbers from 1, 0: none) with two centres or more, cut into as many objects; new numbers follow.

    A pixel joins the centre to which distance minus radius is smallest, the radius being how far that centre is from
    the region's edge: two discs that touch are cut where they touch, whatever their sizes.
    """
    from scipy import ndimage

    out, found = ids.copy(), peaks(heat, sigma)
    owner = ids[found[:, 0], found[:, 1]]
    for number in np.unique(owner[owner > 0]):
        own = found[owner == number]
        if len(own) < 2:
            continue
        region = ids == number
        radius = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
        pixels = np.argwhere(region)
        distance = np.sqrt(((pixels[:, None] - own[None]) ** 2).sum(-1)) - radius[own[:, 0], own[:, 1]]
        nearest = distance.argmin(1)
        out[region] = np.where(nearest == 0, number, out.max() + nearest)
    return out
