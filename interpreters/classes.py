"""Classes: their names and colours; a class's place in its list is its id in masks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.limits import MAX_CLASSES
from labelfactory.masks import is_thing
from labelfactory.palette import IGNORE_COLOR, OKABE_ITO, Color, color_table

GRID = (0, 36, 73, 109, 146, 182, 219, 255)  # 512 colours to choose further ones from


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


def name_classes(names: Iterable[str]) -> tuple[LabelClass, ...]:
    """Classes of these names, in colours that differ."""
    called = tuple(names)
    return tuple(LabelClass(n, c) for n, c in zip(called, new_colors(len(called)), strict=True))


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


def new_colors(count: int, taken: Iterable[Color] = ()) -> tuple[Color, ...]:
    """``count`` colours for classes, all different and different from those ``taken`` and from "not labelled".

    The first eight without any taken are Okabe and Ito's, the first of them black, the background's. Further ones are
    each the colour of a grid that lies furthest from all before it in CIELAB (1976), so that 255 stay apart.
    """
    used = set(taken)
    ready = OKABE_ITO[1:] if used else OKABE_ITO
    chosen = [c for c in ready if c not in used][:count]
    grid = np.array([(r, g, b) for r in GRID for g in GRID for b in GRID])
    places = cielab(grid)
    distance = np.full(len(grid), np.inf)
    for color in [*chosen, *used, OKABE_ITO[0], IGNORE_COLOR]:
        distance = np.minimum(distance, ((places - cielab(np.array([color]))) ** 2).sum(1))
    while len(chosen) < count:
        best = int(distance.argmax())
        r, g, b = grid[best].tolist()
        chosen.append((r, g, b))
        distance = np.minimum(distance, ((places - places[best]) ** 2).sum(1))
    return tuple(chosen)


def cielab(rgb: np.ndarray) -> Float[np.ndarray, "colors 3"]:
    """L*, a*, b* of sRGB colours (0 to 255) under D65."""
    linear = np.where(rgb <= 10.31475, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(f > (6 / 29) ** 3, np.cbrt(f), f / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def palette(classes: Sequence[LabelClass]) -> UInt8[np.ndarray, "256 3"]:
    """Colour of every mask value; grey for "not labelled" and for ids without a class."""
    return color_table([c.color for c in classes])
