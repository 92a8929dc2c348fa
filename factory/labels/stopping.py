"""When to stop labelling: what ten more strokes would gain, from how much the last ones changed.

How wrong a proposal is nobody knows while labelling; how much it changes is seen. What ten strokes gain (or spoil) lies
within what they change, and changes shrink slowly: the next ten change about as much as the last twenty did.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EVERY = 10  # strokes between two looks at what has changed
LEAST = 2  # looks before anything is said
ENOUGH = 0.01  # a gain that is hardly above this is not worth ten strokes
# Gain of the next ten strokes over the change of the last ones (geometric mean of two looks): median and the quantiles
# 0.025 and 0.975, by benchmarks/labelling.py.
SHARE, LOW, HIGH = 0.06, -0.23, 0.56


@dataclass(frozen=True)
class Stroke:
    """agreement: share of its pixels that the proposal had right, 0 to 1; uncertainty: the proposal's score, nats."""

    agreement: float
    pixels: int
    uncertainty: float


@dataclass(frozen=True)
class StopSignal:
    """Gain of ten more strokes in the share of right pixels, with its 95 % interval; NaN before there is enough.

    It may be negative: a stroke may spoil more than it mends.
    """

    gain: float
    low: float
    high: float
    enough: bool


def stop_signal(changes: Sequence[float]) -> StopSignal:
    """Whether ten more strokes are worth it.

    changes: of each ten strokes, oldest first, the share of all images' pixels whose proposed class they changed.
    """
    if len(changes) < LEAST:
        return StopSignal(float("nan"), float("nan"), float("nan"), False)
    change = recent_change(changes)
    return StopSignal(SHARE * change, LOW * change, HIGH * change, HIGH * change < ENOUGH)


def recent_change(changes: Sequence[float]) -> float:
    """Geometric mean of the last two looks, 0 to 1; one in which nothing moved counts as one pixel in a million."""
    return float(np.sqrt(max(changes[-1], 1e-6) * max(changes[-2], 1e-6)))
