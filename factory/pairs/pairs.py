"""Where images and their masks come from: one small interface, whatever holds them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, Int, Shaped, UInt8


@dataclass(frozen=True)
class Pair:
    """One image, its mask, and what else is known of it.

    ``weights`` says how much each pixel counts in training (1 everywhere where it is None); ``instances`` numbers
    objects from 1 (0: none, 255 and up are plain numbers here); ``keypoints`` has x, y in pixels and a visibility for
    each named point (0: not labelled); ``group`` names what the image was cut from; ``generated``: no camera took it.
    """

    image: UInt8[Array, "height width channels"]
    mask: UInt8[Array, "height width"]
    weights: Float[Array, "height width"] | None = None
    instances: Shaped[Array, "height width"] | None = None
    name: str = ""
    group: str = ""
    keypoints: Float[Array, "points 3"] | None = None
    generated: bool = False


class Pairs(ABC):
    """A numbered collection of pairs; sizes may differ from pair to pair. ``points`` names their key points."""

    points: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers, in the order asked for."""

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.fetch([index])[0]


class ArrayPairs(Pairs):
    """Pairs of one size, in memory."""

    def __init__(
        self,
        images: UInt8[Array, "sample height width channels"],
        masks: UInt8[Array, "sample height width"],
        weights: Float[Array, "sample height width"] | None = None,
        names: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> None:
        if images.shape[:3] != masks.shape or (weights is not None and weights.shape != masks.shape):
            shapes = [images.shape, masks.shape] + ([] if weights is None else [weights.shape])
            raise InputError(f"images, masks and weights must agree in number and size, got {shapes}")
        self.images, self.masks, self.weights = images, masks, weights
        self.names = [f"{i:06d}" for i in range(len(images))] if names is None else names
        self.groups = self.names if groups is None else groups

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers."""
        return [
            Pair(
                self.images[i],
                self.masks[i],
                None if self.weights is None else self.weights[i],
                name=self.names[i],
                group=self.groups[i],
            )
            for i in indices
        ]


class ChosenPairs(Pairs):
    """Some of the pairs of another collection, by their numbers in it."""

    def __init__(self, pairs: Pairs, numbers: Sequence[int] | Int[Array, "n"]) -> None:
        self.pairs, self.numbers = pairs, np.asarray(numbers, np.int64)
        self.points = pairs.points

    def __len__(self) -> int:
        return len(self.numbers)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers."""
        return self.pairs.fetch([int(self.numbers[i]) for i in indices])


class JoinedPairs(Pairs):
    """Several collections one after the other, each repeated a whole number of times (to balance few and many)."""

    def __init__(self, parts: Sequence[Pairs], repeats: Sequence[int] | None = None) -> None:
        self.parts = [p for p, times in zip(parts, repeats or [1] * len(parts), strict=True) for _ in range(times)]
        self.starts = np.cumsum([0] + [len(part) for part in self.parts])
        self.points = self.parts[0].points if self.parts else ()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers; each part is asked once."""
        which = np.searchsorted(self.starts, indices, side="right") - 1
        out: list[Pair | None] = [None] * len(indices)
        for part in np.unique(which).tolist():
            places = np.flatnonzero(which == part).tolist()
            found = self.parts[part].fetch([int(indices[p] - self.starts[part]) for p in places])
            for place, pair in zip(places, found, strict=True):
                out[place] = pair
        return [pair for pair in out if pair is not None]


def random_crop(pair: Pair, size: int, rng: np.random.Generator) -> Pair:
    """A random square of the pair; images that are too small are mirrored to size first."""
    height, width = pair.mask.shape
    if height < size or width < size:
        grow = [(0, max(0, size - height)), (0, max(0, size - width))]
        pair = replace(
            pair,
            image=np.pad(pair.image, [*grow, (0, 0)], mode="symmetric"),
            mask=np.pad(pair.mask, grow, mode="symmetric"),
            weights=None if pair.weights is None else np.pad(pair.weights, grow, mode="symmetric"),
            instances=None if pair.instances is None else np.pad(pair.instances, grow, mode="symmetric"),
        )
        height, width = pair.mask.shape
    top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
    window, corner = np.s_[top : top + size, left : left + size], np.array([left, top, 0], np.float32)
    return replace(
        pair,
        image=pair.image[window],
        mask=pair.mask[window],
        weights=None if pair.weights is None else pair.weights[window],
        instances=None if pair.instances is None else pair.instances[window],
        keypoints=None if pair.keypoints is None else inside(pair.keypoints - corner, size, size),
    )


def inside(points: Float[Array, "points 3"], height: int, width: int) -> Float[Array, "points 3"]:
    """Key points (x, y, visibility) with a visibility of 0 where they lie outside of a picture of this size."""
    x, y, _ = points.T
    there = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.where(there[:, None], points, np.float32(0)).astype(np.float32)


def collate(pairs: Sequence[Pair]) -> tuple[Array, Array, Array]:
    """Pairs of one size as stacked images, masks and weights."""
    sizes = {p.image.shape for p in pairs}
    if len(sizes) > 1:
        raise InputError(f"images of one batch must have one size, got {sorted(sizes)}: set a crop size")
    return (
        np.stack([p.image for p in pairs]),
        np.stack([p.mask for p in pairs]),
        np.stack([np.ones(p.mask.shape, np.float32) if p.weights is None else p.weights for p in pairs]),
    )
