"""Symmetries of pictures: mirror images and quarter turns."""

import torch
from torch import Tensor


def dihedral(x: Tensor, element: int) -> Tensor:
    """One of the eight symmetries of the square, on the last two axes: transposed first (4 to 7), then turned."""
    if element >= 4:
        x = x.transpose(-1, -2)
    return torch.rot90(x, element % 4, (-2, -1))


def undo_dihedral(x: torch.Tensor, element: int) -> torch.Tensor:
    """The inverse of ``dihedral``: turned back first, then transposed back."""
    x = torch.rot90(x, -(element % 4), (-2, -1))
    return x.transpose(-1, -2) if element >= 4 else x
