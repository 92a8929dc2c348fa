"""Whether an indexed picture's values or its colours say which class a pixel has."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.classes import LabelClass
from labelfactory.limits import IGNORE_INDEX
from labelfactory.palette import IGNORE_COLOR, Color

SAY_WHICH = "say which counts: --map INDEX=CLASS for indices, --map '#rrggbb=CLASS' for colours"


def meanings(classes: Sequence[LabelClass]) -> dict[Color, list[int]]:
    """Mask values that each colour stands for: one, or several where classes share a colour."""
    table: dict[Color, list[int]] = {}
    for value, color in [*((i, c.color) for i, c in enumerate(classes)), (IGNORE_INDEX, IGNORE_COLOR)]:
        table.setdefault(color, []).append(value)
    return table


def value_name(value: int, classes: Sequence[LabelClass]) -> str:
    """What a mask value is called in messages."""
    return classes[value].name if value < len(classes) else "not labelled" if value == IGNORE_INDEX else "no class"


def palette_colors(image: Image.Image) -> dict[int, Color]:
    """Colour of every value that occurs in an indexed picture; nothing for a palette that is only a grey ramp.

    Many writers fill a palette up with black: of the black entries at its end only the first can be a colour.
    """
    flat = image.getpalette("RGB") or []
    used = np.unique(np.asarray(image)).tolist()
    colored = [i // 3 for i, v in enumerate(flat) if v]
    end = min(colored[-1] + 2, len(flat) // 3) if colored else len(flat) // 3
    colors = {v: (flat[3 * v], flat[3 * v + 1], flat[3 * v + 2]) for v in used if v < end}
    return {} if all(color == (v, v, v) for v, color in colors.items()) else colors


def recoded(image: Image.Image, classes: Sequence[LabelClass], where: str, do: str) -> dict[int, int] | None:
    """Mask value of each index of an indexed picture whose palette is in another order than the classes; None where
    the indices are the mask values.

    The indices count where the palette shows each in its class's colour, or where none of its colours belongs to
    another class. The colours count where each that occurs stands for exactly one class.

    Raises:
        InputError: both could be meant. The line names both readings and ends with ``do``.
    """
    colors, known = palette_colors(image), meanings(classes)
    other = {v: known[c] for v, c in colors.items() if c in known and v not in known[c]}
    if not other:
        return None
    by_color = {v: known[c][0] for v, c in colors.items() if len(known.get(c, ())) == 1}
    if len(by_color) == len(np.unique(np.asarray(image))) and len(set(by_color.values())) == len(by_color):
        return by_color
    value, meant = next(iter(other.items()))
    names = " or ".join(repr(value_name(v, classes)) for v in meant)
    raise InputError(
        f"{where}: index {value} is class {value_name(value, classes)!r}, but its colour {colors[value]} is that of "
        f"{names}, and neither reading fits all of the picture; {do}"
    )
