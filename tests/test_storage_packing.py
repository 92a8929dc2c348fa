"""Packing of pictures: undone exactly, smaller for photographs, and readable through zarr-python."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from storage_data import fill, make_arrays, make_spec
from zarr.registry import register_codec

from labelfactory.errors import WorkError
from labelfactory.storage import InputError, create_store, open_dataset, verify
from labelfactory.storage.packing import PACKINGS, ROWS, row_differences
from labelfactory.storage.shards import decode_samples, decode_shard, encode_shard
from labelfactory.storage.zarr_codec import RowDifferences


@settings(deadline=None)
@given(samples=arrays_of.arrays(np.uint8, st.tuples(*[st.integers(1, n) for n in (3, 40, 5, 3)])))
@pytest.mark.parametrize("name", PACKINGS)
def test_what_is_packed_comes_back(name, samples):
    packed = np.ascontiguousarray(PACKINGS[name].forward(samples))
    PACKINGS[name].backward(packed)
    assert np.array_equal(packed, samples)


def test_rows_are_differences_to_the_row_above():
    picture = np.array([[[5, 250], [7, 3]]], np.uint8)
    assert row_differences(picture).tolist() == [[[5, 250], [2, 9]]]


def test_photographs_become_smaller():
    from sklearn.datasets import load_sample_images

    photos = np.stack([photo[100:356, 200:456] for photo in load_sample_images().images])
    sizes = {}
    for name in PACKINGS:
        array = make_spec(height=256, width=256, image_packing=name).arrays()[0]
        data = encode_shard(array, 2, photos)
        assert np.array_equal(decode_shard(array, 2, data, 2), photos)
        sizes[name] = len(data)
    assert sizes["rows"] < 0.85 * sizes[""]
    assert sizes["fast"] < 1.05 * sizes[""]
    assert sizes["raw"] == photos.nbytes + 2 * 4 + 2 * 16 + 4  # a checksum each, and the index with its own


@pytest.mark.parametrize(
    ("packing", "last"), [("fast", {"name": "zstd", "level": -1}), ("raw", {"name": "crc32c", "level": None})]
)
def test_every_zarr_reader_opens_what_needs_no_codec_of_ours(tmp_path, packing, last):
    spec = make_spec(image_packing=packing)
    fill(create_store(str(tmp_path / "set"), spec))
    assert verify(str(tmp_path / "set")).ok
    truth = np.concatenate([make_arrays(spec, shard)["image"] for shard in range(spec.num_shards)])
    assert np.array_equal(open_dataset(str(tmp_path / "set"), keep=False).read("image", range(10)), truth)
    group = zarr.open_group(str(tmp_path / "set"), mode="r")
    assert np.array_equal(group["image"][:], truth)
    found = {}
    for name in ("image", "mask"):
        (sharded,) = group[name].metadata.codecs
        codec = sharded.codecs[-1]
        found[name] = {"name": codec.to_dict()["name"], "level": getattr(codec, "level", None)}
    assert found == {"image": last, "mask": {"name": "zstd", "level": 1}}


def test_a_flipped_bit_in_raw_pictures_is_found_by_whoever_reads_it(tmp_path):
    spec = make_spec(image_packing="raw")
    fill(create_store(str(tmp_path / "set"), spec))
    path = next((tmp_path / "set" / "image" / "c").glob("1/0/0/0"))
    data = bytearray(path.read_bytes())
    data[spec.height * spec.width * spec.channels // 2] ^= 1  # in the first sample of shard 1
    path.write_bytes(data)
    dataset = open_dataset(str(tmp_path / "set"), keep=False)
    with pytest.raises(WorkError, match=r"shard 1 of .*a sample of image is damaged: its checksum does not match"):
        dataset.read("image", range(spec.count))
    assert dataset.read("image", range(spec.samples_per_shard)).shape[0] == spec.samples_per_shard
    assert not verify(str(tmp_path / "set")).ok
    array = spec.arrays()[0]
    with pytest.raises(WorkError, match="it has 7 bytes, not"):
        decode_samples(array, [b"1234567"], np.empty((1, *array.sample_shape), np.uint8))


def test_a_packed_store_is_read_verified_and_opened_by_zarr(tmp_path):
    spec = make_spec(image_packing="rows")
    fill(create_store(str(tmp_path / "set"), spec))
    assert verify(str(tmp_path / "set")).ok
    truth = np.concatenate([make_arrays(spec, shard)["image"] for shard in range(spec.num_shards)])
    assert np.array_equal(open_dataset(str(tmp_path / "set"), keep=False).read("image", range(10)), truth)
    register_codec(ROWS, RowDifferences)  # as the installed package's entry point does
    assert np.array_equal(zarr.open_group(str(tmp_path / "set"), mode="r")["image"][:], truth)
    create_store(str(tmp_path / "other"), make_spec())
    with pytest.raises(InputError, match="image_packing is None there, 'rows' here"):
        create_store(str(tmp_path / "other"), spec)
    with pytest.raises(InputError, match=r"image_packing is 'jpeg': expected one of \['', 'fast', 'raw', 'rows'\]"):
        make_spec(image_packing="jpeg")
