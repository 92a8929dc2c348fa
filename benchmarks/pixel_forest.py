"""A random forest on filters of single pixels, as ilastik has it: what people use who train no network."""

from itertools import product

import numpy as np
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

SCALES = (0.7, 1.0, 1.6, 3.5, 5.0)
TREES = 100  # ilastik's number


def filters(image: np.ndarray, position: bool = False) -> np.ndarray:
    """ilastik's features of every pixel: Gaussian, Laplacian, gradient magnitude, structure tensor, at five scales, of
    every channel; ``position`` adds row, column and the distance from the middle."""
    maps = []
    for x, sigma in product(np.moveaxis(image.astype(np.float32) / 255, -1, 0), SCALES):
        dy, dx = (ndimage.gaussian_filter(x, sigma, order=o) for o in ((1, 0), (0, 1)))
        yy, xx, xy = (ndimage.gaussian_filter(v, sigma) for v in (dy * dy, dx * dx, dx * dy))
        half, root = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
        maps += [ndimage.gaussian_filter(x, sigma), ndimage.gaussian_laplace(x, sigma), np.hypot(dy, dx)]
        maps += [half + root, half - root]
    if position:
        y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape[:2]), indexing="ij")
        maps += [y, x, np.hypot(y, x)]
    return np.stack(maps, -1).reshape(-1, len(maps))


def grown(features: np.ndarray, labels: np.ndarray, seed: int = 0, threads: int = 1) -> RandomForestClassifier:
    """A forest of pixels' features and classes."""
    return RandomForestClassifier(TREES, random_state=seed, n_jobs=threads).fit(features, labels)
