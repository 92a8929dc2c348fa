"""Which pairs are seen more often: so that a set's masks are like those of real pictures, or rare classes not rare.

A weight for each pair becomes a list of its numbers in which it stands that often, so that whatever reads pairs by
number (an order of epochs, a relabelled copy) needs to know nothing of weights.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import Pairs
from labelfactory.interpreters.array_types import Float, Int, UInt8
from labelfactory.interpreters.classes import LabelClass
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import connected_objects, countable
from labelfactory.progress import Progress

BLOCK = 512  # masks that are in memory
MOST_REAL = 5000  # real masks that are looked at, evenly out of all
LARGEST = 5.0  # most that a weight may be of the mean, and that a fifth of it is the least
FEWEST = 16  # masks on either side to compare


def weights_like(
    pairs: Pairs, real: Pairs, classes: Sequence[LabelClass], progress: bool = True
) -> Float[np.ndarray, "pairs"]:
    """Weights by which the pairs' masks are as those of ``real`` pictures: classes, sizes, touching objects.

    InputError for fewer than 16 masks in either.
    """
    if min(len(pairs), len(real)) < FEWEST:
        raise InputError(f"{len(pairs)} pairs and {len(real)} real masks: expected {FEWEST} or more of each to compare")
    ours = described(pairs, range(len(pairs)), classes, progress)
    some = np.linspace(0, len(real) - 1, min(len(real), MOST_REAL)).astype(int).tolist()
    return likeness(ours, described(real, some, classes, progress))


def weights_of_rare(
    pairs: Pairs, classes: Sequence[LabelClass], threshold: float, progress: bool = True
) -> Float[np.ndarray, "pairs"]:
    """Weights by which pairs that show a rare class come more often; no pair comes less than once.

    Repeat factors of Gupta et al. (LVIS, CVPR 2019, section 6): max over a pair's classes c of max(1, sqrt(t / f_c)),
    f_c the share of the pairs that show c and t the ``threshold``.
    """
    shows = described(pairs, range(len(pairs)), classes, progress)[:, : len(classes)] > 0
    share = shows.mean(0)
    factors = np.maximum(1, np.sqrt(threshold / np.maximum(share, 1 / len(pairs))))
    return np.asarray(np.where(shows, factors, 1).max(1))


def described(
    pairs: Pairs, numbers: Sequence[int], classes: Sequence[LabelClass], progress: bool = True
) -> Float[np.ndarray, "pairs figures"]:
    """``figures`` of each mask."""
    found = []
    with Progress(total=len(numbers), desc="masks", unit="mask", disable=not progress, leave=False) as bar:
        for start in range(0, len(numbers), BLOCK):
            some = pairs.fetch(list(numbers[start : start + BLOCK]))
            found += [figures(pair.mask, classes) for pair in some]
            bar.update(len(some))
    return np.array(found)


def figures(mask: UInt8[np.ndarray, "height width"], classes: Sequence[LabelClass]) -> Float[np.ndarray, "figures"]:
    """What a mask shows: root of each class's share; of each class of things the root of the number of its objects and
    of their mean area's share; and the root of the share of pixels at which two objects touch."""
    labelled = max(1, int((mask != IGNORE_INDEX).sum()))
    shares = np.bincount(mask.ravel(), minlength=256)[: len(classes)] / labelled
    things, boundary = countable(classes)
    numbers, of_class = connected_objects(mask, things, boundary)
    objects = np.array([(of_class == thing).sum() for thing in things])
    areas = shares[things] / np.maximum(1, objects)
    around = ndimage.maximum_filter(numbers, 3)
    beside = np.where(numbers > 0, numbers, numbers.max(initial=0) + 1)
    touching = ((numbers > 0) & (ndimage.minimum_filter(beside, 3) != around)).sum() / labelled
    return np.sqrt(np.concatenate([shares, objects, areas, [touching]]))


def likeness(ours: Float[np.ndarray, "n figures"], real: Float[np.ndarray, "m figures"]) -> Float[np.ndarray, "n"]:
    """How much likelier each of our rows is among the real ones than among ours: a ratio of densities, of mean 1.

    By a logistic regression that tells the two apart (Bickel et al., JMLR 2009, section 4): p / (1 - p), within a
    fifth and five times, so that no pair makes up for many.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    rows = np.concatenate([ours, real])
    which = np.repeat([0, 1], [len(ours), len(real)])
    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler(),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
    )  # fmt: skip
    logit = model.fit(rows, which).decision_function(ours)
    ratio = np.exp(np.clip(logit, -np.log(LARGEST), np.log(LARGEST)))
    return np.asarray(ratio / ratio.mean())


def occurrences(weights: Float[np.ndarray, "n"]) -> Int[np.ndarray, "total"]:
    """Numbers 0 to n - 1, number i floor(w_i) or ceil(w_i) times: systematic sampling, the same each time."""
    ends = np.floor(np.cumsum(weights) + 0.5 - 1e-9).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    return np.repeat(np.arange(len(weights)), counts)
