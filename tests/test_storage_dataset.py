"""Reading a finished store: the right samples, in any order, and a plain word where bytes are wrong."""

import pickle

import numpy as np
import pytest
from storage_data import fill, make_arrays, make_spec, split_manifests

from labelfactory.storage import InputError, Manifest, WorkError, create_store, open_dataset


@pytest.fixture
def uri(tmp_path):
    fill(create_store(str(tmp_path / "set"), make_spec(count=30, shard_size=8)))
    return str(tmp_path / "set")


def truth(name, spec):
    return np.concatenate([make_arrays(spec, k)[name] for k in range(spec.num_shards)])


def test_any_samples_in_any_order(uri):
    dataset = open_dataset(uri, keep=False)
    wanted = [29, 0, 7, 8, 8, 3, 21]
    for name in ("image", "mask", "uncertainty", "uncertainty_score", "seed", "latent"):
        assert np.array_equal(dataset.read(name, wanted), truth(name, dataset.spec)[wanted])
    assert dataset.read("image", []).shape == (0, 8, 6, 3)
    with pytest.raises(InputError, match="expected 0 to 29"):
        dataset.read("image", [30])
    with pytest.raises(InputError, match="no array 'masks'"):
        dataset.read("masks", [0])


def test_keep_and_threshold_choose_the_samples(uri):
    scores = truth("uncertainty_score", make_spec(count=30, shard_size=8))
    best = np.sort(np.argsort(scores, kind="stable")[:27])
    kept = open_dataset(uri)
    assert kept.samples.tolist() == best.tolist()
    assert len(kept) == 27
    limit = float(np.sort(scores)[10])
    assert open_dataset(uri, max_uncertainty=limit).samples.tolist() == np.flatnonzero(scores <= limit).tolist()
    assert len(open_dataset(uri, keep=False)) == 30


def test_a_store_of_many_shards_is_opened_without_reading_them(tmp_path, monkeypatch):
    split_manifests(monkeypatch)
    fill(create_store(str(tmp_path / "set"), make_spec(count=30, shard_size=8)))
    counts = Manifest.from_bytes((tmp_path / "set/manifest.json").read_bytes()).kept_in_shards
    assert sum(counts) == 27
    (tmp_path / "set/keep/c/1").rename(tmp_path / "away")
    (tmp_path / "set/_manifest/000001.json").rename(tmp_path / "part")  # of shards 2 and 3
    dataset = open_dataset(str(tmp_path / "set"), fields=("image", "seed"))
    assert len(dataset) == 27
    with pytest.raises(WorkError, match=r"shard 1 of .*keep/c/1 is not what the manifest states"):
        dataset[counts[0]]
    with pytest.raises(WorkError, match=r"_manifest/000001.json is missing in"):
        dataset[26]
    (tmp_path / "set/_manifest/000001.json").write_bytes((tmp_path / "part").read_bytes()[:-2])
    with pytest.raises(WorkError, match=r"_manifest/000001.json is damaged"):
        dataset[26]
    (tmp_path / "part").rename(tmp_path / "set/_manifest/000001.json")
    (tmp_path / "away").rename(tmp_path / "set/keep/c/1")
    assert dataset.samples.tolist() == np.flatnonzero(dataset.keep()).tolist()
    assert [record.shard for record in dataset.records()] == [0, 1, 2, 3]
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own bytes, as DataLoader workers get them
    assert np.array_equal(copy[26]["image"], dataset[26]["image"])


def test_a_sample_a_batch_and_blocks_agree(uri):
    dataset = open_dataset(uri, fields=("image", "mask", "seed"))
    batch = dataset.batch([3, 1])
    assert np.array_equal(dataset[3]["image"], batch["image"][0])
    assert dataset[3]["seed"] == truth("seed", dataset.spec)[dataset.samples[3]]
    assert [item["seed"] for item in dataset.__getitems__([3, 1])] == batch["seed"].tolist()
    whole = np.concatenate([block["mask"] for block in dataset.blocks(4)])
    assert np.array_equal(whole, dataset.read("mask", dataset.samples))
    with pytest.raises(IndexError):
        dataset[27]


def test_a_pickled_dataset_reads_the_same(uri):
    dataset = open_dataset(uri)
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own bytes, as DataLoader workers get them
    assert np.array_equal(copy[5]["image"], dataset[5]["image"])


def test_an_unfinished_or_missing_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a dataset store"):
        open_dataset(str(tmp_path / "none"))
    create_store(str(tmp_path / "set"), make_spec())
    with pytest.raises(InputError, match="not finished"):
        open_dataset(str(tmp_path / "set"))


@pytest.mark.parametrize("path", ["image/c/1/0/0/0", "zarr.json", "manifest.json", "keep/c/2"])
def test_damage_is_named_not_returned(uri, tmp_path, path):
    file = tmp_path / "set" / path
    data = bytearray(file.read_bytes())
    data[20] ^= 1
    file.write_bytes(data)
    with pytest.raises((WorkError, InputError), match=r"shard 1|shard 2|zarr.json|manifest.json"):
        open_dataset(uri).read("image", range(30))


def test_a_missing_file_is_named(uri, tmp_path):
    (tmp_path / "set/mask/c/3/0/0").unlink()
    with pytest.raises(WorkError, match="shard 3: mask/c/3/0/0 is missing"):
        open_dataset(uri, keep=False).read("mask", [29])


def test_a_local_cache_is_filled_once_and_believed_only_by_content(uri, tmp_path):
    cache = tmp_path / "cache"
    first = open_dataset(uri, cache=str(cache)).read("image", range(30))
    copies = [path for path in cache.rglob("*") if path.is_file()]
    assert len(copies) == 4
    for shard in range(4):  # the copies alone are read from now on
        (tmp_path / f"set/image/c/{shard}/0/0/0").unlink()
    again = open_dataset(uri, cache=str(cache))
    assert np.array_equal(again.read("image", range(30)), first)
    copies[0].write_bytes(copies[0].read_bytes()[:-1])
    with pytest.raises(WorkError, match="is missing"):
        again.read("image", range(30))
