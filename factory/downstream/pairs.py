"""Where images and their masks come from: one small interface, whatever holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy import ndarray as Array

from factory.errors import InputError
from interpreters.shapes import Float, UInt8


@dataclass(frozen=True)
class Pair:
    """One image, its mask, and how much each of its pixels counts (1 everywhere where ``weights`` is None)."""

    image: UInt8[Array, "height width channels"]
    mask: UInt8[Array, "height width"]
    weights: Float[Array, "height width"] | None = None
    name: str = ""


@runtime_checkable
class Pairs(Protocol):
    """A numbered collection of pairs; sizes may differ from pair to pair."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pair: ...


class ArrayPairs:
    """Pairs of one size, in memory."""

    def __init__(
        self,
        images: UInt8[Array, "sample height width channels"],
        masks: UInt8[Array, "sample height width"],
        weights: Float[Array, "sample height width"] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if images.shape[:3] != masks.shape or (weights is not None and weights.shape != masks.shape):
            shapes = [images.shape, masks.shape] + ([] if weights is None else [weights.shape])
            raise InputError(f"images, masks and weights must agree in number and size, got {shapes}")
        self.images, self.masks, self.weights, self.names = images, masks, weights, names

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Pair(
            self.images[index],
            self.masks[index],
            None if self.weights is None else self.weights[index],
            f"{index:06d}" if self.names is None else self.names[index],
        )


class JoinedPairs:
    """Several collections one after the other, each repeated a whole number of times (to balance few and many)."""

    def __init__(self, parts: Sequence[Pairs], repeats: Sequence[int] | None = None) -> None:
        repeats = [1] * len(parts) if repeats is None else repeats
        self.index = [
            (part, i)
            for part, times in zip(parts, repeats, strict=True)
            for _ in range(times)
            for i in range(len(part))
        ]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> Pair:
        part, i = self.index[index]
        return part[i]


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
