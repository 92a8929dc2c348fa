"""What samples are made from, by their indices alone: seeds, latents, classes, and where in a walk they stand."""

import math

import numpy as np

from labelfactory.array_types import Float, Int, Shaped, UInt64
from labelfactory.factory.latents import drawn_classes, latents
from labelfactory.storage import DatasetSpec
from labelfactory.storage.seeds import seeds_at
from labelfactory.storage.walks import frames_at


def drawn(
    spec: DatasetSpec, indices: UInt64[np.ndarray, "n"], shape: tuple[int, ...]
) -> tuple[Float[np.ndarray, "n ..."], Int[np.ndarray, "n"] | None, dict[str, Shaped[np.ndarray, "n ..."]]]:
    """Latents of that shape, classes of a conditional generator, and the arrays of a store that say so."""
    seeds = seeds_at(spec.seed, indices)
    known: dict[str, np.ndarray] = {"seed": seeds}
    if spec.walk:
        sequence, frame = frames_at(spec.walk, indices)
        known |= {"sequence": sequence, "frame": frame.astype(np.uint16)}
        z = _walked(spec, indices, shape)
        classes = drawn_classes(seeds_at(spec.seed, indices - frame).tolist(), spec.conditions)
    else:
        z = latents(seeds.tolist(), shape)
        classes = drawn_classes(seeds.tolist(), spec.conditions)
    known["latent"] = z.reshape(len(z), -1)
    if classes is not None:
        known["condition"] = classes.astype(np.uint16)
    return z, classes, known


def _walked(spec: DatasetSpec, indices: UInt64[np.ndarray, "n"], shape: tuple[int, ...]) -> Float[np.ndarray, "n ..."]:
    """cos(a) z0 + sin(a) z1: on a circle through two independent latents of N(0, 1), so that every frame is of N(0, 1)
    too, and as typical as any sample. Neighbours are equally far from each other.
    """
    sequences, frames = frames_at(spec.walk, indices)
    which, place = np.unique(sequences, return_inverse=True)
    first = which * np.uint64(spec.walk)
    starts, ends = (latents(seeds_at(spec.seed, first + np.uint64(i)).tolist(), shape) for i in (0, 1))
    angles = [math.radians(int(frame) * spec.walk_degrees / spec.walk) for frame in frames]
    # Rounded before the products: the last bit of another machine's cosine does not reach the latents.
    axes = (len(angles), *(1 for _ in shape))
    cosines, sines = (np.array([f(a) for a in angles], np.float32).reshape(axes) for f in (math.cos, math.sin))
    return np.asarray(cosines * starts[place] + sines * ends[place])
