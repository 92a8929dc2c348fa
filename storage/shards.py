"""Bytes of one array's shard: Zarr v3's sharding codec and plain zstd chunks, encoded and decoded without detours.

zarr-python writes the same bytes (tests compare them); doing it here gives the exact bytes to hash before they are
stored, works sample by sample in bounded memory, and costs no event loop a chunk.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import google_crc32c
import numpy as np
import zstandard
from jaxtyping import Shaped, UInt64
from numcodecs.zstd import Zstd

from labelfactory.errors import WorkError
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.packing import PACKINGS

_ABSENT = 2**64 - 1
_CRC_BYTES = 4
_AT_ONCE = 8  # samples that are unpacked together: few enough to be in the processor's cache still
_local = threading.local()
_DTYPE = {"bool": "|b1", "uint8": "|u1", "uint16": "<u2", "float16": "<f2", "float32": "<f4", "uint64": "<u8"}


def dtype_of(array: ArraySpec) -> np.dtype:
    """Little-endian on every machine, as the metadata says."""
    return np.dtype(_DTYPE[array.dtype])


def frame_encoder(level: int | None) -> Callable[[Any], bytes]:
    """What makes a sample's frame of its bytes: zstd of this level with its checksum, or None: the bytes and a CRC."""
    if level is None:
        return _with_crc
    zstd = Zstd(level=level, checksum=True)
    return lambda sample: bytes(zstd.encode(sample))


def _with_crc(values: Any) -> bytes:
    """The bytes of an array or buffer, and after them their CRC-32C: Zarr's codec ``crc32c``."""
    data = bytes(memoryview(values).cast("B"))
    return data + google_crc32c.value(data).to_bytes(_CRC_BYTES, "little")


def _without_crc(frame: bytes | memoryview, size: int) -> memoryview:
    """The ``size`` bytes that ``_with_crc`` was given; ValueError where the checksum does not match."""
    if len(frame) != size + _CRC_BYTES:
        raise ValueError(f"it has {len(frame)} bytes, not {size + _CRC_BYTES}")
    data = memoryview(frame)[:size]
    # It takes no memoryviews; an array over the same memory spares a copy.
    if google_crc32c.value(np.frombuffer(data, np.uint8)) != int.from_bytes(frame[size:], "little"):
        raise ValueError("its checksum does not match")
    return data


class ShardEncoder:
    """Takes a shard's samples block by block and ends with its bytes; holds them compressed only."""

    def __init__(self, array: ArraySpec, samples_per_shard: int) -> None:
        self.array, self.slots = array, samples_per_shard
        self._encode = frame_encoder(PACKINGS[array.packing].level)
        self._parts: list[bytes] = []
        self._count = 0

    def append(self, samples: Shaped[np.ndarray, "n ..."]) -> None:
        samples = np.ascontiguousarray(samples, dtype=dtype_of(self.array))
        self._count += len(samples)
        if self.array.per_sample:
            packed = PACKINGS[self.array.packing].forward(samples)
            self._parts.extend(self._encode(sample) for sample in packed)
        else:
            self._parts.append(samples.tobytes())

    def finish(self) -> bytes:
        """The file's bytes. A last, shorter shard leaves its spare slots absent (sharded) or filled (plain)."""
        if not self.array.per_sample:
            dtype, shape = dtype_of(self.array), (self.slots - self._count, *self.array.sample_shape)
            spare = np.full(shape, float(self.array.fill_value), dtype)
            return self._encode(b"".join(self._parts) + spare.tobytes())
        index = np.full((self.slots, 2), _ABSENT, dtype="<u8")
        sizes = np.array([len(part) for part in self._parts], dtype="<u8")
        index[: self._count, 0] = np.cumsum(sizes) - sizes
        index[: self._count, 1] = sizes
        return b"".join([*self._parts, _with_crc(index)])


def encode_shard(array: ArraySpec, samples_per_shard: int, samples: Shaped[np.ndarray, "n ..."]) -> bytes:
    encoder = ShardEncoder(array, samples_per_shard)
    encoder.append(samples)
    return encoder.finish()


def index_bytes(samples_per_shard: int) -> int:
    """Length of a sharded file's index: offset and length of every slot, and the checksum."""
    return 16 * samples_per_shard + _CRC_BYTES


def decode_index(tail: bytes, samples_per_shard: int) -> UInt64[np.ndarray, "slots 2"]:
    """Offset and length of every sample, from the last ``index_bytes`` of a sharded file."""
    size = index_bytes(samples_per_shard)
    try:
        encoded = _without_crc(tail[-size:], size - _CRC_BYTES)
    except ValueError as error:
        raise WorkError(f"the shard's index is damaged ({error})") from error
    return np.frombuffer(encoded, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def _decompress(frame: bytes | memoryview, size: int) -> bytes:
    """A zstd frame's ``size`` bytes, its checksum tested; ValueError or ZstdError where it is not that."""
    # One context a thread: making one for each frame, as numcodecs does, costs more than decoding a small picture.
    zstd = getattr(_local, "zstd", None)
    if zstd is None:
        zstd = _local.zstd = zstandard.ZstdDecompressor()
    if zstandard.frame_content_size(frame) != size:
        raise ValueError(f"its frame does not say that it holds {size} bytes")
    data: bytes = zstd.decompress(frame, allow_extra_data=False)
    return data


def decode_samples(array: ArraySpec, frames: Sequence[bytes | memoryview], out: Shaped[np.ndarray, "n ..."]) -> None:
    """Decodes the frames into ``out`` (contiguous, of the array's dtype), equal parts of it, each checksum tested."""
    if out.size == 0:
        return
    target = memoryview(out.data).cast("B")
    size = target.nbytes // len(frames)
    packing = PACKINGS[array.packing]
    for first in range(0, len(frames), _AT_ONCE):
        for i in range(first, min(first + _AT_ONCE, len(frames))):
            try:
                data = _without_crc(frames[i], size) if packing.level is None else _decompress(frames[i], size)
                target[i * size : (i + 1) * size] = data
            except (zstandard.ZstdError, ValueError) as error:
                raise WorkError(f"a sample of {array.name} is damaged: {error}") from error
        if array.packing:
            packing.backward(out[first : first + _AT_ONCE])


def decode_shard(array: ArraySpec, samples_per_shard: int, data: bytes, count: int) -> Shaped[np.ndarray, "count ..."]:
    """The first ``count`` samples of a whole file."""
    if not array.per_sample:
        flat = np.empty((samples_per_shard, *array.sample_shape), dtype_of(array))
        decode_samples(array, [data], flat)
        return flat[:count]
    index = decode_index(data, samples_per_shard)
    out = np.empty((count, *array.sample_shape), dtype_of(array))
    view = memoryview(data)
    decode_samples(array, [view[int(start) : int(start + size)] for start, size in index[:count]], out)
    return out
