"""Regions of a mask, and their run lengths; ``outlines`` has their polygons."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8, UInt16

from labelfactory.masks import connected_objects, countable
from labelfactory.storage.spec import DatasetSpec


@dataclass(frozen=True)
class Segment:
    """One region: a thing's connected part (or instance), or all of a stuff class in the image.

    ``number`` is that of the object in the store, 0 where it has none.
    """

    class_id: int
    thing: bool
    pixels: Bool[np.ndarray, "y x"]
    number: int = 0

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
    (0: no instance, then split by connection); a stuff class is one region, and so is a ``boundary``, which is no
    object itself. Ignored pixels belong to none.
    """
    things, boundary = countable(spec.classes)
    for class_id in range(len(spec.classes)):
        pixels = mask == class_id
        if not pixels.any():
            continue
        if class_id not in things:
            yield Segment(class_id, False, pixels)
            continue
        if instance is not None:
            for number in np.unique(instance[pixels & (instance > 0)]):
                yield Segment(class_id, True, pixels & (instance == number), int(number))
            pixels = pixels & (instance == 0)
        numbers, found = connected_objects(pixels, [True], boundary)
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
