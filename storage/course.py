"""What a training run reads, epoch after epoch: every position of the endless row is a sample of one of the stores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.errors import InputError
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.shuffle import EpochOrder, Shuffle, ordered_by_hash

_DEALT = 16  # what the hash of a round is for; the others are in storage.shuffle


@dataclass(frozen=True)
class Share:
    """How positions are dealt to the stores: of the first ``P``, each store gets its weight's part, to within one."""

    weights: tuple[int, ...]

    @classmethod
    def of(cls, weights: Sequence[float | int], stores: int) -> "Share":
        """Weights as whole numbers in the same proportion (0.1 means one tenth, not the nearest binary fraction)."""
        if len(weights) != stores or not all(math.isfinite(weight) and weight > 0 for weight in weights):
            raise InputError(f"weights are {list(weights)}: expected a number above 0 for each of the {stores} stores")
        exact = [Fraction(repr(weight)) for weight in map(float, weights)]
        unit = math.lcm(*(weight.denominator for weight in exact))
        return cls(tuple(int(weight * unit) for weight in exact))

    def given(self, positions: int) -> list[int]:
        """How many of the first ``positions`` each store has given; never less for more positions.

        Each store takes its part of what those before it left, rounded down.
        """
        counts, left, weight_left = [], positions, sum(self.weights)
        for weight in self.weights:
            counts.append(left * weight // weight_left)
            left, weight_left = left - counts[-1], weight_left - weight
        return counts


class Course:
    """The order of one store, or of several mixed by weight, as a function of (seed, epoch, position).

    An epoch has as many positions as the stores have samples. Without ``weights`` each sample comes once in it; with
    them a store may be read twice while another is read in part, and each goes on where it stood: within each of its
    own rounds every sample comes once.
    """

    def __init__(
        self, datasets: Sequence[Dataset], shuffle: Shuffle, weights: Sequence[float | int] | None = None
    ) -> None:
        if not datasets:
            raise InputError("no data set: expected one or more")
        _refuse_different(datasets)
        self.datasets, self.shuffle = tuple(datasets), shuffle
        self.count = sum(len(dataset) for dataset in datasets)
        empty = [dataset.uri for dataset in datasets if len(dataset) == 0]
        if empty:
            raise InputError(f"{empty[0]} has no sample that passes the filter: raise max_uncertainty, or keep=False")
        sizes = [len(dataset) for dataset in datasets]
        self.share = Share(tuple(sizes)) if weights is None else Share.of(weights, len(datasets))
        self.orders = [
            EpochOrder(len(dataset), dataset.spec.samples_per_shard, shuffle if i == 0 else _other(shuffle, i))
            for i, dataset in enumerate(datasets)
        ]

    def identity(self) -> dict[str, Any]:
        """What a saved position means something in: plain values for JSON."""
        shuffle = self.shuffle
        return {
            "stores": [[dataset.spec.hash, len(dataset)] for dataset in self.datasets],
            "weights": list(self.share.weights),
            "shuffle": [shuffle.seed, shuffle.block, shuffle.shards_in_flight, shuffle.window, shuffle.enabled],
        }

    def samples(self, ranges: Sequence[tuple[int, int, int]]) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
        """Store and sample at each position of some ranges (epoch, start, stop), in their order."""
        if len(self.datasets) == 1:
            which = [np.zeros(stop - start, np.int64) for _, start, stop in ranges]
            places = [[self.orders[0].places(*asked) for asked in ranges]]
        else:
            which = [self._dealt(*asked) for asked in ranges]
            places = [
                [self._of_store(store, *self._given(store, epoch, start, stop)) for epoch, start, stop in ranges]
                for store in range(len(self.datasets))
            ]
        stores = np.concatenate([np.zeros(0, np.int64), *which])
        samples = np.empty(len(stores), np.int64)
        for store, dataset in enumerate(self.datasets):
            samples[stores == store] = dataset.selection.samples(
                np.concatenate([np.zeros(0, np.int64), *places[store]])
            )
        return stores, samples

    def _of_store(self, store: int, start: int, stop: int) -> Int[np.ndarray, "n"]:
        """Places of one store, counted over all of its own rounds."""
        size, parts = len(self.datasets[store]), [np.zeros(0, np.int64)]
        while start < stop:
            own_epoch, place = divmod(start, size)
            parts.append(self.orders[store].places(own_epoch, place, min(size, place + stop - start)))
            start += len(parts[-1])
        return np.concatenate(parts)

    def _dealt(self, epoch: int, start: int, stop: int) -> Int[np.ndarray, "n"]:
        """Which store gives each position: within a round of one window the stores' parts are mixed."""
        size = self.shuffle.window_samples
        rounds = range(start // size, -(-stop // size))
        row = np.concatenate([np.zeros(0, np.int64), *(self._round(epoch, number) for number in rounds)])
        first = rounds.start * size
        return row[start - first : stop - first]

    def _round(self, epoch: int, number: int) -> Int[np.ndarray, "n"]:
        size, base = self.shuffle.window_samples, epoch * self.count
        start, stop = number * size, min((number + 1) * size, self.count)
        before, after = self.share.given(base + start), self.share.given(base + stop)
        row = np.repeat(np.arange(len(before)), np.array(after) - np.array(before))
        return row[ordered_by_hash(len(row), self.shuffle.seed, epoch, _DEALT, number)]

    def _given(self, store: int, epoch: int, *positions: int) -> list[int]:
        """How many samples a store has given before each position, over all epochs."""
        size, counts = self.shuffle.window_samples, []
        for position in positions:
            start = position - position % size
            row = self._dealt(epoch, start, position)
            counts.append(self.share.given(epoch * self.count + start)[store] + int((row == store).sum()))
        return counts


def _other(shuffle: Shuffle, store: int) -> Shuffle:
    """The same mixing with a seed of its own, or equal stores would come in step."""
    return Shuffle(
        (shuffle.seed + store * 0x9E3779B97F4A7C15) % 2**63,
        shuffle.block,
        shuffle.shards_in_flight,
        shuffle.window,
        shuffle.enabled,
    )


def _refuse_different(datasets: Sequence[Dataset]) -> None:
    """Samples of several stores go into one batch: the same fields, each of the same type and shape."""
    first = datasets[0]
    for other in datasets[1:]:
        for name in first.fields:
            mine, theirs = (dataset.reader.array(name) for dataset in (first, other))
            if other.fields != first.fields or (mine.dtype, mine.sample_shape) != (theirs.dtype, theirs.sample_shape):
                raise InputError(
                    f"{other.uri} cannot be mixed with {first.uri}: {name} is {theirs.dtype} {theirs.sample_shape} "
                    f"there and {mine.dtype} {mine.sample_shape} here, fields are {other.fields} and {first.fields}"
                )
        names = [[info.name for info in dataset.spec.classes] for dataset in (first, other)]
        if "mask" in first.fields and names[0] != names[1]:
            raise InputError(f"{other.uri} has the classes {names[1]}, {first.uri} has {names[0]}: expected the same")
