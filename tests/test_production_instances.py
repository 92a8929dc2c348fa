"""Stores with numbered objects, from label sets whose classes say what is countable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_world import TinyWorld

from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.instances import label_instances
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.storage import open_dataset

BRIGHT = (230, 159, 0)


def objects(world: TinyWorld, folder: Path, classes: tuple[LabelClass, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Masks and instances of a store made from the tiny label set under these classes."""
    replace(LabelSet.load(world.labels), classes=classes).save(folder / "labels")
    order = Order(
        generator=str(world.checkpoint), labels=str(folder / "labels"), out=str(folder / "store"), count=40,
        shard_size=32, device="cpu", instances=True,
    )  # fmt: skip
    produce(prepare(order, progress=False), progress=False)
    dataset = open_dataset(order.out)
    places = np.arange(len(dataset))
    return dataset.read("mask", places), dataset.read("instance", places)


@pytest.mark.parametrize("countable", [True, False])
def test_things_are_numbered(tiny_world: TinyWorld, tmp_path: Path, countable: bool) -> None:
    classes = (LabelClass("background", (0, 0, 0), False), LabelClass("bright", BRIGHT, countable))
    masks, ids = objects(tiny_world, tmp_path, classes)
    assert ids.dtype == np.uint16
    for mask, found in zip(masks, ids, strict=True):
        np.testing.assert_array_equal(found, label_instances(mask, [1] if countable else [])[0])
    assert bool(ids.any()) == countable


def test_a_class_called_boundary_separates(tiny_world: TinyWorld, tmp_path: Path) -> None:
    classes = (LabelClass("cell", (0, 0, 0)), LabelClass("boundary", BRIGHT))
    masks, ids = objects(tiny_world, tmp_path, classes)
    for mask, found in zip(masks, ids, strict=True):
        np.testing.assert_array_equal(found, label_instances(mask, [0], boundary=1)[0])
