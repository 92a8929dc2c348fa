"""One region as one outline that every reader of YOLO's lines turns back into the region.

Readers disagree about what a corner is. OpenCV's ``fillPoly``, which ultralytics trains with, cuts coordinates down to
whole pixels and colours the pixels on the outline too; others (COCO's tools, our own import) take coordinates for
places in the plane and colour the pixels whose centre is inside. So the outline runs along the pixels' edges, but
``INSET`` of a pixel inside the region: cut down, its corners are the region's border pixels, and in the plane it
encloses exactly the region, at any scale.
"""

import numpy as np
from jaxtyping import Bool, Float64
from scipy import ndimage

INSET = 1 / 64  # pixels: more than eight decimals and 32-bit floats lose on pictures of 16,384 pixels
UNEVEN = 0.618  # the golden section: no fraction of small numbers comes near it

Step = tuple[int, int]
Edge = tuple[int, int, int, int]  # from x, y along the step dx, dy; the region is on the right hand (y grows downwards)


def outline(pixels: Bool[np.ndarray, "y x"]) -> Float64[np.ndarray, "corners 2"]:
    """Corners x, y of one closed line round a region, in pixels (0 to width, 0 to height); it needs at least a pixel.

    A hole is joined by a bridge that runs over the region's own pixels, there and back. Parts that do not touch, not
    even at corners, are joined by a straight line between their nearest corners.
    """
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    top, left = rows[0], columns[0]
    box = pixels[top : rows[-1] + 1, left : columns[-1] + 1]
    walks = [np.array(_corners(*part), np.float64) for part in _parts(box)]
    merged = walks[0]
    for part in walks[1:]:
        distance = np.abs(merged[:, None] - part[None]).sum(-1)
        i, j = np.unravel_index(int(distance.argmin()), distance.shape)
        merged = np.concatenate([merged[: i + 1], part[j:], part[: j + 1], merged[i:]])
    return merged + np.array([left, top])


def parts(pixels: Bool[np.ndarray, "y x"]) -> int:
    """How many parts of a region do not touch, not even at corners."""
    return int(ndimage.label(pixels, structure=np.ones((3, 3)))[1])


def _loops(box: Bool[np.ndarray, "y x"]) -> list[list[Edge]]:
    """Closed walks of unit steps along all edges between the region and the rest."""
    padded = np.pad(box, 1)
    inside = padded[1:-1, 1:-1]
    steps: dict[Step, list[Step]] = {}
    # For each side of a pixel: its neighbour there, where the side begins, and the step along it.
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # top, going right
        (padded[1:-1, 2:], (1, 0), (0, 1)),  # right, going down
        (padded[2:, 1:-1], (1, 1), (-1, 0)),  # bottom, going left
        (padded[1:-1, :-2], (0, 1), (0, -1)),  # left, going up
    )
    for neighbour, (dx, dy), step in sides:
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            steps.setdefault((x + dx, y + dy), []).append(step)
    loops = []
    while steps:
        at, came = next(iter(steps)), (0, 0)
        loop: list[Edge] = []
        while at in steps:
            ways = steps[at]
            # Where two pixels touch at a corner only, turning left goes on along the other one: 8-connected.
            left = (came[1], -came[0])
            came = left if left in ways else ways[0]
            ways.remove(came)
            if not ways:
                del steps[at]
            loop.append((*at, *came))
            at = (at[0] + came[0], at[1] + came[1])
        loops.append(loop)
    return loops


def _parts(box: Bool[np.ndarray, "y x"]) -> list[tuple[list[Edge], dict[Edge, list[Edge]], Bool[np.ndarray, "y x"]]]:
    """The outer loop of each 8-connected part, with the loops to visit on the way: edge -> hole's loop."""
    loops = _loops(box)
    # A hole's leftmost edge goes down (the region is to its left); an outer loop's goes up.
    leftmost = [min((edge for edge in loop if edge[3]), key=lambda edge: edge[:2]) for loop in loops]
    outer = [loop for loop, edge in zip(loops, leftmost, strict=True) if edge[3] < 0]
    detours = {}
    for loop, edge in zip(loops, leftmost, strict=True):
        if edge[3] > 0:
            x, y = edge[:2]
            start = x - int(
                np.argmin(np.append(box[y, :x][::-1], False))
            )  # where the run of the region's pixels begins
            place = loop.index(edge)
            detours[(start, y + 1, 0, -1)] = loop[place:] + loop[:place]
    return [(loop, detours, box) for loop in outer]


def _corners(
    loop: list[Edge], detours: dict[Edge, list[Edge]], box: Bool[np.ndarray, "y x"]
) -> list[tuple[float, float]]:
    """The walk along a loop and its detours as corners inside the region."""
    corners: list[tuple[float, float]] = []
    walks = [(loop, 0)]
    bridges: list[tuple[tuple[float, float], tuple[float, float]]] = []
    while walks:
        edges, i = walks.pop()
        if i == len(edges):
            if bridges:  # back from a hole
                here, there = bridges.pop()
                corners += [there, here]
            continue
        edge = edges[i]
        walks.append((edges, i + 1))
        corners += _corner(edges[i - 1], edge, box)
        hole = detours.get(edge)
        if hole is not None:
            middle = edge[1] - 0.5
            bridges.append(((edge[0] + INSET, middle), (hole[0][0] - INSET, middle)))
            corners += bridges[-1]
            # The bridge arrives in the middle of the hole's first edge, which ends the walk as well.
            walks.append(([*hole, hole[0]], 1))
    return corners


def _corner(before: Edge, after: Edge, box: Bool[np.ndarray, "y x"]) -> list[tuple[float, float]]:
    """What to put where one unit step follows another: nothing on a straight way, else a corner inside the region."""
    x, y, dx, dy = after
    _, _, px, py = before
    if (px, py) == (dx, dy):
        return []
    # The right hand of a step (dx, dy) is (-dy, dx).
    inward = (-py - dy, px + dx)
    if box[y + (inward[1] - 1) // 2, x + (inward[0] - 1) // 2]:
        return [(x + INSET * inward[0], y + INSET * inward[1])]
    # Two pixels that touch at this corner only: from the one into the other, straight through the corner. Readers put
    # more points on the way at even distances: none shall be the corner itself, which counts to a third pixel.
    far = INSET * UNEVEN
    return [
        (x + INSET * (-px - py), y + INSET * (-py + px)),
        (x + far * (dx - dy), y + far * (dy + dx)),
    ]


def fill(corners: Float64[np.ndarray, "corners 2"], height: int, width: int) -> Bool[np.ndarray, "y x"]:
    """Pixels whose centre lies inside an outline, by the even-odd rule; the inverse of ``outline``."""
    toggles = np.zeros((height, width + 1), dtype=bool)
    ends = np.rint(corners).astype(np.int64)  # the pixels' edges, which the corners lie beside
    for (x0, y0), (x1, y1) in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        if x0 == x1:  # the others are horizontal, or bridges, which are walked twice and cancel out
            toggles[min(y0, y1) : max(y0, y1), x0] ^= True
    return np.logical_xor.accumulate(toggles, axis=1)[:, :width]
