"""WebDataset tars, opened by webdataset and by Hugging Face's datasets."""

import io
import tarfile

import numpy as np
import pytest
import yaml
from export_data import full_dataset, truth
from storage_data import fill, make_spec

from labelfactory.storage import create_store
from labelfactory.storage.exports import export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return full_dataset(tmp_path_factory.mktemp("exports") / "set")


@pytest.fixture(scope="module")
def out(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "webdataset"
    export(dataset, "webdataset", folder)
    return folder


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files open
def test_webdataset_opens_the_shards(dataset, out):
    wds = pytest.importorskip("webdataset")
    masks, images, values = (truth(dataset, name) for name in ("mask", "image", "value"))
    seen = []
    for sample in wds.WebDataset(str(out / "shard-{000000..000002}.tar"), shardshuffle=False).decode("pil"):
        index = sample["json"]["index"]
        assert sample["__key__"] == f"{index:09d}"
        assert np.array_equal(np.asarray(sample["image.png"]), images[index])
        # Its decoder turns every picture into RGB: of a grey one all three channels are the class ids.
        assert np.array_equal(np.asarray(sample["mask.png"])[..., 1], masks[index])
        assert np.array_equal(sample["value.npy"], values[index])
        seen.append(index)
    assert seen == dataset.samples.tolist()


def test_datasets_opens_the_shards(dataset, out, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    opened = datasets.load_dataset(
        "webdataset", data_files=str(out / "*.tar"), split="train", cache_dir=str(tmp_path / "cache")
    )
    arrays = {
        name: truth(dataset, name)
        for name in ("image", "mask", "instance", "uncertainty", "value", "value_uncertainty", "keypoints")
    }
    seeds = truth(dataset, "seed")
    assert max(seeds.values()) > 2**63  # which no int64 holds
    assert [row["json"]["index"] for row in opened] == dataset.samples.tolist()
    for row in opened:
        index = row["json"]["index"]
        assert int(row["json"]["seed"]) == int(seeds[index])
        for name in ("image", "mask", "instance"):
            assert np.array_equal(np.asarray(row[f"{name}.png"]), arrays[name][index])
        for name in ("uncertainty", "value", "value_uncertainty"):
            assert np.array_equal(np.float16(row[f"{name}.npy"]), arrays[name][index])
        assert np.array_equal(np.float32(row["json"]["keypoints"]), arrays["keypoints"][index])


def test_datasets_opens_the_folder_of_a_single_tar(factory, tmp_path, monkeypatch):
    """It takes the most frequent kind of file in a folder for the data."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    fill(create_store(str(tmp_path / "set"), make_spec(shard_size=16)))
    assert factory("export", tmp_path / "set", "--format", "webdataset", "--out", tmp_path / "out").code == 0
    opened = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(opened) == 9
    assert opened.features["mask.png"] == datasets.Image()


def test_numbers_are_bit_for_bit_and_explained(dataset, out):
    with tarfile.open(out / "shard-000000.tar") as tar:
        data = tar.extractfile(f"{dataset.samples[0]:09d}.value_uncertainty.npy").read()
    np.testing.assert_array_equal(np.load(io.BytesIO(data)), dataset.read("value_uncertainty", dataset.samples[:1])[0])
    document = yaml.safe_load((out / "classes.yaml").read_text())
    assert document["values"][0]["unit"] == "m"
    assert document["keypoints"] == ["tip", "tail"]
