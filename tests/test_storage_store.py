"""Making a store: what is written, by whom, and what another look at it finds."""

import json
import uuid
from dataclasses import replace

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_data import VALUES, fill, make_arrays, make_spec, tree

from labelfactory.storage import InputError, WorkError, create_store, finalize, open_dataset, open_store, repair, verify


def expected(spec, name):
    return np.concatenate([make_arrays(spec, k)[name] for k in range(spec.num_shards)])


def test_zarr_and_xarray_read_the_store_without_our_code(tmp_path):
    spec = make_spec(keypoints=("tip", "tail"), keypoint_uncertainty=True, values=VALUES, instance=True)
    fill(create_store(str(tmp_path / "set"), spec))
    group = zarr.open_group(str(tmp_path / "set"), mode="r")
    opened = xarray.open_zarr(str(tmp_path / "set"))
    for array in spec.shard_arrays():
        assert group[array.name].shape == (10, *array.sample_shape)
        assert opened[array.name].dims == array.dims
        assert group[array.name].dtype == opened[array.name].dtype == np.dtype(array.dtype)
        assert np.array_equal(group[array.name][:], expected(spec, array.name))
        assert np.array_equal(opened[array.name].values, expected(spec, array.name))
    assert set(opened.data_vars) == {array.name for array in spec.arrays()}
    assert not opened.coords
    assert group["keep"][:].sum() == 9
    assert group.attrs["class_names"] == ["background", "nucleus", "rest"]


def test_the_same_spec_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        fill(create_store(str(tmp_path / name), make_spec(seed=seed)))
    a, b, c = (tree(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[path] != c[path] for path in a if path.startswith(("image/c", "_commits")))
    assert not any(path.startswith(("_tmp", "_claims")) for path in a)


def test_a_store_keeps_the_dimension_names_that_it_was_created_with(tmp_path):
    """Stores of the first releases call latent's second dimension like the array, and go on doing so."""
    early, now = make_spec(count=6, latent_dimension=""), make_spec(count=10)
    assert early.hash == now.hash
    place = tmp_path / "set"
    fill(create_store(str(place), early))
    assert "latent_dimension" not in json.loads((place / "zarr.json").read_text())["attributes"]
    fill(create_store(str(place), now))
    assert verify(str(place)).ok
    assert xarray.open_zarr(str(place))["latent"].dims == ("sample", "latent")
    fill(create_store(str(tmp_path / "early"), make_spec(latent_dimension="")))
    assert tree(place) == tree(tmp_path / "early")
    fill(create_store(str(tmp_path / "now"), now))
    differing = {path for path, data in tree(tmp_path / "now").items() if data != tree(place)[path]}
    assert differing == {"zarr.json", "latent/zarr.json", "manifest.json"}
    (place / "latent/zarr.json").unlink()
    (place / "zarr.json").write_bytes(b"{}")
    assert repair(verify(str(place)))[1] == []
    assert tree(place) == tree(tmp_path / "early")


def test_resume_makes_only_what_is_missing(tmp_path):
    spec = make_spec()
    with create_store(str(tmp_path / "set"), spec) as store:
        store.write_shard(1, make_arrays(spec, 1))
    again = create_store(str(tmp_path / "set"), spec)
    assert again.missing() == [0, 2]
    with pytest.raises(WorkError, match="2 of 3 shards are missing"):
        finalize(again)
    (tmp_path / "set/_commits/000001.json").write_bytes(b"{}")
    assert again.missing() == [0, 1, 2]
    fill(again)
    assert again.missing() == []
    assert open_store(str(tmp_path / "set")).manifest().count == 10


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 8}, "seed is 7 there, 8 here"),
        ({"shard_size": 5}, "shard_size is 4 there, 5 here"),
        ({"truncation": 0.5}, "truncation is 0.7 there, 0.5 here"),
        ({"interpreter_sha256": "ee" * 32}, "interpreter_sha256"),
        ({"generator_sha256": "ee" * 32}, "generator_sha256"),
        ({"instance": True}, "instance is False there, True here"),
        ({"count": 9}, "only grows"),
    ],
)
def test_another_spec_is_refused_by_the_name_of_the_difference(tmp_path, changes, named):
    create_store(str(tmp_path / "set"), make_spec())
    before = tree(tmp_path / "set")
    with pytest.raises(InputError, match=named):
        create_store(str(tmp_path / "set"), make_spec(**changes))
    assert tree(tmp_path / "set") == before


def test_a_generator_that_moved_is_the_same_generator(tmp_path):
    create_store(str(tmp_path / "set"), make_spec())
    assert create_store(str(tmp_path / "set"), make_spec(generator="s3://elsewhere/net.pkl")).missing() == [0, 1, 2]


def test_growing_keeps_whole_shards_and_remakes_the_shorter_last_one(tmp_path):
    fill(create_store(str(tmp_path / "set"), make_spec(count=10)))
    before = tree(tmp_path / "set")
    grown = create_store(str(tmp_path / "set"), make_spec(count=15))
    assert grown.manifest() is None
    assert grown.missing() == [2, 3]  # shard 2 held samples 8 and 9 and now holds 8 to 11
    fill(grown)
    fill(create_store(str(tmp_path / "new"), make_spec(count=15)))
    after = tree(tmp_path / "set")
    assert after == tree(tmp_path / "new")
    assert all(after[path] == before[path] for path in before if "/c/0" in path and not path.startswith("keep"))
    old, new = before["image/c/2/0/0/0"], after["image/c/2/0/0/0"]
    data = len(old) - 16 * 4 - 4
    assert new[:data] == old[:data]  # offsets that a reader has cached stay right


def test_growing_at_a_shard_boundary_remakes_nothing(tmp_path):
    fill(create_store(str(tmp_path / "set"), make_spec(count=8)))
    assert create_store(str(tmp_path / "set"), make_spec(count=10)).missing() == [2]


def test_a_worker_of_the_smaller_store_cannot_commit_into_the_grown_one(tmp_path):
    old = create_store(str(tmp_path / "set"), make_spec(count=10))
    create_store(str(tmp_path / "set"), make_spec(count=15))
    with pytest.raises(WorkError, match="grew from 10 to 15"):
        old.write_shard(2, make_arrays(old.spec, 2))
    with pytest.raises(WorkError, match="grew from 10 to 15"):
        finalize(old)


def test_a_claimed_shard_is_left_to_its_owner(tmp_path):
    spec = make_spec()
    one, two = (create_store(str(tmp_path / "set"), spec) for _ in range(2))
    assert one.claim(0)
    assert not two.claim(0)
    assert list(zip(two.claim_missing(wait=False), [None] * 2, strict=False)) == [(1, None), (2, None)]
    one.write_shard(0, make_arrays(spec, 0))
    assert two.claim(0)  # free again, though committed
    two.close()


def test_the_first_commit_wins(tmp_path):
    store = create_store(str(tmp_path / "set"), make_spec())
    first = store.write_shard(0, make_arrays(store.spec, 0))
    other = make_arrays(store.spec, 0)
    other["image"] = 255 - other["image"]
    before = tree(tmp_path / "set")
    assert store.write_shard(0, other) == first
    assert tree(tmp_path / "set") == before


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("image", lambda a: a[:3], r"image is uint8 \(3, 8, 6, 3\), expected uint8 \(4, 8, 6, 3\)"),
        ("image", lambda a: a.astype(np.int16), "image is int16"),
        ("mask", lambda a: np.full_like(a, 3), "mask has the value 3, expected class ids 0 to 2 or 255"),
        ("seed", lambda a: a + np.uint64(1), "seed breaks the seed rule"),
        ("uncertainty_score", lambda a: a * np.float32(np.nan), "not finite"),
    ],
)
def test_arrays_that_do_not_belong_are_refused(tmp_path, name, change, message):
    store = create_store(str(tmp_path / "set"), make_spec())
    arrays = make_arrays(store.spec, 0)
    arrays[name] = change(arrays[name])
    before = tree(tmp_path / "set")
    with pytest.raises(InputError, match=message):
        store.write_shard(0, arrays)
    del arrays[name]
    with pytest.raises(InputError, match="expected exactly"):
        store.write_shard(0, arrays)
    with pytest.raises(InputError, match="shard 3 does not exist"):
        store.write_shard(3, arrays)
    assert tree(tmp_path / "set") == before


def test_a_place_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        create_store(str(tmp_path), make_spec())
    with pytest.raises(InputError, match="is a file"):
        create_store(str(tmp_path / "thesis.tex"), make_spec())
    with pytest.raises(InputError, match="not a dataset store"):
        open_store(str(tmp_path / "nowhere"))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_default_shards_hold_about_50_megabytes():
    for side, channels in ((64, 1), (256, 3), (1024, 3)):
        spec = replace(make_spec(), height=side, width=side, channels=channels, shard_size=None)
        largest = max(array.sample_bytes for array in spec.arrays()) * spec.samples_per_shard
        assert 35e6 <= largest <= 71e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count is 0: expected 1 or more"),
        ({"channels": 2}, "channels is 2"),
        ({"seed": -1}, "seed is -1"),
        ({"shard_size": 0}, "shard_size is 0"),
        ({"keep_quantile": 0.0}, "keep_quantile"),
        ({"ignore_index": 2}, "ignore_index is 2"),
        ({"generator_sha256": "abc"}, "64 hexadecimal digits"),
        ({"classes": ()}, "classes is 0"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        make_spec(**changes)


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_any_content_of_any_shape_comes_back_bit_for_bit(data):
    spec = make_spec(
        count=data.draw(st.integers(1, 12)),
        shard_size=data.draw(st.integers(1, 13)),
        height=data.draw(st.integers(1, 5)),
        width=data.draw(st.integers(1, 5)),
        channels=data.draw(st.sampled_from([1, 3])),
        latent_dim=data.draw(st.integers(1, 3)),
        seed=data.draw(st.integers(0, 2**64 - 1)),
        keypoints=data.draw(st.sampled_from([(), ("a",), ("a", "b")])),
        value=data.draw(st.booleans()),
        values=data.draw(st.sampled_from([(), VALUES])),
        instance=data.draw(st.booleans()),
    )
    bits = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    content = {array.name: [] for array in spec.shard_arrays()}
    uri = f"memory://{uuid.uuid4()}"
    with create_store(uri, spec) as store:
        for shard in store.claim_missing():
            arrays = make_arrays(spec, shard)
            for array in spec.shard_arrays():
                if array.name not in (
                    "mask",
                    "uncertainty_score",
                    "seed",
                    *["value"] * any(array.channels for array in spec.by_role("values")),
                ):  # any bits, NaN and infinity too
                    raw = bits.bytes(arrays[array.name].nbytes)
                    arrays[array.name] = np.frombuffer(raw, arrays[array.name].dtype).reshape(arrays[array.name].shape)
                content[array.name].append(arrays[array.name])
            store.write_shard(shard, arrays)
        finalize(store)
    assert verify(uri).ok
    dataset = open_dataset(uri, keep=False)
    for name, parts in content.items():
        assert dataset.read(name, range(spec.count)).tobytes() == np.concatenate(parts).tobytes()
