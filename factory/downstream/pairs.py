"""Where images and their masks come from: one small interface, whatever holds them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray as Array
from scipy import ndimage

from factory.downstream.losses import border_weights
from factory.errors import InputError
from interpreters.shapes import Float, Shaped, UInt8
from storage import Dataset, open_dataset


@dataclass(frozen=True)
class Pair:
    """One image, its mask, and what else is known of it.

    ``weights`` says how much each pixel counts in training (1 everywhere where it is None); ``instances`` numbers
    objects from 1 (0: none, 255 and up are plain numbers here); ``group`` names what the image was cut from.
    """

    image: UInt8[Array, "height width channels"]
    mask: UInt8[Array, "height width"]
    weights: Float[Array, "height width"] | None = None
    instances: Shaped[Array, "height width"] | None = None
    name: str = ""
    group: str = ""


class Pairs(ABC):
    """A numbered collection of pairs; sizes may differ from pair to pair."""

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


class StorePairs(Pairs):
    """The pairs of a finished dataset store, read as they are needed.

    ``keep`` leaves out what the store's uncertainty filter drops. ``temperature`` (nats) turns each pixel's uncertainty
    u into a training weight exp(-u / temperature); None weighs all pixels alike. ``limit`` takes the first so many.
    """

    def __init__(self, uri: str, keep: bool = True, temperature: float | None = None, limit: int | None = None) -> None:
        if temperature is not None and temperature <= 0:
            raise InputError(f"an uncertainty temperature of {temperature} nats is not above 0")
        self.temperature = temperature
        fields = ("image", "mask") if temperature is None else ("image", "mask", "uncertainty")
        self.dataset: Dataset = open_dataset(uri, fields=fields, keep=keep)
        self.class_names = [info.name for info in self.dataset.spec.classes]
        self.count = len(self.dataset) if limit is None else min(limit, len(self.dataset))

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers; neighbours are read in one piece."""
        batch = self.dataset.batch(indices)
        if self.temperature is None:
            return [Pair(image, mask) for image, mask in zip(batch["image"], batch["mask"], strict=True)]
        weights = np.exp(-batch["uncertainty"].astype(np.float32) / self.temperature)
        return [Pair(*pair) for pair in zip(batch["image"], batch["mask"], weights, strict=True)]


class JoinedPairs(Pairs):
    """Several collections one after the other, each repeated a whole number of times (to balance few and many)."""

    def __init__(self, parts: Sequence[Pairs], repeats: Sequence[int] | None = None) -> None:
        self.parts = [p for p, times in zip(parts, repeats or [1] * len(parts), strict=True) for _ in range(times)]
        self.starts = np.cumsum([0] + [len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers; each part is asked once."""
        which = np.searchsorted(self.starts, indices, side="right") - 1
        out: list[Pair | None] = [None] * len(indices)
        for part in np.unique(which):
            places = np.flatnonzero(which == part)
            found = self.parts[part].fetch([int(indices[p] - self.starts[part]) for p in places])
            for place, pair in zip(places, found, strict=True):
                out[place] = pair
        return [pair for pair in out if pair is not None]


class BorderWeighted(Pairs):
    """Pairs whose weights also count the gaps between objects (U-Net's border map).

    Objects are the pair's instances, or else the connected parts of each class other than background (0).
    """

    def __init__(self, pairs: Pairs, w0: float = 10.0, sigma: float = 5.0) -> None:
        self.pairs, self.w0, self.sigma = pairs, w0, sigma

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers, with their border weights."""
        out = []
        for pair in self.pairs.fetch(indices):
            objects = connected_objects(pair.mask) if pair.instances is None else pair.instances
            weights = border_weights(objects, self.w0, self.sigma)
            out.append(replace(pair, weights=weights if pair.weights is None else weights * pair.weights))
        return out


def connected_objects(mask: UInt8[Array, "height width"]) -> Shaped[Array, "height width"]:
    """Connected parts of each class other than background and unlabelled pixels, numbered from 1."""
    objects, count = np.zeros(mask.shape, np.int32), 0
    for label in np.unique(mask):
        if label not in (0, 255):
            parts, found = ndimage.label(mask == label)
            objects[parts > 0] = parts[parts > 0] + count
            count += found
    return objects


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
