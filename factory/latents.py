"""From a sample's seed to its latent z and its class: the same numbers on every machine, today and in years."""

from collections.abc import Iterable, Sequence

import numpy as np

from labelfactory.interpreters.array_types import Float, Int


def latents(seeds: Iterable[int], shape: int | tuple[int, ...]) -> Float[np.ndarray, "samples ..."]:
    """z ~ N(0, 1), float32, one of that shape (``ImageGenerator.latent_shape``) for each seed (0 to 2**64 - 1).

    Philox is counter-based: a latent depends on its seed alone, not on those before it (Salmon et al., SC 2011).
    """
    return _normal(seeds, 0, (shape,) if isinstance(shape, int) else shape)


def sibling_latents(seeds: Iterable[int], number: int, shape: tuple[int, ...]) -> Float[np.ndarray, "samples ..."]:
    """z ~ N(0, 1) as ``latents``, of which sibling ``number`` (from 0 on) of each sample has its fine styles.

    Philox(key=[seed, 2**32 + number]).
    """
    return _normal(seeds, 2**32 + number, shape)


def _normal(seeds: Iterable[int], stream: int, shape: tuple[int, ...]) -> Float[np.ndarray, "samples ..."]:
    """One array of N(0, 1) for each seed, of that of its streams: Philox(key=[seed, stream])."""
    rows = [
        np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))).standard_normal(
            shape, dtype=np.float32
        )
        for seed in seeds
    ]
    return np.stack(rows) if rows else np.empty((0, *shape), np.float32)


def drawn_classes(seeds: Iterable[int], classes: Sequence[int]) -> Int[np.ndarray, "samples"] | None:
    """Class of a conditional generator for each seed, all of ``classes`` equally likely; None where there are none.

    The first raw 64-bit word of Philox(key=[seed, 2]), modulo the number of classes, is the place in ``classes``.
    """
    if not classes:
        return None
    words = [int(np.random.Philox(key=np.array([seed, 2], dtype=np.uint64)).random_raw()) for seed in seeds]
    return np.array([classes[word % len(classes)] for word in words], np.int64)
