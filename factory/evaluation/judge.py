"""The contract of judges: each looks at one side of what was predicted, and adds its scores to one table."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy import ndarray as Array

from labelfactory.factory.evaluation.bootstrap import interval
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.interpreters.classes import LabelClass


@dataclass(frozen=True)
class Score:
    """A score (NaN where it is not defined) and its 95 % bootstrap interval (NaN where there is none).

    Scores are in 0..1, except those in pixels (``report.PIXELS``).
    """

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass
class Table:
    """Scores by name: ``overall``, and ``per_class`` with one list entry a class. ``groups`` has one name an image."""

    classes: Sequence[LabelClass]
    groups: Sequence[str]
    replicates: int
    overall: dict[str, Score] = field(default_factory=dict)
    per_class: dict[str, list[Score]] = field(default_factory=dict)

    def scored(self, per_image: Array, statistic: Callable[[Array], Array]) -> Score:
        """One number of sums over images, with its interval."""
        low, high = interval(per_image, statistic, self.groups, self.replicates)
        return Score(float(statistic(per_image.sum(0))), float(low), float(high))

    def columns(
        self, per_image: Array, statistic: Callable[[Array], Array], ids: Sequence[int] | None = None
    ) -> list[Score]:
        """One number a class; ``ids`` are the classes that the statistic speaks of (all), others have no score."""
        low, high = interval(per_image, statistic, self.groups, self.replicates)
        value = statistic(per_image.sum(0))
        found = [Score(float(v), float(a), float(b)) for v, a, b in zip(value, low, high, strict=True)]
        if ids is None:
            return found
        place = {i: k for k, i in enumerate(ids)}
        return [found[place[i]] if i in place else Score(math.nan) for i in range(len(self.classes))]


class Judge(ABC):
    """Sees image by image, then writes its scores."""

    @abstractmethod
    def see(self, pair: Pair, predicted: Predicted) -> float:
        """Take note of one image; its own score in 0..1, by which images are ranked (NaN: it has none)."""

    @abstractmethod
    def write(self, table: Table) -> None:
        """Add the scores of all images seen."""


def nanmean(x: Array) -> Array:
    """Mean over the last axis of what is not NaN; NaN where nothing is left."""
    has = ~np.isnan(x)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(has, x, 0).sum(-1) / has.sum(-1))
