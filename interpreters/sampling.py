"""Which labelled pixels an interpreter learns from, and their feature vectors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from interpreters.errors import InputError
from interpreters.lookup import hypercolumns
from interpreters.shapes import Float, Int, UInt8

if TYPE_CHECKING:
    from interpreters.interpreter import StyleInterpreter


@dataclass
class PixelTable:
    """Feature vectors of sampled pixels (float16, not standardised), their labels, and the image of each."""

    features: Float[Tensor, "pixels channels"]
    labels: UInt8[Tensor, "pixels"]
    image: Int[Tensor, "pixels"]


def regions(mask: UInt8[Tensor, "height width"]) -> Int[Tensor, "height width"]:
    """A number per pixel, equal within each connected region (4-neighbourhood) of one class."""
    classes = mask.numpy()
    names = np.arange(classes.size).reshape(classes.shape)
    vertical, horizontal = classes[1:] == classes[:-1], classes[:, 1:] == classes[:, :-1]
    while True:
        before = names.copy()
        for a, b, same in (
            (names[1:], names[:-1], vertical),
            (names[:, 1:], names[:, :-1], horizontal),
        ):
            low = np.minimum(a, b)  # a and b share memory
            np.minimum(a, low, out=a, where=same)
            np.minimum(b, low, out=b, where=same)
        names = names.ravel()[names]  # follow each name to the name of the pixel it was taken from
        if np.array_equal(names, before):
            return torch.from_numpy(names)


def choose_pixels(
    mask: UInt8[Tensor, "height width"], count: int, ignore_index: int, generator: torch.Generator
) -> Int[Tensor, "pixels"]:
    """Flat indices of at most ``count`` labelled pixels, at random, with every labelled region present.

    More than ``count`` only where there are more regions than that.
    """
    labelled = torch.nonzero(mask.flatten() != ignore_index)[:, 0]
    shuffled = labelled[torch.randperm(len(labelled), generator=generator)]
    _, first = np.unique(regions(mask).flatten()[shuffled].numpy(), return_index=True)
    is_first = torch.zeros(len(shuffled), dtype=torch.bool)
    is_first[torch.from_numpy(first)] = True
    return torch.cat([shuffled[is_first], shuffled[~is_first][: max(0, count - len(first))]])


def collect(
    model: "StyleInterpreter",
    samples: Iterable[tuple[Sequence[Tensor], Tensor]],
    ignore_index: int,
    pixels_per_image: int,
    generator: torch.Generator,
) -> PixelTable:
    """Read every sample once and keep the feature vectors of its chosen pixels."""
    features, labels, image = [], [], []
    for number, (maps, mask) in enumerate(samples):
        where = f"labelled sample {number}"
        maps = [f.detach() if f.ndim == 4 else f.detach()[None] for f in maps]
        size = model.output_size(maps)
        if len(maps[0]) != 1:
            raise InputError(f"{where}: feature maps of {len(maps[0])} images; expected one image's maps per mask")
        if mask.dtype != torch.uint8 or tuple(mask.shape) != size:
            raise InputError(
                f"{where}: mask is {str(mask.dtype).removeprefix('torch.')} of shape {tuple(mask.shape)}; "
                f"expected uint8 of shape {size}, the largest feature map's"
            )
        mask = mask.cpu()
        worst = mask[mask != ignore_index]
        if len(worst) and int(worst.max()) >= model.num_classes:
            raise InputError(
                f"{where}: mask has class id {int(worst.max())}; expected 0 to {model.num_classes - 1}, "
                f"or {ignore_index} for unlabelled"
            )
        pixels = choose_pixels(mask, pixels_per_image, ignore_index, generator)
        if len(pixels) == 0:
            continue
        flat = pixels.to(maps[0].device)
        vectors = hypercolumns([f[0] for f in maps], flat // size[1], flat % size[1], size).half().cpu()
        if not bool(vectors.isfinite().all()):
            raise InputError(
                f"{where}: feature maps hold values that are not finite or beyond 65504; check the generator"
            )
        features.append(vectors)
        labels.append(mask.flatten()[pixels])
        image.append(torch.full((len(pixels),), number))
    if not labels or len(torch.unique(torch.cat(labels))) < 2:
        raise InputError("the labelled samples show fewer than two classes; label at least one more region")
    return PixelTable(torch.cat(features), torch.cat(labels), torch.cat(image))


def channel_statistics(features: Float[Tensor, "pixels channels"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, in float64, a block of rows at a time."""
    total = torch.zeros(features.shape[1], dtype=torch.float64)
    square = torch.zeros_like(total)
    for block in features.split(1024):
        total += block.double().sum(0)
    mean = total / len(features)
    for block in features.split(1024):
        square += (block.double() - mean).square().sum(0)
    std = (square / len(features)).sqrt()
    # a channel that never moved says nothing: leave it at zero instead of blowing up rounding noise
    return mean.float(), std.where(std > 1e-4 * mean.abs() + 1e-6, torch.ones_like(std)).float()
