"""What a class mask says of objects: the rules that stores, label sets, training and scores must share."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from labelfactory.array_types import Int, Shaped

BACKGROUND = "background"
"""The class of this name is no object unless somebody says so."""

BOUNDARY = "boundary"
"""The class of this name was drawn where objects touch: it keeps them apart and is none itself."""


class Declared(Protocol):
    """A class as label sets and stores describe it."""

    @property
    def name(self) -> str: ...

    @property
    def thing(self) -> bool | None: ...


def is_thing(name: str, said: bool | None) -> bool:
    """Whether a class's regions are countable objects: as ``said``, by default every class but the background."""
    return name != BACKGROUND if said is None else said


def countable(classes: Sequence[Declared]) -> tuple[list[int], int | None]:
    """Ids of the classes whose regions are objects, and the id of the boundary class (None where there is none)."""
    boundary = next((i for i, c in enumerate(classes) if c.name == BOUNDARY), None)
    return [i for i, c in enumerate(classes) if is_thing(c.name, c.thing) and i != boundary], boundary


def connected_objects(
    mask: Shaped[np.ndarray, "height width"], things: Sequence[int], boundary: int | None = None
) -> tuple[Int[np.ndarray, "height width"], Int[np.ndarray, "objects"]]:
    """The connected parts of each class of ``things``, numbered from 1 (0: no object), and the class of each.

    Pixels that touch at a corner are connected. Where the classes have a ``boundary`` they are not, as a line of one
    pixel that runs diagonally could not keep two objects apart otherwise.
    """
    from scipy import ndimage

    structure = np.ones((3, 3)) if boundary is None else None
    numbers = np.zeros(mask.shape, np.int64)
    classes: list[int] = []
    for thing in things:
        parts, count = ndimage.label(mask == thing, structure=structure)
        numbers[parts > 0] = parts[parts > 0] + len(classes)
        classes += [thing] * int(count)
    return numbers, np.array(classes, np.int64)
