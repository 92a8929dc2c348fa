"""What a shard's arrays must be before they are written."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from storage.errors import InputError
from storage.seeds import sample_seeds
from storage.shards import dtype_of
from storage.spec import DatasetSpec


def mask_pixels(mask: UInt8[np.ndarray, "n y x"]) -> list[int]:
    """How many pixels have each of the 256 values."""
    # Pillow's histogram is plain C over bytes; numpy.bincount would first widen every pixel to eight bytes.
    rows = np.ascontiguousarray(mask).reshape(-1, mask.shape[-1])
    return Image.fromarray(rows).histogram() if rows.size else [0] * 256


def check_shard(spec: DatasetSpec, shard: int, arrays: Mapping[str, Shaped[np.ndarray, "n ..."]]) -> list[int]:
    """Refuses arrays that do not belong in this shard; gives the mask's pixel counts by value.

    Raises InputError: an array too many or too few, another dtype or shape, seeds that break the seed rule, a score
    that is not finite, a mask value that is neither a class nor ``ignore_index``.
    """
    start, stop = spec.shard_range(shard)
    wanted = {array.name: array for array in spec.shard_arrays()}
    if set(arrays) != set(wanted):
        raise InputError(f"shard {shard} was given {sorted(arrays)}: expected exactly {sorted(wanted)}")
    for name, array in wanted.items():
        given, shape = arrays[name], (stop - start, *array.sample_shape)
        if given.shape != shape or given.dtype != dtype_of(array):
            raise InputError(
                f"shard {shard}: {name} is {given.dtype} {given.shape}, expected {array.dtype} {shape} "
                f"(samples {start} to {stop - 1})"
            )
    if not np.array_equal(arrays["seed"], sample_seeds(spec.seed, start, stop)):
        raise InputError(
            f"shard {shard}: seeds break the seed rule; take them from sample_seeds({spec.seed}, {start}, {stop})"
        )
    if not np.isfinite(arrays["uncertainty_score"]).all():
        raise InputError(f"shard {shard}: uncertainty_score has values that are not finite, so keep cannot be computed")
    pixels = mask_pixels(arrays["mask"])
    unknown = [
        value for value, n in enumerate(pixels) if n and value >= len(spec.classes) and value != spec.ignore_index
    ]
    if unknown:
        raise InputError(
            f"shard {shard}: mask has the value {unknown[0]}, expected class ids 0 to {len(spec.classes) - 1} "
            f"or {spec.ignore_index} (ignore)"
        )
    return pixels
