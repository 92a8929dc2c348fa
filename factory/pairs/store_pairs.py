"""Training on our own product: the pairs of a dataset store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.factory.production.job import PSEUDO
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.keypoints import VISIBLE
from labelfactory.storage import Dataset, open_dataset

EXTRA = {"instances": "instance", "keypoints": "keypoints"}  # label kinds, and the arrays that hold them


class StorePairs(Pairs):
    """The pairs of a finished dataset store, read as they are needed.

    ``keep`` leaves out what the store's uncertainty filter drops. ``temperature`` (nats) turns each pixel's uncertainty
    u into a training weight exp(-u / temperature); None weighs all pixels alike. ``limit`` takes the first pairs
    alone; ``exclude`` is a list of samples to leave out (``factory audit`` writes one).
    ``generated`` is false of a store whose masks segmenters gave to photographs.
    ``extra`` names label kinds that are read too, where the store has them: "instances" and "keypoints".
    Frames of one sequence of a walk are of one group.
    """

    def __init__(
        self,
        uri: str,
        keep: bool = True,
        temperature: float | None = None,
        limit: int | None = None,
        extra: Sequence[str] = (),
        exclude: Path | None = None,
    ) -> None:
        if temperature is not None and temperature <= 0:
            raise InputError(f"an uncertainty temperature of {temperature} nats is not above 0")
        self.temperature = temperature
        fields = ["image", "mask"] if temperature is None else ["image", "mask", "uncertainty"]
        self.dataset: Dataset = open_dataset(uri, fields=fields, keep=keep, exclude=exclude)
        arrays = {array.name: array for array in self.dataset.spec.arrays()}
        self.also = [name for kind, name in EXTRA.items() if kind in extra and name in arrays]
        self.dataset.fields = (*fields, *self.also)
        if "keypoints" in self.also:
            self.points = tuple(channel.name for channel in arrays["keypoints"].channels)
        self.generated = PSEUDO not in self.dataset.spec.heads
        self.class_names = [info.name for info in self.dataset.spec.classes]
        self.count = len(self.dataset) if limit is None else min(limit, len(self.dataset))

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers; neighbours are read in one piece."""
        batch, walk = self.dataset.batch(indices), self.dataset.spec.walk
        numbers = self.dataset.selection.samples(np.asarray(indices, np.int64)) if walk else [0] * len(indices)
        weights: Any = [None] * len(indices)
        if self.temperature is not None:
            uncertainty = batch["uncertainty"].astype(np.float32)
            if np.isnan(uncertainty).any():
                raise InputError(
                    f"{self.dataset.uri}: the uncertainty of its pairs was not measured; leave the temperature out, or "
                    "synthesise them with a judge"
                )
            weights = np.exp(-uncertainty / self.temperature)
        nothing = [None] * len(indices)
        objects = batch["instance"] if "instance" in self.also else nothing
        points = _visible(batch["keypoints"]) if "keypoints" in self.also else nothing
        groups = [f"sequence {number // walk}" if walk else "" for number in numbers]
        parts = zip(batch["image"], batch["mask"], weights, objects, points, groups, strict=True)
        return [
            Pair(image, mask, weight, ids, keypoints=point, group=group, generated=self.generated)
            for image, mask, weight, ids, point, group in parts
        ]


def _visible(points: Float[np.ndarray, "n points 3"]) -> Float[np.ndarray, "n points 3"]:
    """Points as people label them: those that the factory is not sure of are not labelled."""
    there = np.isfinite(points).all(-1) & (points[..., 2] >= VISIBLE)
    shown = np.concatenate([points[..., :2], np.full((*points.shape[:2], 1), 2.0)], -1)
    return np.where(there[..., None], shown, 0).astype(np.float32)
