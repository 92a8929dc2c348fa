"""What a shard's arrays must be before they are written."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float16, Shaped, UInt8
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.storage.seeds import sample_seeds
from labelfactory.storage.shards import dtype_of
from labelfactory.storage.spec import DatasetSpec


def mask_pixels(mask: UInt8[np.ndarray, "n y x"]) -> list[int]:
    """How many pixels have each of the 256 values."""
    # Pillow's histogram is plain C over bytes; numpy.bincount would first widen every pixel to eight bytes.
    rows = np.ascontiguousarray(mask).reshape(-1, mask.shape[-1])
    return Image.fromarray(rows).histogram() if rows.size else [0] * 256


def value_problem(spec: DatasetSpec, value: Float16[np.ndarray, "n y x value_channel"]) -> str | None:
    """What keeps these from being the spec's values: a number that is not finite or outside its channel's range."""
    low, high = (np.array([getattr(info, name) for info in spec.values], np.float16) for name in ("low", "high"))
    wrong = ~((value >= low) & (value <= high))
    if not wrong.any():
        return None
    place = tuple(np.argwhere(wrong)[0].tolist())
    info = spec.values[place[-1]]
    return f"is {value[place]:g} in {info.name}, which reaches from {info.low:g} to {info.high:g} {info.unit}".rstrip()


def check_shard(spec: DatasetSpec, shard: int, arrays: Mapping[str, Shaped[np.ndarray, "n ..."]]) -> list[int]:
    """Refuses arrays that do not belong in this shard; gives the mask's pixel counts by value.

    Raises InputError: an array too many or too few, another dtype or shape, seeds that break the seed rule, a score
    that is not finite, a mask value that is neither a class nor ``ignore_index``, a value outside its range.
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
    problem = value_problem(spec, arrays["value"]) if spec.values else None
    if problem is not None:
        raise InputError(f"shard {shard}: value {problem}")
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
