"""The arrays of a store, as data."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ArraySpec:
    """One array of the store; its first dimension is always ``sample``."""

    name: str
    dtype: str
    dims: tuple[str, ...]
    sample_shape: tuple[int, ...]
    fill_value: int | float | bool
    per_sample: bool  # True: a chunk is one sample inside a sharded file; False: a chunk is one shard's whole range
    written_last: bool = False  # by finalize, over the whole set

    @property
    def sample_bytes(self) -> int:
        return _ITEM_BYTES[self.dtype] * math.prod(self.sample_shape)

    def chunk_path(self, shard: int) -> str:
        return "/".join([self.name, "c", str(shard), *("0" for _ in self.sample_shape)])


_ITEM_BYTES = {"bool": 1, "uint8": 1, "uint16": 2, "float16": 2, "float32": 4, "uint64": 8}
