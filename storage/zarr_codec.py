"""The codec ``labelfactory.row_differences`` for zarr-python, which finds it where labelfactory is installed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.abc.codec import ArrayArrayCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import NDBuffer

from labelfactory.storage.packing import ROWS, row_differences, sum_rows


@dataclass(frozen=True)
class RowDifferences(ArrayArrayCodec):
    """Each row of every sample minus the one above it, modulo 256; chunks are (sample, y, ...) of uint8."""

    is_fixed_size = True

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RowDifferences":
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return {"name": ROWS, "configuration": {}}

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        return chunk_spec.prototype.nd_buffer.from_numpy_array(row_differences(chunk_array.as_numpy_array()))

    async def _decode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        samples = np.array(chunk_array.as_numpy_array(), order="C")
        sum_rows(samples)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(samples)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        return input_byte_length
