"""Classes: their names and colours; a class's place in its list is its id in masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.limits import IGNORE_INDEX as IGNORE_INDEX
from labelfactory.limits import MAX_CLASSES
from labelfactory.masks import is_thing

# Okabe & Ito (2008): eight colours that people of every colour vision tell apart.
OKABE_ITO = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115),
    (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
IGNORE_COLOR = (128, 128, 128)


@dataclass(frozen=True)
class LabelClass:
    """One class: its index in the list is its id in masks.

    thing: whether its regions are countable objects (instances); None: not declared (see ``is_thing``).
    """

    name: str
    color: tuple[int, int, int]
    thing: bool | None = None

    @property
    def is_thing(self) -> bool:
        """Whether its regions are countable objects: as declared, by default where it is not the background."""
        return is_thing(self.name, self.thing)


NUCLEI_CLASSES = (
    LabelClass("background", OKABE_ITO[0], thing=False),
    LabelClass("nucleus", OKABE_ITO[1], thing=True),
    LabelClass("neighbour", OKABE_ITO[2], thing=True),
)
"""The classes of the bundled nuclei64 generator's label set."""


def parse_class(data: Any, where: str) -> LabelClass:
    """One class from its JSON object: ``{"name": ..., "color": [r, g, b], "thing": false}``."""
    color = [checked(v, int, f'{where}: "color"') for v in field(data, "color", list, where)]
    if len(color) != 3 or not all(0 <= v <= 255 for v in color):
        raise InputError(f'{where}: "color" {color} is not three integers from 0 to 255')
    return LabelClass(
        field(data, "name", str, where), (color[0], color[1], color[2]), field(data, "thing", bool, where, None)
    )


def check_classes(classes: Sequence[LabelClass], where: str = "classes") -> None:
    """InputError unless there are 1 to 255 classes, each with a name of its own."""
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise InputError(f"{where}: {len(classes)} classes; expected 1 to {MAX_CLASSES}")
    names = [c.name for c in classes]
    for name in names:
        if not name.strip() or not name.isprintable():
            raise InputError(f"{where}: class name {name!r} is empty or has unprintable characters")
        if names.count(name) > 1:
            raise InputError(f"{where}: class {name!r} is listed {names.count(name)} times; names have to differ")


def palette(classes: Sequence[LabelClass]) -> UInt8[np.ndarray, "256 3"]:
    """Colour of every mask value; grey for "not labelled" and for ids without a class."""
    table = np.full((256, 3), IGNORE_COLOR, dtype=np.uint8)
    table[: len(classes)] = [c.color for c in classes]
    return table
