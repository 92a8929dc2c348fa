"""Which labelled pixels an interpreter learns from, and their feature vectors."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Int, UInt8
from labelfactory.interpreters.ensemble import Ensemble
from labelfactory.interpreters.feature_cache import FeatureCache
from labelfactory.interpreters.lookup import hypercolumns

SILENT = 1e30  # standard deviation that divides a channel down to nothing


def regions(mask: UInt8[Tensor, "height width"]) -> Int[Tensor, "height width"]:
    """A number per pixel, equal within each connected region (4-neighbourhood) of one class and nowhere else."""
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
        names = names.ravel()[names]  # on to the name of the pixel that a name was taken from
        if np.array_equal(names, before):
            return torch.from_numpy(names)


def choose_pixels(
    mask: UInt8[Tensor, "height width"], count: int, ignore_index: int, generator: torch.Generator
) -> Int[Tensor, "pixels"]:
    """Flat indices of at most ``count`` labelled pixels, at random, with every labelled region present.

    Where a speckled mask has more regions than ``count``, every class is present and regions are drawn at random.
    """
    labelled = torch.nonzero(mask.flatten() != ignore_index)[:, 0]
    shuffled = labelled[torch.randperm(len(labelled), generator=generator)]
    _, of_class = np.unique(mask.flatten()[shuffled].numpy(), return_index=True)
    _, of_region = np.unique(regions(mask).flatten()[shuffled].numpy(), return_index=True)
    rank = torch.full((len(shuffled),), 2)
    rank[torch.from_numpy(of_region)] = 1
    rank[torch.from_numpy(of_class)] = 0
    return shuffled[rank.argsort(stable=True)[: max(count, len(of_class))]]


def collect(
    model: Ensemble,
    samples: Iterable[tuple[Sequence[Tensor], Tensor]],
    ignore_index: int,
    pixels_per_image: int,
    generator: torch.Generator,
    cache: FeatureCache,
) -> tuple[UInt8[Tensor, "pixels"], Int[Tensor, "pixels"]]:
    """Read every sample once and keep the feature vectors of its chosen pixels in ``cache``.

    Returns the pixels' labels and the number of the sample that each is from.
    """
    labels, image = [], []
    for number, (maps, mask) in enumerate(samples):
        where = f"labelled sample {number}"
        maps = [f.detach() if f.ndim == 4 else f.detach()[None] for f in maps]
        size = model.output_size(maps)
        if len(maps[0]) != 1:
            raise InputError(f"{where}: feature maps of {len(maps[0])} images; expected one image's maps per mask")
        mask = _checked(mask, size, model.outputs, ignore_index, where)
        pixels = choose_pixels(mask, pixels_per_image, ignore_index, generator)
        if len(pixels) == 0:
            continue
        flat = pixels.to(maps[0].device)
        vectors = hypercolumns([f[0] for f in maps], flat // size[1], flat % size[1], size).half()
        if not bool(vectors.isfinite().all()):
            raise InputError(f"{where}: feature maps are not finite or beyond 65504; check the generator")
        cache.append(vectors)
        labels.append(mask.flatten()[pixels])
        image.append(torch.full((len(pixels),), number))
    if not labels or len(torch.unique(torch.cat(labels))) < 2:
        raise InputError("the labelled samples show fewer than two classes; label at least one more region")
    return torch.cat(labels), torch.cat(image)


def groups_of(image: Int[Tensor, "pixels"], groups: Sequence[int] | None) -> Int[Tensor, "pixels"]:
    """The group of each pixel, whose image is known; InputError where there are more images than ``groups`` names."""
    if groups is None:
        return image
    if int(image.max()) >= len(groups):
        raise InputError(f"{len(groups)} groups named for more samples; name one for each")
    return torch.tensor(groups)[image]


def _checked(mask: Tensor, size: tuple[int, int], num_classes: int, ignore_index: int, where: str) -> Tensor:
    if mask.dtype != torch.uint8 or tuple(mask.shape) != size:
        raise InputError(
            f"{where}: mask is {str(mask.dtype).removeprefix('torch.')} of shape {tuple(mask.shape)}; "
            f"expected uint8 of shape {size}, the largest feature map's"
        )
    mask = mask.cpu()
    known = mask[mask != ignore_index]
    if len(known) and int(known.max()) >= num_classes:
        raise InputError(
            f"{where}: mask has class id {int(known.max())}; expected 0 to {num_classes - 1}, "
            f"or {ignore_index} for unlabelled"
        )
    return mask


def channel_statistics(cache: FeatureCache) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, summed in float64."""
    count, total, square = 0, torch.zeros(()), torch.zeros(())
    for block in cache:
        count, total = count + len(block), total + block.double().sum(0)
    mean = total / count
    for block in cache:
        square = square + (block.double() - mean).square().sum(0)
    std = (square / count).sqrt()
    # a channel that hardly moves says nothing: its rounding noise must not be blown up to unit scale
    return mean.float(), std.where(std > 1e-4 * mean.abs() + 1e-6, SILENT).float()
