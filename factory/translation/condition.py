"""From masks to what a network is conditioned on: a channel for each class, one for "not labelled", one for edges."""

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.array_types import Bool, Float, Int
from labelfactory.errors import InputError
from labelfactory.limits import IGNORE_INDEX


def channels_of(num_classes: int, edges: bool) -> int:
    """Number of channels of a condition."""
    return num_classes + 1 + edges


def condition_of(
    masks: Int[Tensor, "batch height width"],
    num_classes: int,
    instances: Int[Tensor, "batch height width"] | None = None,
) -> Float[Tensor, "batch channels height width"]:
    """One-hot classes, then "not labelled" (255), then the edges of ``instances`` where there are any.

    InputError for a mask with another value.
    """
    wrong = (masks >= num_classes) & (masks != IGNORE_INDEX)
    if bool(wrong.any()):
        found = int(masks[wrong][0])
        raise InputError(f"a mask has value {found}; expected classes 0 to {num_classes - 1}, or {IGNORE_INDEX}")
    known = torch.where(masks == IGNORE_INDEX, num_classes, masks)
    classes = F.one_hot(known.long(), num_classes + 1).movedim(-1, 1).float()
    return classes if instances is None else torch.cat([classes, instance_edges(instances)[:, None].float()], 1)


def instance_edges(instances: Int[Tensor, "batch height width"]) -> Bool[Tensor, "batch height width"]:
    """Pixels whose object differs from one of their four neighbours' (pix2pixHD, arXiv 1711.11585, section 3.3)."""
    edges = torch.zeros(instances.shape, dtype=torch.bool, device=instances.device)
    below = instances[:, 1:] != instances[:, :-1]
    beside = instances[:, :, 1:] != instances[:, :, :-1]
    edges[:, 1:] |= below
    edges[:, :-1] |= below
    edges[:, :, 1:] |= beside
    edges[:, :, :-1] |= beside
    return edges


def soft_condition(
    probabilities: Float[Tensor, "batch classes height width"], unknown: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch channels height width"]:
    """A condition of class probabilities, with gradients; pixels of ``unknown`` are "not labelled" and have none."""
    known = (~unknown)[:, None].to(probabilities.dtype)
    return torch.cat([probabilities * known, 1 - known], 1)
