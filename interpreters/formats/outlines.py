"""From masks back to polygons whose filling gives the very same pixels."""

from collections.abc import Iterator

import numpy as np

from labelfactory.interpreters.array_types import Bool, Int, UInt8
from labelfactory.interpreters.formats.drawing import fill_polygon


def components(mask: UInt8[np.ndarray, "height width"]) -> Iterator[tuple[int, Int[np.ndarray, "corners 2"]]]:
    """(value, outline) of the mask's connected regions such that drawing them in this order on zeros gives the mask.

    Regions are connected along edges. An outline encloses its region's holes as well; larger outlines come first, so
    that what lies in the holes is drawn over them. Regions that the drawing shows already (zeros on the bare canvas)
    are left out.
    """
    from scipy import ndimage

    found = []
    for value in np.unique(mask).tolist():
        labelled, count = ndimage.label(mask == value)
        for i, box in enumerate(ndimage.find_objects(labelled, count)):
            part = labelled[box] == i + 1
            corners = trace(part)
            area = int(fill_polygon(corners.astype(float), *part.shape).sum())
            found.append((area, value, part, box, corners))
    canvas = np.zeros_like(mask)
    for _, value, part, box, corners in sorted(found, key=lambda f: -f[0]):
        if (canvas[box][part] != value).any():
            canvas[box][fill_polygon(corners.astype(float), *part.shape)] = value
            yield value, corners + np.array([box[1].start, box[0].start])


def trace(region: Bool[np.ndarray, "height width"]) -> Int[np.ndarray, "corners 2"]:
    """Corners (x, y) of the outer border of one edge-connected region, clockwise, on the grid between the pixels."""
    inside = np.pad(region, 1)
    y, x = (int(v) for v in np.argwhere(inside)[0])  # top row, leftmost: its top edge is border, walked to the right
    start = here = (x, y)
    direction = (1, 0)
    corners = [start]
    while True:
        dx, dy = direction
        here = (here[0] + dx, here[1] + dy)
        if here == start:  # only the first pixel touches this corner, so it is passed once
            return np.array(corners) - 1
        # the two pixels in front of this grid point, right and left of the direction of walking
        right = inside[here[1] + (dy - 1 + dx) // 2, here[0] + (dx - 1 - dy) // 2]
        left = inside[here[1] + (dy - 1 - dx) // 2, here[0] + (dx - 1 + dy) // 2]
        turned = (-dy, dx) if not right else (dy, -dx) if left else direction
        if turned != direction:
            corners.append(here)
            direction = turned
