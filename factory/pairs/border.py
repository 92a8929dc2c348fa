"""U-Net's border weight map (Ronneberger et al., MICCAI 2015, equation 2): the gaps between objects count more."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy import ndarray as Array
from scipy import ndimage

from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.interpreters.array_types import Float, Shaped
from labelfactory.interpreters.classes import LabelClass
from labelfactory.limits import IGNORE_INDEX, MAX_CLASSES
from labelfactory.masks import connected_objects, countable


def border_weights(
    instances: Shaped[Array, "height width"], w0: float = 10.0, sigma: float = 5.0
) -> Float[Array, "height width"]:
    """1 + w0 exp(-(d1 + d2)^2 / 2 sigma^2) between instances (U-Net, equation 2, without its class term).

    ``d1`` and ``d2`` are the distances in pixels to the nearest and second nearest instance; only background pixels
    (0) get the extra weight, as the gap between touching cells is what the network must learn. ``ignore_index`` pixels
    are no instance.
    """
    _, places = np.unique(instances, return_inverse=True)
    boxes = ndimage.find_objects(places.reshape(instances.shape) + 1)
    nearest = np.full((2, *instances.shape), np.inf)
    reach = math.ceil(5 * sigma)  # beyond it the weight is below w0 exp(-12.5)
    for number, box in enumerate(boxes):
        window = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in box)
        inside = places.reshape(instances.shape)[window] == number
        if instances[window][inside][0] in (0, IGNORE_INDEX):
            continue
        distance = ndimage.distance_transform_edt(~inside)
        d1, d2 = nearest[:, *window]
        d2[...] = np.minimum(d2, np.maximum(d1, distance))
        d1[...] = np.minimum(d1, distance)
    extra = w0 * np.exp(-(nearest.sum(0) ** 2) / (2 * sigma**2))
    return (1 + extra * (instances == 0)).astype(np.float32)


class BorderWeighted(Pairs):
    """Pairs whose weights also count the gaps between objects (U-Net's border map).

    Objects are the pair's instances, or else the connected parts of the classes that are things
    (``masks.connected_objects``); where no ``classes`` are named that is every class but 0.
    """

    def __init__(
        self, pairs: Pairs, w0: float = 10.0, sigma: float = 5.0, classes: Sequence[LabelClass] | None = None
    ) -> None:
        self.pairs, self.w0, self.sigma = pairs, w0, sigma
        self.things, self.boundary = (list(range(1, MAX_CLASSES)), None) if classes is None else countable(classes)

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers, with their border weights."""
        out = []
        for pair in self.pairs.fetch(indices):
            weights = border_weights(self._objects(pair), self.w0, self.sigma)
            out.append(replace(pair, weights=weights if pair.weights is None else weights * pair.weights))
        return out

    def _objects(self, pair: Pair) -> Shaped[Array, "height width"]:
        if pair.instances is None:
            present = set(np.unique(pair.mask).tolist())
            return connected_objects(pair.mask, [t for t in self.things if t in present], self.boundary)[0]
        # Numbers from 255 on are plain numbers here, while 255 means "not labelled" to border_weights.
        beyond = np.where(pair.instances >= IGNORE_INDEX, pair.instances.astype(np.int64) + 1, pair.instances)
        return np.asarray(beyond)
