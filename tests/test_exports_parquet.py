"""Parquet, opened by Hugging Face's datasets and by pandas."""

import numpy as np
import pandas
import pytest
from export_data import full_dataset, truth

from labelfactory.storage.exports import export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return full_dataset(tmp_path_factory.mktemp("exports") / "set")


@pytest.fixture(scope="module")
def out(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "parquet"
    export(dataset, "parquet", folder)
    return folder


def test_datasets_opens_it_with_every_array(dataset, out, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    opened = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    pictures = ("image", "mask", "instance")
    assert all(isinstance(opened.features[name], datasets.Image) for name in pictures)
    assert opened["index"][:] == dataset.samples.tolist()
    numbers = (
        "uncertainty",
        "value",
        "value_uncertainty",
        "keypoints",
        "keypoint_uncertainty",
        "uncertainty_score",
        "seed",
    )
    arrays = {name: truth(dataset, name) for name in (*pictures, *numbers)}
    for row in opened:
        for name, of in arrays.items():
            stored = of[row["index"]]
            assert np.array_equal(np.asarray(row[name]).astype(stored.dtype), stored), name


def test_pandas_opens_it(dataset, out):
    table = pandas.concat(pandas.read_parquet(path) for path in sorted((out / "data").iterdir()))
    assert table["index"].tolist() == dataset.samples.tolist()
    assert table["seed"].tolist() == dataset.read("seed", dataset.samples).tolist()
    assert set(table) == {array.name for array in dataset.spec.arrays()} - {"latent"} | {"index"}


def test_the_card_names_the_classes(out):
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: cc0-1.0\n")
    assert "- 1: nucleus" in card
