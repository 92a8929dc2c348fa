"""PNG folders: pictures of class ids, numbers bit for bit, a table for the rest."""

import json

import numpy as np
import pandas
import pytest
from export_data import full_dataset, truth
from PIL import Image

from labelfactory.storage.exports import export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return full_dataset(tmp_path_factory.mktemp("exports") / "set")


@pytest.fixture(scope="module")
def out(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "png"
    export(dataset, "png", folder)
    return folder


@pytest.mark.parametrize(("style", "mode"), [("grey", "L"), ("indexed", "P"), ("colour", "RGB")])
def test_masks_are_class_ids_or_their_colours(dataset, tmp_path, style, mode):
    export(dataset, "png", tmp_path / "out", masks=style)
    document = json.loads((tmp_path / "out/classes.json").read_text())
    colors = {info["id"]: tuple(info["color"]) for info in document["classes"]} | {
        document["ignore_index"]: tuple(document["unlabelled_color"])
    }
    masks, images = truth(dataset, "mask"), truth(dataset, "image")
    paths = sorted((tmp_path / "out/masks").iterdir())
    assert [int(path.stem) for path in paths] == dataset.samples.tolist()
    for path in paths:
        with Image.open(path) as mask, Image.open(tmp_path / "out/images" / path.name) as image:
            assert mask.mode == mode
            if mode != "RGB":
                assert np.array_equal(np.asarray(mask), masks[int(path.stem)])
            if mode != "L":
                expected = np.array([[colors[k] for k in row] for row in masks[int(path.stem)].tolist()])
                assert np.array_equal(np.asarray(mask.convert("RGB")), expected)
            assert np.array_equal(np.asarray(image), images[int(path.stem)])


def test_every_other_array_has_a_folder_of_its_own(dataset, out):
    for name, folder in (
        ("uncertainty", "uncertainties"), ("value", "values"), ("value_uncertainty", "value_uncertainties")
    ):  # fmt: skip
        for sample, values in truth(dataset, name).items():
            stored = np.load(out / f"{folder}/{sample:09d}.npy")
            assert stored.dtype == np.float16
            np.testing.assert_array_equal(stored, values)
    for sample, numbers in truth(dataset, "instance").items():
        with Image.open(out / f"instances/{sample:09d}.png") as picture:
            assert np.array_equal(np.asarray(picture), numbers)


def test_the_table_opens_in_pandas(dataset, out):
    table = pandas.read_csv(out / "samples.csv", index_col="name")
    assert table.index.tolist() == dataset.samples.tolist()
    assert table["seed"].tolist() == dataset.read("seed", dataset.samples).tolist()
    np.testing.assert_array_equal(
        table["uncertainty_score"].astype(np.float32), dataset.read("uncertainty_score", dataset.samples)
    )
    points = dataset.read("keypoints", dataset.samples)
    for i, name in enumerate(("tip", "tail")):
        for j, axis in enumerate(("x", "y", "confidence")):
            np.testing.assert_array_equal(table[f"keypoints.{name}.{axis}"].astype(np.float32), points[:, i, j])
    np.testing.assert_array_equal(
        table["keypoint_uncertainty.tail"].astype(np.float32),
        dataset.read("keypoint_uncertainty", dataset.samples)[:, 1],
    )
    assert table["keep"].all()


def test_classes_json_says_what_the_numbers_mean(out):
    document = json.loads((out / "classes.json").read_text())
    assert [(info["name"], info["thing"]) for info in document["classes"]] == [
        ("background", False), ("nucleus", True), ("tissue", False)
    ]  # fmt: skip
    assert document["keypoints"] == ["tip", "tail"]
    assert document["values"][0] == {"name": "depth", "unit": "m", "low": 0.0, "high": 10.0}
