"""Pixels of files (0 to 255) and of networks ([-1, 1])."""

import numpy as np
import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float, UInt8


def to_uint8(images: Float[Tensor, "batch channels height width"]) -> UInt8[Tensor, "batch channels height width"]:
    """[-1, 1] to 0 … 255, as sampling does it."""
    return (images.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def from_uint8(images: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """0 … 255 to [-1, 1]."""
    return images.float() / 127.5 - 1


def to_float(images: UInt8[np.ndarray, "batch height width channels"], device: torch.device) -> Tensor:
    """uint8 pictures as the networks see them: [batch, channels, height, width] in [-1, 1]."""
    return from_uint8(torch.from_numpy(images.copy()).to(device).permute(0, 3, 1, 2))
