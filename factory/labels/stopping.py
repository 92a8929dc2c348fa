"""When to stop labelling: what ten more strokes would change, estimated from how proposals fared so far.

Each stroke is a test of the proposal that was on the screen: the share of its pixels that had the drawn class already.
The share that had not falls along a power law of the number of strokes, as learning curves do (Hestness et al.,
arXiv 1712.00409); the gain of ten more is the fall from here, its interval that of redrawn strokes (bootstrap).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labelfactory.interpreters.array_types import Float

AHEAD = 10  # strokes
LEAST = 8  # strokes before anything is said
ENOUGH = 0.01  # a gain that certainly stays below this is not worth ten strokes
REPLICATES = 300


@dataclass(frozen=True)
class Stroke:
    """agreement: share of its pixels that the proposal had right, 0 to 1; uncertainty: the proposal's score, nats."""

    agreement: float
    pixels: int
    uncertainty: float


@dataclass(frozen=True)
class StopSignal:
    """Gain of ten more strokes in the share of right pixels, with its 95 % interval; NaN before there is enough."""

    gain: float
    low: float
    high: float
    enough: bool


def stop_signal(strokes: Sequence[Stroke], ahead: int = AHEAD, seed: int = 0) -> StopSignal:
    """Whether ``ahead`` more strokes are worth it."""
    if len(strokes) < LEAST:
        return StopSignal(float("nan"), float("nan"), float("nan"), False)
    errors = 1 - np.array([s.agreement for s in strokes])
    places = np.arange(1, len(strokes) + 1, dtype=np.float64)
    rng = np.random.default_rng(seed)
    gains = []
    for _ in range(REPLICATES):
        rows = np.sort(rng.integers(0, len(errors), len(errors)))
        gains.append(_gain(places[rows], errors[rows], len(strokes), ahead))
    low, high = np.quantile(gains, [0.025, 0.975])
    return StopSignal(_gain(places, errors, len(strokes), ahead), float(low), float(high), bool(high < ENOUGH))


def _gain(places: Float[np.ndarray, "strokes"], errors: Float[np.ndarray, "strokes"], now: int, ahead: int) -> float:
    """Fall of a n^-b from ``now`` to ``now + ahead``, with a and b that fit the errors (weighted least squares).

    One stroke is a coarse test, so a whole error is added over all of them (Laplace): none is not never.
    """
    best, least = 0.0, np.inf
    floor = 1.0 / (len(errors) + 1)
    for b in np.linspace(0, 2, 21):
        shape = places**-b
        a = float((shape * (errors + floor)).sum() / (shape * shape).sum())
        miss = float(((a * shape - errors) ** 2).sum())
        if miss < least:
            best, least = a * (now**-b - (now + ahead) ** -b), miss
    return max(0.0, float(best))
