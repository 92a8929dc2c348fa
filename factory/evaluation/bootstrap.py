"""Bootstrap confidence intervals over images (Efron and Tibshirani, 1993, chapter 13: the percentile interval)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, Shaped


def resampled_sums(
    per_image: Shaped[Array, "images *rest"],
    groups: Sequence[str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Float[Array, "replicates *rest"]:
    """Sums over images drawn with replacement: one sum a replicate.

    ``groups`` names what each image was cut from; then whole groups are drawn, as parts of one picture are no
    independent evidence. The same seed draws the same images, so that two methods can be compared pair by pair.
    """
    if len(per_image) == 0:
        raise InputError("there are no images to resample")
    values = per_image.reshape(len(per_image), -1).astype(np.float64)
    if groups is not None:
        _, which = np.unique(np.asarray(groups), return_inverse=True)
        summed = np.zeros((which.max() + 1, values.shape[1]))
        np.add.at(summed, which, values)
        values = summed
    n = len(values)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates)
    return (counts @ values).reshape(replicates, *per_image.shape[1:])


def interval(
    per_image: Shaped[Array, "images *rest"],
    statistic: Callable[[Array], Array],
    groups: Sequence[str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[Array, Array]:
    """Low and high end of the ``level`` interval of a statistic of sums over images (NaN replicates are left out).

    ``statistic`` takes sums with a leading replicate dimension, as ``scores`` does.
    """
    values = statistic(resampled_sums(per_image, groups, replicates, seed))
    tail = 50 * (1 - level)
    empty = np.isnan(values).all(0)
    low, high = np.nanpercentile(np.where(empty, 0.0, values), [tail, 100 - tail], axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)
