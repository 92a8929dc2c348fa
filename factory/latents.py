"""From a sample's seed to its latent z: the same numbers on every machine, today and in years."""

from collections.abc import Iterable

import numpy as np

from labelfactory.interpreters.array_types import Float


def latents(seeds: Iterable[int], z_dim: int) -> Float[np.ndarray, "samples z_dim"]:
    """z ~ N(0, 1), float32, one row for each seed (0 to 2**64 - 1).

    Philox is counter-based: a row depends on its seed alone, not on the rows before it (Salmon et al., SC 2011).
    """
    rows = [
        np.random.Generator(np.random.Philox(key=np.array([seed, 0], dtype=np.uint64))).standard_normal(
            z_dim, dtype=np.float32
        )
        for seed in seeds
    ]
    return np.stack(rows) if rows else np.empty((0, z_dim), np.float32)
