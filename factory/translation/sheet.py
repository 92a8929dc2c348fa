"""A sheet of what is made, row by row, as a picture."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from labelfactory.array_types import Float, Int, UInt8
from labelfactory.factory.pixels import to_uint8
from labelfactory.palette import Color, color_table


def painted(masks: Int[Tensor, "batch height width"], colors: list[Color]) -> Float[Tensor, "batch 3 height width"]:
    """Masks in their classes' colours, in [-1, 1]."""
    table = torch.from_numpy(color_table(colors).copy()).to(masks.device)
    return table[masks.long()].permute(0, 3, 1, 2).float() / 127.5 - 1


def sheet_of(panels: list[Float[Tensor, "batch channels height width"]]) -> Image.Image:
    """A row for each sample of the batch, the panels beside each other."""
    columns = [grey_as_colour(to_uint8(panel).cpu().numpy()) for panel in panels]
    rows = [np.concatenate([column[i] for column in columns], axis=1) for i in range(len(columns[0]))]
    return Image.fromarray(np.concatenate(rows, axis=0))


def grey_as_colour(pictures: UInt8[np.ndarray, "batch channels height width"]) -> np.ndarray:
    """Channels last, three of them."""
    return np.broadcast_to(pictures.transpose(0, 2, 3, 1), (*pictures.shape[:1], *pictures.shape[2:], 3))
