"""How pictures are made smaller before zstd: one contract, one table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labelfactory.array_types import UInt8


@dataclass(frozen=True)
class Packing:
    """What happens to uint8 samples before zstd, and after it.

    ``codecs`` are the Zarr v3 codecs that say so; ``forward`` gives what is stored; ``backward`` undoes it in place.
    ``level`` is zstd's; None leaves zstd out: samples are stored as they are, each with its CRC-32C.
    """

    help: str
    forward: Callable[[UInt8[np.ndarray, "n y ..."]], UInt8[np.ndarray, "n y ..."]]
    backward: Callable[[UInt8[np.ndarray, "n y ..."]], None]
    codecs: tuple[dict[str, Any], ...] = field(default=())
    level: int | None = 1


def row_differences(samples: UInt8[np.ndarray, "n y ..."]) -> UInt8[np.ndarray, "n y ..."]:
    """Each row minus the one above it, modulo 256; the first row stays."""
    out = samples.copy()
    out[:, 1:] -= samples[:, :-1]
    return out


def sum_rows(samples: UInt8[np.ndarray, "n y ..."]) -> None:
    """Undoes ``row_differences``: each row becomes the sum of those down to it, modulo 256.

    First within blocks of about the square root of the height, then from block to block: 2 sqrt(h) long additions
    instead of h short ones.
    """
    count, height = samples.shape[:2]
    size = next(size for size in range(int(height**0.5), 0, -1) if height % size == 0)
    blocks = samples.reshape(count, height // size, size, -1)
    for row in range(1, size):
        np.add(blocks[:, :, row], blocks[:, :, row - 1], out=blocks[:, :, row])
    for block in range(1, height // size):
        np.add(blocks[:, block], blocks[:, block - 1, -1:], out=blocks[:, block])


ROWS = "labelfactory.row_differences"  # the codec's name in a store's metadata; storage.zarr_codec has it for Zarr

PACKINGS: dict[str, Packing] = {
    "": Packing("zstd alone, which every Zarr reader has", lambda samples: samples, lambda samples: None),
    "fast": Packing(
        "zstd that leaves rare bytes as they are: every Zarr reader has it, read in two thirds of the time",
        lambda samples: samples,
        lambda samples: None,
        level=-1,
    ),
    "raw": Packing(
        "no compression, a checksum each: every Zarr reader has it, pictures are read in half the time",
        lambda samples: samples,
        lambda samples: None,
        level=None,
    ),
    "rows": Packing(
        "differences of rows, then zstd: photographs a quarter smaller, for our readers and zarr-python with our codec",
        row_differences,
        sum_rows,
        ({"name": ROWS, "configuration": {}},),
    ),
}
