"""The bytes of a shard: the same as zarr-python's, and nothing lost for any content and any size."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from storage_data import make_arrays, make_spec
from zarr.core.buffer.cpu import Buffer
from zarr.storage import MemoryStore

from labelfactory.storage import WorkError
from labelfactory.storage.metadata import metadata_documents
from labelfactory.storage.shards import decode_index, decode_shard, dtype_of, encode_shard, index_bytes

FULL = make_spec(keypoints=("tip",), value=True, instance=True)


@pytest.mark.parametrize("array", FULL.arrays(), ids=lambda array: array.name)
def test_zarr_writes_the_same_bytes_into_the_same_metadata(array):
    documents = {path: Buffer.from_bytes(data) for path, data in metadata_documents(FULL, {}).items()}
    theirs = zarr.open_group(MemoryStore(documents), mode="r+")[array.name]
    content = np.concatenate([make_arrays(FULL, k)[array.name] for k in range(3)]) if not array.written_last else None
    content = np.arange(10) % 3 > 0 if content is None else content
    theirs[:] = content
    for shard in range(3):
        start, stop = FULL.shard_range(shard)
        assert documents[array.chunk_path(shard)].to_bytes() == encode_shard(array, 4, content[start:stop])


@given(data=st.data(), slots=st.integers(1, 9), name=st.sampled_from([array.name for array in FULL.arrays()]))
def test_any_content_of_any_shard_size_round_trips(data, slots, name):
    array = next(array for array in FULL.arrays() if array.name == name)
    count = data.draw(st.integers(1, slots))
    dtype = dtype_of(array)
    raw = data.draw(arrays_of.arrays(np.uint8, (count, *array.sample_shape, dtype.itemsize)))
    samples = raw.view(dtype)[..., 0] if array.dtype != "bool" else (raw[..., 0] % 2).astype(bool)
    back = decode_shard(array, slots, encode_shard(array, slots, samples), count)
    assert back.dtype == dtype
    assert back.tobytes() == samples.tobytes()  # bit for bit, NaN payloads too


def test_damage_is_noticed_while_decoding():
    array = FULL.arrays()[0]
    good = encode_shard(array, 4, make_arrays(FULL, 0)["image"])
    index = decode_index(good, 4)
    assert len(good) == index.sum(axis=1).max() + index_bytes(4)
    for position in (5, int(index[1].sum()) - 2, len(good) - 10, len(good) - 1):
        bad = bytearray(good)
        bad[position] ^= 4
        with pytest.raises(WorkError, match="damaged"):
            decode_shard(array, 4, bytes(bad), 4)
    with pytest.raises(WorkError, match="index is damaged"):
        decode_shard(array, 4, good[:20], 4)
