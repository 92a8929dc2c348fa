"""Class probabilities of images of any size: overlapping tiles, mirrored borders, blended seams."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.evaluation import evaluate
from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.pairs import Pair, Pairs, collate
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.tasks import TASKS, pairs_for
from labelfactory.interpreters.array_types import Float, Int, UInt8
from labelfactory.progress import Progress

# Tiles start at multiples of this, so that every network's poolings fall on the same pixels as in the whole image.
ALIGN = 32
AT_ONCE = 32  # small pictures that share a batch, where objects are looked for


def predict(
    model: Segmenter,
    image: UInt8[Array, "height width channels"],
    tile: int = 512,
    halo: int = 64,
    blend: int = 32,
    batch_size: int = 4,
    bf16: bool = False,
) -> Float[Array, "classes height width"]:
    """Class probabilities of one image.

    An image that fits a tile goes through whole. A larger one is mirrored at its borders and cut into tiles of
    ``tile`` pixels; of each tile's prediction the outer ``halo`` pixels, which have seen the tile's own border, are
    thrown away, and the next ``blend`` fade into the neighbour. Where ``halo`` is at least the network's reach the
    result is that of the whole image, away from its borders. A network with a ``margin`` (the valid U-Net) always goes
    by mirrored tiles, as in its paper; its margin is its halo.
    """
    height, width, _ = image.shape
    if model.whole or (model.margin == 0 and max(height, width) <= tile):
        return _run(model, image[None], bf16)[0]
    out = tile
    if model.margin:
        tile = model.fitting_size(max(tile, 2 * model.margin + ALIGN + blend))
        out, halo = tile - 2 * model.margin, 0
    step = (out - 2 * halo - blend) // ALIGN * ALIGN
    if step <= 0 or halo < 0 or blend < 0:
        raise InputError(
            f"tiles of {tile} pixels are too small for a halo of {halo} and a blend of {blend}: "
            f"at least {2 * halo + blend + ALIGN + 2 * model.margin}"
        )
    before = -(-(halo + blend) // ALIGN) * ALIGN
    counts = [max(1, -(-(size + before - (out - halo - blend)) // step) + 1) for size in (height, width)]
    after = [(n - 1) * step + out - before - size for n, size in zip(counts, (height, width), strict=True)]
    m = model.margin
    padded = np.pad(
        image, [(before + m, max(0, after[0]) + m), (before + m, max(0, after[1]) + m), (0, 0)], "symmetric"
    )
    window = np.outer(ramp(out, halo, blend), ramp(out, halo, blend))
    extent = [before + max(0, a) + size for a, size in zip(after, (height, width), strict=True)]
    total = np.zeros((model.num_classes, *extent), np.float32)
    weight = np.zeros(extent, np.float32)
    corners = [(row * step, column * step) for row in range(counts[0]) for column in range(counts[1])]
    for start in range(0, len(corners), batch_size):
        some = corners[start : start + batch_size]
        tiles = np.stack([padded[y : y + tile, x : x + tile] for y, x in some])
        for (y, x), p in zip(some, _run(model, tiles, bf16), strict=True):
            total[:, y : y + out, x : x + out] += p * window
            weight[y : y + out, x : x + out] += window
    inside = np.s_[before : before + height, before : before + width]
    return total[:, inside[0], inside[1]] / weight[inside]


def ramp(size: int, halo: int, blend: int) -> Float[Array, "size"]:
    """0 over ``halo`` pixels, rising over ``blend``, 1 in the middle, and the same backwards."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) - halo
    return np.clip((distance + 0.5) / max(blend, 0.5), 0, 1).astype(np.float32)


def predict_pairs(
    model: Segmenter, pairs: Pairs, batch_size: int = 64, bf16: bool = False, tile: int = 512
) -> Iterator[tuple[Pair, Float[Array, "classes height width"]]]:
    """Each pair with its class probabilities; small images of one size share a batch."""
    for start in range(0, len(pairs), batch_size):
        some = pairs.fetch(range(start, min(start + batch_size, len(pairs))))
        sizes = {p.image.shape for p in some}
        if len(sizes) == 1 and max(next(iter(sizes))[:2]) <= min(tile, 128) and model.margin == 0:
            yield from zip(some, _run(model, collate(some)[0], bf16), strict=True)
        else:
            yield from ((pair, predict(model, pair.image, tile, bf16=bf16)) for pair in some)


def judged(
    model: Network, pairs: Pairs, bf16: bool = False, tile: int = 512, progress: bool = True
) -> Iterator[tuple[Pair, Predicted]]:
    """Each labelled pair with what the model says of it, for ``evaluation.evaluate``."""
    if isinstance(model, Segmenter) and model.task == "semantic":
        found = predict_pairs(model, pairs, bf16=bf16, tile=tile)
        for pair, probabilities in Progress(found, total=len(pairs), unit="image", disable=not progress):
            yield pair, Predicted(probabilities.argmax(0).astype(np.uint8), probabilities)
        return
    with Progress(total=len(pairs), unit="image", disable=not progress) as bar:
        for start in range(0, len(pairs), AT_ONCE):
            some = pairs.fetch(range(start, min(start + AT_ONCE, len(pairs))))
            alike = len({p.image.shape for p in some}) == 1 and max(some[0].image.shape[:2]) <= 128
            for group in [some] if alike else [[pair] for pair in some]:
                yield from zip(group, find(model, np.stack([p.image for p in group]), bf16), strict=True)
                bar.update(len(group))


def find(model: Network, images: UInt8[Array, "batch height width channels"], bf16: bool = False) -> list[Predicted]:
    """What a network of whatever task says of images of one size, each seen whole."""
    device = next(model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        return model.found(torch.from_numpy(np.ascontiguousarray(images)).to(device))


def validated(model: Network, pairs: Pairs, bf16: bool = False) -> tuple[str, float]:
    """Name and value of the score that validation goes by (``tasks.TASKS``)."""
    if isinstance(model, Segmenter) and model.task == "semantic":
        return "miou", float(scores(dataset_confusion(model, pairs, bf16=bf16)).miou)
    aim, figure = model.aim, TASKS[model.task].figure
    assert aim is not None
    found = evaluate(judged(model, pairs_for(aim, pairs), bf16, progress=False), aim.classes, 2, 0, aim.keypoints)
    return figure, found.overall[figure].value if figure in found.overall else math.nan


def dataset_confusion(
    model: Segmenter, pairs: Pairs, batch_size: int = 64, bf16: bool = False
) -> Int[Array, "classes classes"]:
    """The confusion matrix over all pairs."""
    total = np.zeros((model.num_classes, model.num_classes), np.int64)
    for pair, p in predict_pairs(model, pairs, batch_size, bf16):
        total += confusion_matrix(pair.mask, p.argmax(0), model.num_classes)
    return total


def _run(
    model: Segmenter, images: UInt8[Array, "batch height width channels"], bf16: bool
) -> Float[Array, "batch classes out_height out_width"]:
    device = next(model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        return model.probabilities(torch.from_numpy(np.ascontiguousarray(images))).cpu().numpy()
