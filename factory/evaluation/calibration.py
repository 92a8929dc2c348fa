"""Whether probabilities mean what they say: expected calibration error, and the temperature that mends it.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, arXiv 1706.04599.
"""

import numpy as np
from numpy import ndarray as Array

from labelfactory.array_types import Bool, Float, Int
from labelfactory.errors import InputError

BINS = 15


class Reliability:
    """Counts, confidence and hits of pixels by their confidence; memory does not grow with the number of pixels."""

    def __init__(self) -> None:
        self.count, self.confidence, self.hits = (np.zeros(BINS) for _ in range(3))

    def add(self, confidence: Float[Array, "pixels"], right: Bool[Array, "pixels"]) -> None:
        """Takes pixels in: the probability of the class that was chosen (0 to 1), and whether it is the true one."""
        places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        self.count += np.bincount(places, minlength=BINS)
        self.confidence += np.bincount(places, weights=confidence, minlength=BINS)
        self.hits += np.bincount(places, weights=right, minlength=BINS)

    @property
    def error(self) -> float:
        """ECE (equation 3): mean of |accuracy - confidence| over the bins, by their pixels; NaN without pixels."""
        if not self.count.sum():
            return float("nan")
        return float(np.abs(self.hits - self.confidence).sum() / self.count.sum())


def fitted_temperature(logits: Float[Array, "pixels classes"], truth: Int[Array, "pixels"]) -> float:
    """The T in [0.05, 20] that gives softmax(logits / T) the least negative log-likelihood (section 4.2).

    The likelihood has one peak in 1/T, so halving the interval finds it. InputError without pixels.
    """
    if not len(truth):
        raise InputError("there are no pixels to find a temperature with")
    z = logits.astype(np.float64)

    def slope(beta: float) -> float:
        """Derivative of the negative log-likelihood by beta = 1/T: mean of E[z] - z_true."""
        scaled = beta * z
        p = np.exp(scaled - scaled.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        return float(((p * z).sum(1) - z[np.arange(len(truth)), truth]).mean())

    low, high = np.log(0.05), np.log(20.0)
    for _ in range(40):
        middle = (low + high) / 2
        if slope(float(np.exp(-middle))) > 0:  # too sure: a higher temperature
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
