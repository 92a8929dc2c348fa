"""Training on our own product: the pairs of a dataset store."""

from collections.abc import Sequence

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.storage import Dataset, open_dataset


class StorePairs(Pairs):
    """The pairs of a finished dataset store, read as they are needed.

    ``keep`` leaves out what the store's uncertainty filter drops. ``temperature`` (nats) turns each pixel's uncertainty
    u into a training weight exp(-u / temperature); None weighs all pixels alike. ``limit`` takes the first pairs alone.
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
