"""What the steps of a training see: pairs or pictures, drawn by seed and step alone."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import Pair, Pairs, random_crop
from labelfactory.factory.pixels import from_uint8
from labelfactory.factory.training.steps import EpochOrder
from labelfactory.factory.translation.condition import condition_of
from labelfactory.factory.translation.method import Batch

SHOWN = 4  # rows of a sheet


class Examples(ABC):
    """Batches by step. ``shown`` is the one that sheets are made of, always the same."""

    def __init__(self, batch_size: int, seed: int, crop: int | None, mirror: bool) -> None:
        self.batch_size, self.seed, self.crop, self.mirror = batch_size, seed, crop, mirror

    @abstractmethod
    def fetch(self, step: int) -> Batch:
        """What a step sees."""

    @abstractmethod
    def shown(self) -> Batch:
        """Whole pictures to look at."""

    def varied(self, pairs: Sequence[Pair], step: int, which: int = 0) -> list[Pair]:
        """The pairs cropped and mirrored as seed and step decide."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, step], counter=which << 64))
        if self.crop is not None:
            pairs = [random_crop(pair, self.crop, rng) for pair in pairs]
        return [mirrored(pair) if self.mirror and rng.random() < 0.5 else pair for pair in pairs]


class PairExamples(Examples):
    """Pairs, as conditions and pictures."""

    def __init__(
        self, pairs: Pairs, num_classes: int, edges: bool, batch_size: int, seed: int, crop: int | None, mirror: bool
    ) -> None:
        super().__init__(batch_size, seed, crop, mirror)
        self.pairs, self.num_classes, self.edges = pairs, num_classes, edges
        self.order = EpochOrder(len(pairs), batch_size, seed)

    def fetch(self, step: int) -> Batch:
        return self._batch(self.varied(self.pairs.fetch(self.order.indices(step)), step))

    def shown(self) -> Batch:
        return self._batch(self.pairs.fetch(spread(len(self.pairs))))

    def _batch(self, pairs: Sequence[Pair]) -> Batch:
        masks = torch.from_numpy(np.stack([pair.mask for pair in pairs])).long()
        return Batch(condition_of(masks, self.num_classes, instances_of(pairs, self.edges)), pictures_of(pairs), masks)


class PictureExamples(Examples):
    """Pictures of two kinds, each drawn in an order of its own: they do not belong together."""

    def __init__(self, first: Pairs, second: Pairs, batch_size: int, seed: int, crop: int | None, mirror: bool) -> None:
        super().__init__(batch_size, seed, crop, mirror)
        self.kinds = first, second
        self.orders = [EpochOrder(len(kind), batch_size, seed + i) for i, kind in enumerate(self.kinds)]

    def fetch(self, step: int) -> Batch:
        chosen = [
            self.varied(kind.fetch(order.indices(step)), step, which)
            for which, (kind, order) in enumerate(zip(self.kinds, self.orders, strict=True))
        ]
        return Batch(pictures_of(chosen[0]), pictures_of(chosen[1]))

    def shown(self) -> Batch:
        rows = min(SHOWN, *map(len, self.kinds))  # as many of one kind as of the other
        return Batch(*(pictures_of(kind.fetch(spread(len(kind), rows))) for kind in self.kinds))


def spread(count: int, wanted: int = SHOWN) -> list[int]:
    """``wanted`` numbers below ``count``, or all of them, evenly spread."""
    return np.linspace(0, count - 1, min(wanted, count)).astype(int).tolist()


def mirrored(pair: Pair) -> Pair:
    """The pair, left and right exchanged."""
    return replace(
        pair,
        image=pair.image[:, ::-1],
        mask=pair.mask[:, ::-1],
        weights=None if pair.weights is None else pair.weights[:, ::-1],
        instances=None if pair.instances is None else pair.instances[:, ::-1],
    )


def pictures_of(pairs: Sequence[Pair]) -> Tensor:
    """Pictures in [-1, 1], channels first; InputError where their sizes differ."""
    shapes = {pair.image.shape for pair in pairs}
    if len(shapes) > 1:
        raise InputError(f"pictures of one batch must have one size, got {sorted(shapes)}: give a size, or a crop")
    return from_uint8(torch.from_numpy(np.stack([pair.image for pair in pairs])).permute(0, 3, 1, 2)).contiguous()


def instances_of(pairs: Sequence[Pair], wanted: bool) -> Tensor | None:
    """Object numbers; InputError where they are wanted and a pair has none."""
    if not wanted:
        return None
    found = [pair.instances for pair in pairs]
    lacking = next((pair.name for pair in pairs if pair.instances is None), None)
    if lacking is not None:
        raise InputError(f"{lacking or 'a pair'}: has no instances, whose edges were asked for; leave edges out")
    return torch.from_numpy(np.stack([f.astype(np.int64) for f in found if f is not None]))
