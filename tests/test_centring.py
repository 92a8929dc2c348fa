"""Centres of objects all the way: from masks or numbered pictures to a regressor and a store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Factory
from PIL import Image
from tiny_world import TinyWorld

from labelfactory.errors import InputError
from labelfactory.factory.heads.centres import Centres, objects_in_masks, read_objects, train_centres
from labelfactory.factory.heads.head import load_regressor
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import render_shard
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.instances import label_instances
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.storage import open_dataset

FAST = RegressionRecipe(pixels_per_image=64, batch_size=64, steps=20)


def test_a_store_whose_objects_are_told_apart_by_their_centres(tiny_world: TinyWorld, tmp_path: Path) -> None:
    labels = LabelSet.load(tiny_world.labels)
    model = train_centres(tiny_world.generator, labels, sigma=1.0, members=2, recipe=FAST, progress=False)
    model.save(tmp_path / "centres.safetensors")
    order = Order(
        generator=str(tiny_world.checkpoint), labels=str(tiny_world.labels), out=str(tmp_path / "store"), count=8,
        shard_size=8, device="cpu", centres=str(tmp_path / "centres.safetensors"),
    )  # fmt: skip
    job = prepare(order, progress=False)
    assert job.spec.by_role("objects")[0].model == job.spec.heads["centres"] != ""
    produce(job, progress=False)
    dataset = open_dataset(order.out, keep=False)
    latent, masks, ids = (dataset.read(name, range(8)) for name in ("latent", "mask", "instance"))
    maps = tiny_world.generator.generate(np.repeat(latent, 4, 0), job.spec.truncation).feature_maps
    heat = model.mean_and_spread([m[::4] for m in maps])[0][:, 0].numpy()
    for mask, found, warm in zip(masks, ids, heat, strict=True):
        np.testing.assert_array_equal(found > 0, mask == 1)
        expected, _ = label_instances(mask, [1], heat=warm, sigma=1.0)
        assert (expected == found).mean() > 0.95  # peaks within rounding of another batch
    np.testing.assert_array_equal(render_shard(replace(job, heads={}), 0, 8)["instance"], ids)


def test_objects_come_from_pictures_of_numbers_or_from_masks(tiny_world: TinyWorld, tmp_path: Path) -> None:
    labels = LabelSet.load(tiny_world.labels)
    first = labels.samples[0]
    numbers = np.arange(256, dtype=np.uint16).reshape(16, 16) * 3
    Image.fromarray(numbers).save(tmp_path / f"{first.name}.png")
    found = read_objects(tmp_path, labels)
    assert list(found) == [first.name]
    np.testing.assert_array_equal(found[first.name], numbers)
    np.testing.assert_array_equal(objects_in_masks(labels, first), label_instances(first.mask, [1])[0])
    stuff = replace(labels, classes=(labels.classes[0], LabelClass("bright", (1, 2, 3), thing=False)))
    assert not objects_in_masks(stuff, first).any()
    model = train_centres(tiny_world.generator, labels, found, members=2, recipe=FAST, progress=False)
    assert model.report["images"] == 1
    Image.fromarray(numbers[:8]).save(tmp_path / f"{first.name}.png")
    with pytest.raises(InputError, match="is 16 x 8; the sample has 16 x 16"):
        read_objects(tmp_path, labels)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / f"{first.name}.png")
    with pytest.raises(InputError, match="expected 8- or 16-bit numbers"):
        read_objects(tmp_path, labels)
    with pytest.raises(InputError, match="has no PNG that is called like"):
        read_objects(tmp_path / "nowhere", labels)


def test_command_and_files_that_do_not_belong(tiny_world: TinyWorld, factory: Factory, tmp_path: Path) -> None:
    out = tmp_path / "c.safetensors"
    call = ["train-centres", "--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--members", 2]
    done = factory(*call, "--out", out)
    assert (done.code, done.out.splitlines()[-1]) == (0, f"{out}: centres from 4 images")
    assert load_regressor(out, tiny_world.generator, Centres()).sigma == 3
    done = factory(*call, "--out", tmp_path / "no" / "c.safetensors")
    assert done.code == 2
    model = FeatureRegressor.load(out)
    model.generator_sha256 = "ab" * 32
    model.save(out)
    with pytest.raises(InputError, match="belongs to another generator"):
        load_regressor(out, tiny_world.generator, Centres())
    FeatureRegressor(model.feature_channels, ("a",)).save(out)
    with pytest.raises(InputError, match="regresses values"):
        load_regressor(out, tiny_world.generator, Centres())
