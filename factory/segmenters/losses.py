"""Losses of the segmenters, with weights per class and per pixel."""

import torch.nn.functional as F
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.settings import LOSSES
from labelfactory.interpreters.array_types import Float, Int
from labelfactory.limits import IGNORE_INDEX


def cross_entropy(
    logits: Float[Tensor, "batch classes height width"],
    target: Int[Tensor, "batch height width"],
    pixel_weights: Float[Tensor, "batch height width"] | None = None,
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, ""]:
    """Weighted mean of -log p_target over the pixels that are not ignored (U-Net, equation 1)."""
    per_pixel = F.cross_entropy(logits, target, weight=class_weights, ignore_index=IGNORE_INDEX, reduction="none")
    weight = (target != IGNORE_INDEX).to(logits.dtype)
    if class_weights is not None:
        weight = weight * class_weights[target.clamp(max=logits.shape[1] - 1)]
    if pixel_weights is not None:
        per_pixel = per_pixel * pixel_weights
        weight = weight * pixel_weights
    return per_pixel.sum() / weight.sum().clamp_min(1e-6)


def dice_loss(
    logits: Float[Tensor, "batch classes height width"],
    target: Int[Tensor, "batch height width"],
    pixel_weights: Float[Tensor, "batch height width"] | None = None,
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, ""]:
    """1 - soft Dice over the batch, mean of the classes that occur (Milletari et al., 2016, with p + g below)."""
    weight = (target != IGNORE_INDEX).to(logits.dtype)
    if pixel_weights is not None:
        weight = weight * pixel_weights
    p = logits.softmax(1) * weight[:, None]
    g = F.one_hot(target.masked_fill(target == IGNORE_INDEX, 0), logits.shape[1]).movedim(-1, 1) * weight[:, None]
    overlap, size = (p * g).sum((0, 2, 3)), (p + g).sum((0, 2, 3))
    dice = 2 * overlap / size.clamp_min(1e-6)
    w = (g.sum((0, 2, 3)) > 0).to(logits.dtype)
    if class_weights is not None:
        w = w * class_weights
    return ((1 - dice) * w).sum() / w.sum().clamp_min(1e-6)


def segmentation_loss(
    kind: str,
    logits: Float[Tensor, "batch classes height width"],
    target: Int[Tensor, "batch height width"],
    pixel_weights: Float[Tensor, "batch height width"] | None = None,
    class_weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy, dice, or their sum (``kind`` is one of ``LOSSES``)."""
    if kind not in LOSSES:
        raise InputError(f"unknown loss {kind!r}: choose one of {', '.join(LOSSES)}")
    loss = logits.new_zeros(())
    if "ce" in kind:
        loss = loss + cross_entropy(logits, target, pixel_weights, class_weights)
    if "dice" in kind:
        loss = loss + dice_loss(logits, target, pixel_weights, class_weights)
    return loss
