"""The eight symmetries of the square, each a number: 0 to 3 are quarter turns, 4 to 7 are transposed first."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float, Int

RECTANGLE = (0, 2, 7, 5)
"""The symmetries that a rectangle has: itself, half a turn, mirrored left to right, and upside down."""

Pixels = TypeVar("Pixels", Tensor, np.ndarray)
Number = TypeVar("Number", int, Tensor)


def element(mirrored: Number, turns: Number) -> Number:
    """The number (or numbers) of "mirrored left to right, then turned counter-clockwise by ``turns`` quarters"."""
    return (turns + 3 * mirrored) % 4 + 4 * mirrored


def dihedral(x: Pixels, element: int, axes: tuple[int, int] = (-2, -1)) -> Pixels:
    """One symmetry of pictures whose rows and columns are ``axes``: transposed (4 to 7), then turned."""
    if element >= 4:
        x = x.swapaxes(*axes)
    return _quarter_turns(x, element % 4, axes)


def undo_dihedral(x: Pixels, element: int, axes: tuple[int, int] = (-2, -1)) -> Pixels:
    """The inverse of ``dihedral``: turned back first, then transposed back."""
    x = _quarter_turns(x, -element % 4, axes)
    return x.swapaxes(*axes) if element >= 4 else x


def dihedral_each(
    x: Float[Tensor, "batch *rest"] | Int[Tensor, "batch *rest"], elements: Int[Tensor, "batch"]
) -> Float[Tensor, "batch *rest"] | Int[Tensor, "batch *rest"]:
    """Each picture of a batch with a symmetry of its own, which has to keep the pictures' size."""
    out = x.clone()
    for number in range(1, 8):
        rows = (elements == number).nonzero().squeeze(1).to(x.device)
        if len(rows):
            out[rows] = dihedral(x[rows], number)
    return out


def dihedral_points(
    points: Float[np.ndarray, "points 2"], element: int, height: int, width: int
) -> Float[np.ndarray, "points 2"]:
    """Where ``dihedral`` moves points (x, y in pixels) of a picture of this size."""
    x, y = points.T
    if element >= 4:
        x, y, height, width = y, x, width, height
    moved = ((x, y), (y, width - x), (width - x, height - y), (height - y, x))[element % 4]
    return np.stack(moved, 1)


def _quarter_turns(x: Pixels, turns: int, axes: tuple[int, int]) -> Pixels:
    return torch.rot90(x, turns, axes) if isinstance(x, Tensor) else np.rot90(x, turns, axes)
