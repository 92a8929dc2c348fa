"""Regions of a mask, and the two ways in which other formats write them down: run lengths and polygons."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt16

from labelfactory.masks import connected_objects, countable
from labelfactory.storage.spec import DatasetSpec


@dataclass(frozen=True)
class Segment:
    """One region: a thing's connected part (or instance), or all of a stuff class in the image."""

    class_id: int
    thing: bool
    pixels: Bool[np.ndarray, "y x"]

    @property
    def area(self) -> int:
        return int(self.pixels.sum())

    @property
    def box(self) -> list[int]:
        """x, y, width, height in pixels."""
        rows, columns = np.flatnonzero(self.pixels.any(axis=1)), np.flatnonzero(self.pixels.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def segments(
    spec: DatasetSpec, mask: UInt8[np.ndarray, "y x"], instance: UInt16[np.ndarray, "y x"] | None = None
) -> Iterator[Segment]:
    """All regions of one mask in a fixed order.

    Things are split into connected parts (``masks.connected_objects``), or by ``instance`` ids where the store has them
    (0: no instance, then split by connection); a stuff class is one region. Ignored pixels belong to none.
    """
    _, boundary = countable(spec.classes)
    for class_id, info in enumerate(spec.classes):
        pixels = mask == class_id
        if not pixels.any():
            continue
        if not info.thing:
            yield Segment(class_id, False, pixels)
            continue
        if instance is not None:
            for number in np.unique(instance[pixels & (instance > 0)]):
                yield Segment(class_id, True, pixels & (instance == number))
            pixels = pixels & (instance == 0)
        numbers, found = connected_objects(pixels, [True], None if class_id == boundary else boundary)
        for number in range(1, len(found) + 1):
            yield Segment(class_id, True, numbers == number)


def run_lengths(pixels: Bool[np.ndarray, "y x"]) -> list[int]:
    """COCO's run lengths: column by column, starting with the zeros."""
    flat = np.concatenate([[False], pixels.ravel(order="F"), [not pixels[-1, -1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(ends, prepend=0).tolist()


def compressed_run_lengths(counts: list[int]) -> str:
    """COCO's text form: from the third run on the difference to the run before the last, in groups of five bits."""
    letters = []
    for i, count in enumerate(counts):
        value, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            letters.append(chr((bits | (0x20 if more else 0)) + 48))
    return "".join(letters)


def polygon(pixels: Bool[np.ndarray, "y x"]) -> Int[np.ndarray, "corners 2"]:
    """The outline of one 8-connected region along pixel edges, as x, y of pixel corners (0 to width, 0 to height).

    Filling it by the even-odd rule gives back exactly the region. Holes, and parts that do not touch, are joined by
    bridges without width that are walked there and back.
    """
    loops = _loops(pixels)
    merged = loops[0]
    for loop in loops[1:]:
        distance = np.abs(merged[:, None] - loop[None]).sum(-1)
        i, j = np.unravel_index(int(distance.argmin()), distance.shape)
        merged = np.concatenate([merged[: i + 1], loop[j:], loop[: j + 1], merged[i:]])
    return merged


def _loops(pixels: Bool[np.ndarray, "y x"]) -> list[Int[np.ndarray, "corners 2"]]:
    """Closed walks along all edges between the region and the rest, with the region on the right hand."""
    padded = np.pad(pixels, 1)
    inside = padded[1:-1, 1:-1]
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # For each side of a pixel: its neighbour there, and the step along that side with the pixel on the right.
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # top, going right
        (padded[1:-1, 2:], (1, 0), (0, 1)),  # right, going down
        (padded[2:, 1:-1], (1, 1), (-1, 0)),  # bottom, going left
        (padded[1:-1, :-2], (0, 1), (0, -1)),  # left, going up
    )
    for neighbour, (dx, dy), step in sides:
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            following.setdefault((x + dx, y + dy), []).append(step)
    loops = []
    while following:
        start = next(iter(following))
        at, came, corners = start, (0, 0), []
        while at in following:
            steps = following[at]
            # Where two pixels touch at a corner only, turning left goes on along the other one: 8-connected.
            left = (came[1], -came[0])
            step = left if left in steps else steps[0]
            steps.remove(step)
            if not steps:
                del following[at]
            if step != came:
                corners.append(at)
            at, came = (at[0] + step[0], at[1] + step[1]), step
        loops.append(np.array(corners, dtype=np.int64))
    return loops


def fill_polygon(corners: Int[np.ndarray, "corners 2"], height: int, width: int) -> Bool[np.ndarray, "y x"]:
    """Pixels inside an outline along pixel edges, by the even-odd rule; the inverse of ``polygon``."""
    toggles = np.zeros((height, width + 1), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if x0 == x1:  # slanted ones are bridges, which are walked twice and cancel out
            toggles[min(y0, y1) : max(y0, y1), x0] ^= True
    return np.logical_xor.accumulate(toggles, axis=1)[:, :width]
