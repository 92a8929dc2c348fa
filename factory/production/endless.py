"""Pairs by their number, without a store: what a number gives follows from the seed alone, on any machine."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from labelfactory.array_types import Float, Int, UInt64
from labelfactory.errors import InputError, WorkError
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.models import Models, models_of
from labelfactory.factory.production.render import BATCH, render

Numbers = UInt64[np.ndarray, "_"]
FIRST, LAST = 64, 1024  # pairs that the quantile is first taken of, and at last
REPLACED = 2**40  # numbers are below it; a pair's replacements have indices that are whole multiples of it further on
ATTEMPTS = 64  # replacements of one pair; with nine of ten passing, one in 10**63 needs more
TOGETHER = 4  # replacements that are computed as one batch


class EndlessPairs:
    """Pair ``number`` is the one that ``factory generate`` makes at that index, unless it is too uncertain.

    With ``keep`` a pair passes whose score is at most the ``keep_quantile`` (0.9) of the scores before it. This is a
    **running** quantile: nothing is refused of the first 64; from there on the limit is that of the first 64 pairs,
    from number 128 on that of the first 128, and so on to 1,024, where it stays. A store's ``keep`` is another: it
    orders the whole set. What does not pass is replaced by the next pair of that number's own row (index plus
    multiples of 2**40), until one does. So a number's pair knows nothing of who asks, and in which order.

    ``max_uncertainty`` (nats) is a limit that stays. ``models`` are those of the job where they are open already.
    """

    def __init__(
        self, job: Job, models: Models | None = None, keep: bool = True, max_uncertainty: float | None = None
    ) -> None:
        if job.spec.walk:
            raise InputError("live pairs are no frames of a sequence: leave walk out, or generate a store")
        self.job, self._models = job, models
        self.quantile = job.spec.keep_quantile if keep else None
        self.max_uncertainty = max_uncertainty
        self.limits: dict[int, float] = {}  # of so many pairs; saved with a run, so that it need not see them again
        self._scores = np.full(LAST, np.nan, np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes: models that can be read from files are read there."""
        state = dict(self.__dict__)
        if self.job.interpreter:
            state["_models"] = None
        return state

    @property
    def models(self) -> Models:
        if self._models is None:
            self._models = models_of(self.job)
        return self._models

    @property
    def size(self) -> int:
        """Pairs that are computed together. Fewer take as long, since arithmetic may depend on the batch's size."""
        return self.models.generator.batch_size(BATCH)

    def make(self, batches: Iterable[Numbers]) -> Iterator[dict[str, np.ndarray]]:
        """The arrays of each batch of up to ``size`` numbers (below 2**40), of the types that a store has."""
        spec, asked = self.job.spec, deque[Numbers]()

        def noted() -> Iterator[Numbers]:
            for numbers in batches:
                asked.append(numbers)
                yield numbers

        for found in render(spec, self.models, noted(), self.size):
            passing = self._passing(asked.popleft(), found)
            yield {a.name: passing[a.name].astype(a.dtype, copy=False) for a in spec.shard_arrays()}

    def _passing(self, numbers: Numbers, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What was found, with replacements for what is too uncertain."""
        self._note(numbers, found["uncertainty_score"])
        limits = self._limits(numbers)
        for attempt in range(1, ATTEMPTS + 1):
            over = np.flatnonzero(found["uncertainty_score"] > limits)
            if not len(over):
                return found
            found = {name: values.copy() for name, values in found.items()}
            batches = [over[i : i + TOGETHER] for i in range(0, len(over), TOGETHER)]
            indices = (numbers[places] + np.uint64(attempt * REPLACED) for places in batches)
            together = min(TOGETHER, self.size)
            for places, others in zip(batches, render(self.job.spec, self.models, indices, together), strict=True):
                for name, values in others.items():
                    found[name][places] = values
        raise WorkError(
            f"{ATTEMPTS} pairs in a row were more uncertain than {float(limits.min()):.4g} nats, which is the limit: "
            "raise max_uncertainty, or keep all pairs"
        )

    def _note(self, numbers: Numbers, scores: Float[np.ndarray, "_"]) -> None:
        early = numbers < LAST
        self._scores[numbers[early].astype(np.int64)] = scores[early]

    def _limits(self, numbers: Numbers) -> Float[np.ndarray, "_"]:
        """The score that each number's pair may have, in nats."""
        seen = seen_before(numbers)
        limits = np.full(len(numbers), math.inf if self.max_uncertainty is None else self.max_uncertainty)
        if self.quantile is not None:
            for count in np.unique(seen[seen > 0]).tolist():
                limits[seen == count] = np.minimum(limits[seen == count], self._limit(count))
        return limits

    def _limit(self, count: int) -> float:
        """The quantile of the first ``count`` pairs' scores; those that this process has not made are made for it."""
        if count not in self.limits:
            missing = np.flatnonzero(np.isnan(self._scores[:count])).astype(np.uint64)
            batches = [missing[i : i + self.size] for i in range(0, len(missing), self.size)]
            for numbers, found in zip(batches, render(self.job.spec, self.models, batches, self.size), strict=True):
                self._note(numbers, found["uncertainty_score"])
            kept = math.ceil(Fraction(repr(self.quantile)) * count)
            self.limits[count] = float(np.sort(self._scores[:count])[kept - 1])
        return self.limits[count]


def seen_before(numbers: Numbers) -> Int[np.ndarray, "_"]:
    """How many pairs the running quantile at each number is taken of: a power of two up to ``LAST``, at first none."""
    powers = 2 ** np.arange(FIRST.bit_length() - 1, LAST.bit_length())
    places = np.searchsorted(powers, numbers.astype(np.int64), side="right")
    return np.concatenate([[0], powers])[places]
