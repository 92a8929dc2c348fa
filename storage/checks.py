"""What a shard's arrays must say, before they are written and whenever they are verified: rules by role."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.seeds import sample_seeds
from labelfactory.storage.shards import dtype_of
from labelfactory.storage.spec import DatasetSpec
from labelfactory.storage.walks import frames_at


def mask_pixels(mask: UInt8[np.ndarray, "n y x"]) -> list[int]:
    """How many pixels have each of the 256 values."""
    # Pillow's histogram is plain C over bytes; numpy.bincount would first widen every pixel to eight bytes.
    rows = np.ascontiguousarray(mask).reshape(-1, mask.shape[-1])
    return Image.fromarray(rows).histogram() if rows.size else [0] * 256


def mask_problem(spec: DatasetSpec, pixels: list[int]) -> str | None:
    """What keeps a mask with these counts by value (``mask_pixels``) from being the spec's; None where nothing does."""
    known = {*range(len(spec.classes)), spec.ignore_index}
    wrong = next((value for value, n in enumerate(pixels) if n and value not in known), None)
    if wrong is None:
        return None
    return f"has the value {wrong}, expected class ids 0 to {len(spec.classes) - 1} or {spec.ignore_index} (ignore)"


def problem(spec: DatasetSpec, array: ArraySpec, values: Shaped[np.ndarray, "n ..."], start: int) -> str | None:
    """What keeps these from being the array's values of samples ``start`` and following (but for a mask's)."""
    if array.role == "seed" and not np.array_equal(values, sample_seeds(spec.seed, start, start + len(values))):
        return "breaks the seed rule"
    if array.role in ("sequence", "frame"):
        indices = np.arange(start, start + len(values), dtype=np.uint64)
        right = dict(zip(("sequence", "frame"), frames_at(spec.walk, indices), strict=True))
        if not np.array_equal(values, right[array.role]):
            return "breaks the walk rule"
    if array.role == "score" and not np.isfinite(values).all():
        return "has values that are not finite, so keep cannot be computed"
    return range_problem(array, values)


def range_problem(array: ArraySpec, values: Shaped[np.ndarray, "n ..."]) -> str | None:
    """A number that is not finite or outside its channel's range."""
    if not any(channel.bounded for channel in array.channels):
        return None
    low, high = (np.array([getattr(c, name) for c in array.channels], values.dtype) for name in ("low", "high"))
    axis = array.channel_dim
    last = values[..., None] if axis is None else np.moveaxis(values, axis, -1)
    wrong = ~((last >= low) & (last <= high))
    wrong &= [channel.bounded for channel in array.channels]
    if not wrong.any():
        return None
    place = tuple(np.argwhere(wrong)[0].tolist())
    info = array.channels[place[-1]]
    return f"is {last[place]:g} in {info.name}, which reaches from {info.low:g} to {info.high:g} {info.unit}".rstrip()


def check_shard(spec: DatasetSpec, shard: int, arrays: Mapping[str, Shaped[np.ndarray, "n ..."]]) -> list[int]:
    """Refuses arrays that do not belong in this shard; gives the mask's pixel counts by value.

    Raises InputError: an array too many or too few, another dtype or shape, or values that break a rule of their role.
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
        if (found := problem(spec, array, given, start)) is not None:
            hint = f"; take them from sample_seeds({spec.seed}, {start}, {stop})" if array.role == "seed" else ""
            raise InputError(f"shard {shard}: {name} {found}{hint}")
    pixels = mask_pixels(arrays["mask"])
    if (found := mask_problem(spec, pixels)) is not None:
        raise InputError(f"shard {shard}: mask {found}")
    return pixels
