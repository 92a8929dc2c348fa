"""Keypoints of drawings, in the order of the label set's names."""

from collections.abc import Mapping

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.formats.drawing import Drawing


def keypoint_names(drawings: Mapping[str, Drawing], declared: tuple[str, ...], unknown: str) -> tuple[str, ...]:
    """The names that samples will have: the declared ones; without any, or with ``unknown`` "add", the source's too.

    InputError names the first point whose name is not declared, unless ``unknown`` is "ignore".
    """
    found = {k.label: k.where for d in drawings.values() for k in d.keypoints}
    new = [name for name in found if name not in declared]
    if not declared or unknown == "add":
        return (*declared, *new)
    if new and unknown == "refuse":
        names = ", ".join(declared)
        raise InputError(f"{found[new[0]]}: no keypoint is called {new[0]!r}; the set has {names}")
    return declared


def place_keypoints(drawing: Drawing, names: tuple[str, ...]) -> Float[np.ndarray, "keypoints 3"]:
    """x, y and visibility (0 not drawn, 1 hidden, 2 visible) by name. InputError where one is drawn twice."""
    out = np.zeros((len(names), 3), dtype=np.float32)
    for point in drawing.keypoints:
        if point.label not in names:
            continue
        row = names.index(point.label)
        if out[row, 2]:
            raise InputError(f"{point.where}: keypoint {point.label!r} is drawn twice in one image; remove one")
        out[row] = point.x, point.y, 2 if point.visible else 1
    return out
