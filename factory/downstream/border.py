"""U-Net's border weight map (Ronneberger et al., MICCAI 2015, equation 2): the gaps between objects count more."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy import ndarray as Array
from scipy import ndimage

from factory.downstream.metrics import IGNORE_INDEX
from factory.downstream.pairs import Pair, Pairs
from interpreters.shapes import Float, Shaped, UInt8


def border_weights(
    instances: Shaped[Array, "height width"], w0: float = 10.0, sigma: float = 5.0
) -> Float[Array, "height width"]:
    """1 + w0 exp(-(d1 + d2)^2 / 2 sigma^2) between instances (U-Net, equation 2, without its class term).

    ``d1`` and ``d2`` are the distances in pixels to the nearest and second nearest instance; only background pixels
    (0) get the extra weight, as the gap between touching cells is what the network must learn. ``ignore_index`` pixels
    are no instance.
    """
    ids = [i for i in np.unique(instances) if i not in (0, IGNORE_INDEX)]
    if len(ids) < 2:
        return np.ones(instances.shape, np.float32)
    distances = np.stack([ndimage.distance_transform_edt(instances != i) for i in ids])
    d1, d2 = np.partition(distances, 1, axis=0)[:2]
    extra = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return (1 + extra * (instances == 0)).astype(np.float32)


class BorderWeighted(Pairs):
    """Pairs whose weights also count the gaps between objects (U-Net's border map).

    Objects are the pair's instances, or else the connected parts of each class other than background (0).
    """

    def __init__(self, pairs: Pairs, w0: float = 10.0, sigma: float = 5.0) -> None:
        self.pairs, self.w0, self.sigma = pairs, w0, sigma

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers, with their border weights."""
        out = []
        for pair in self.pairs.fetch(indices):
            objects = connected_objects(pair.mask) if pair.instances is None else pair.instances
            weights = border_weights(objects, self.w0, self.sigma)
            out.append(replace(pair, weights=weights if pair.weights is None else weights * pair.weights))
        return out


def connected_objects(mask: UInt8[Array, "height width"]) -> Shaped[Array, "height width"]:
    """Connected parts of each class other than background and unlabelled pixels, numbered from 1."""
    objects, count = np.zeros(mask.shape, np.int32), 0
    for label in np.unique(mask):
        if label not in (0, 255):
            parts, found = ndimage.label(mask == label)
            objects[parts > 0] = parts[parts > 0] + count
            count += found
    return objects
