"""Objects as typed: trained on a labelled folder, predicted, evaluated; and calls that cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Factory
from object_world import write_crowds
from PIL import Image

from labelfactory.factory.segmenters.catalogue import load_segmenter


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crowds")
    write_crowds(folder / "train", 24)
    write_crowds(folder / "val", 8, seed=1)
    return folder


def train(factory: Factory, world: Path, out: Path, task: str, name: str, *more: object) -> None:
    said = factory(
        "train-segmenter", "--task", task, "--architecture", name, "--pairs", world / "train", "--out", out,
        "--steps", 60, "--batch-size", 8, "--average", 0.9, *more,
    )  # fmt: skip
    assert said.code == 0, said.err


def test_objects_are_learned_found_and_judged(factory: Factory, world: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    small = ("--option", "width=8", "--option", "depth=2", "--validation", world / "val", "--validate-every", 30)
    train(factory, world, path, "panoptic", "panoptic-deeplab", *small)
    network, recipe = load_segmenter(path)
    assert network.task == recipe["task"] == "panoptic"
    assert [row["step"] for row in recipe["history"]] == [30, 60]
    assert all("pq_all" in row for row in recipe["history"])

    said = factory("predict", "--segmenter", path, "--images", world / "val", "--out", tmp_path / "found")
    assert said.code == 0, said.err
    numbers = np.array(Image.open(tmp_path / "found/instances/000.png"))
    objects = json.loads((tmp_path / "found/found/000.json").read_text())["objects"]
    assert sorted(o["number"] for o in objects) == np.unique(numbers[numbers > 0]).tolist()
    for o in objects:
        rows, columns = np.nonzero(numbers == o["number"])
        assert o["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.array(Image.open(tmp_path / "found/overlays/000.png")).shape == (32, 32, 3)

    said = factory("evaluate", "--segmenter", path, "--images", world / "val", "--out", tmp_path / "report")
    assert said.code == 0, said.err
    report = json.loads((tmp_path / "report/report.json").read_text())
    for name in ("ap", "ap50", "panoptic_quality", "pq_all", "segmentation_quality", "aji", "box_ap"):
        assert name in report["overall"], name
    assert report["overall"]["panoptic_quality"]["value"] > 0.2
    assert report["instances"] == "numbered"
    assert "image_panoptic_quality" in report
    assert (tmp_path / "report/worst.png").is_file()


def test_what_cannot_be_is_said_in_a_line(factory: Factory, world: Path, tmp_path: Path) -> None:
    def refused(*more: object) -> str:
        said = factory("train-segmenter", "--pairs", world / "train", "--out", tmp_path / "net.safetensors", *more)
        assert said.code == 2
        return said.err

    assert "unet-small is no network for instance: choose one of" in refused("--task", "instance")
    own = ("--task", "instance", "--architecture", "panoptic-deeplab")
    assert "learns by a loss of its own: leave out border" in refused(*own, "--border")
    assert "leave out rounds" in refused(*own, "--rounds", 2)
    folder = write_crowds(tmp_path / "flat", 2)
    (folder / "classes.json").write_text(json.dumps([{"name": n, "thing": False} for n in ("a", "b", "c")]))
    said = factory("train-segmenter", "--pairs", folder, "--out", tmp_path / "net.safetensors", *own)
    assert "no class of a, b, c is countable" in said.err
