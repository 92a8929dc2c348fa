"""Factored inference on a GPU: a few matrix products, then one fused kernel (triton_kernel.py)."""

import importlib.util
from collections.abc import Sequence

import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float, Int
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.ensemble import Ensemble
from labelfactory.interpreters.folding import Folded, folded
from labelfactory.interpreters.levels import Level, split_levels
from labelfactory.interpreters.prediction import Prediction
from labelfactory.interpreters.uncertainty import image_score

TILE_H, TILE_W = 8, 16
TAPS = 16  # the smallest depth of a tensor core product
WIDTHS = (16, 32, 64, 128, 256)  # of hidden layers that the kernel is written for


def available(model: Ensemble, device: torch.device) -> bool:
    """True where Triton is installed, the device can run it, and the members have a shape that the kernel knows."""
    has_triton = importlib.util.find_spec("triton") is not None
    return has_triton and device.type == "cuda" and suits(model)


def suits(model: Ensemble) -> bool:
    return len(model.hidden) == 2 and all(width in WIDTHS for width in model.hidden)


@torch.no_grad()
def predict(
    model: Ensemble,
    feature_maps: Sequence[Float[Tensor, "batch _ _ _"]],
    dtype: torch.dtype,
    budget: int,
    crop: Crop | None = None,
) -> Prediction:
    """Products in ``dtype`` with float32 sums; projections of as many images at a time as fit the budget.

    A crop is taken from the whole: the kernel is so fast that the rows outside cost less than another way of its own.
    """
    size = model.output_size(feature_maps)
    batch, device = len(feature_maps[0]), feature_maps[0].device
    weights = folded(model, dtype, device)
    lower, top = split_levels(weights, feature_maps, size)
    units = weights.first.shape[1]
    sources = sum(v.height * v.width for v in lower)
    group = min(batch, max(1, budget // max(1, sources * units * weights.first.element_size())))
    projected = torch.empty(group, max(1, sources), units, dtype=dtype, device=device)
    mask = torch.empty(batch, *size, dtype=torch.uint8, device=device)
    uncertainty = torch.empty(batch, *size, device=device)
    chunks = tap_chunks(lower, size).to(device)
    layers = _kernel_weights(weights, model.outputs)
    for start in range(0, batch, group):
        count = min(group, batch - start)
        images, offset = slice(start, start + count), 0
        for level in lower:
            n = level.height * level.width
            inputs = level.inputs(images, slice(None), slice(None), dtype).transpose(1, 2)
            weight = level.weight.expand(count, -1, -1)
            torch.bmm(inputs, weight, out=projected[:count, offset : offset + n])
            offset += n
        _launch(model, projected, chunks, top, images, layers, mask[images], uncertainty[images])
    if crop is not None:
        mask, uncertainty = (t[:, *crop.slices].contiguous() for t in (mask, uncertainty))
    return Prediction(mask, uncertainty.half(), image_score(uncertainty))


def tap_chunks(lower: list[Level], size: tuple[int, int]) -> Int[Tensor, "chunks 5"]:
    """The source pixels that a tile's pixels may need, cut into portions of ``TAPS``.

    One row per portion: first source pixel, height and width of its level; first tap, taps a row.
    """
    rows, offset = [], 0
    for v in lower:
        # centres of a tile's pixels span (tile - 1) source steps: from any phase that touches at most floor + 2 taps
        high = min(v.height, (TILE_H - 1) * v.height // size[0] + 3)
        wide = min(v.width, (TILE_W - 1) * v.width // size[1] + 3)
        rows += [(offset, v.height, v.width, first, wide) for first in range(0, high * wide, TAPS)]
        offset += v.height * v.width
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 5)


def _kernel_weights(folded: Folded, num_classes: int) -> tuple[Tensor, ...]:
    """Second and third layers; classes padded to a power of two that can never win."""
    (weight2, bias2), (weight3, bias3) = folded.hidden
    padding = max(16, 1 << (num_classes - 1).bit_length()) - num_classes
    return (
        weight2.contiguous(),
        bias2[:, 0].contiguous(),
        torch.nn.functional.pad(weight3.to(weight2.dtype), (0, padding)).contiguous(),
        torch.nn.functional.pad(bias3[:, 0].float(), (0, padding), value=-1e30).contiguous(),
    )


def _launch(
    model: Ensemble,
    projected: Float[Tensor, "group sources units"],
    chunks: Int[Tensor, "chunks 5"],
    top: Level | None,
    images: slice,
    weights: tuple[Tensor, ...],
    mask: Tensor,
    uncertainty: Tensor,
) -> None:
    from labelfactory.interpreters.triton_kernel import label_tiles

    dtype, device = projected.dtype, projected.device
    count, height, width = mask.shape
    if top:
        seen = top.inputs(images, slice(None), slice(None), dtype)[:, :-1]  # the kernel has the bias apart
        features, top_weight, top_bias = seen.unflatten(2, (height, width)), top.weight, top.weight[-1]
    else:
        features = torch.empty(count, 0, height, width, dtype=dtype, device=device)
        top_weight = torch.empty(0, projected.shape[2], dtype=dtype, device=device)
        top_bias = torch.zeros(projected.shape[2], dtype=dtype, device=device)
    grid = (-(-width // TILE_W), -(-height // TILE_H), count)
    label_tiles[grid](
        projected,
        chunks,
        len(chunks),
        features,
        top_weight,
        top_bias,
        *weights,
        mask,
        uncertainty,
        height,
        width,
        projected.stride(0),
        features.stride(0),
        TOP=features.shape[1],
        MEMBERS=model.members,
        H1=model.hidden[0],
        H2=model.hidden[1],
        CLASSES_PADDED=weights[2].shape[2],
        TILE_H=TILE_H,
        TILE_W=TILE_W,
        TAPS=TAPS,
        TOP_BLOCK=32,
        PRECISION="ieee",
        num_warps=8 if model.hidden[0] >= 128 else 4,
    )
