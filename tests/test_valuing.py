"""Continuous labels all the way: imported, learned, produced, read; and of a crop as well."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Factory
from PIL import Image
from tiny_world import TinyWorld

from labelfactory.errors import InputError
from labelfactory.factory.heads.head import load_regressor
from labelfactory.factory.heads.values import Values, held_out_lines, train_values
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import render_shard
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.interpreters.values import predict_values
from labelfactory.storage import open_dataset, verify

FAST = RegressionRecipe(pixels_per_image=128, batch_size=64, steps=60)


def brightness(image: np.ndarray) -> np.ndarray:
    return image[..., 0].astype(np.float32) / 255


@pytest.fixture
def labels(tiny_world: TinyWorld) -> LabelSet:
    """What is bright is near: a depth that a regressor can learn, unknown in the first column."""
    samples = []
    for sample in LabelSet.load(tiny_world.labels):
        values = brightness(sample.image)[..., None]
        values[:, 0] = np.nan
        samples.append(sample._replace(values=values))
    channels = (ValueChannel("nearness", "m", 0.0, 1.0),)
    return replace(LabelSet.load(tiny_world.labels), samples=tuple(samples), values=channels)


def test_from_labels_to_a_store(tiny_world: TinyWorld, labels: LabelSet, tmp_path: Path) -> None:
    model = train_values(tiny_world.generator, labels, members=3, recipe=FAST, progress=False)
    model.save(tmp_path / "near.safetensors")
    assert held_out_lines(model)[0].startswith("  nearness (0 to 1 m): mean error on held-out images 0.")
    assert model.report["held_out_error"][0] < model.report["error_of_the_mean"][0]
    order = Order(
        generator=str(tiny_world.checkpoint), labels=str(tiny_world.labels), out=str(tmp_path / "store"), count=40,
        shard_size=32, device="cpu", values=str(tmp_path / "near.safetensors"),
    )  # fmt: skip
    job = prepare(order, progress=False)
    produce(job, progress=False)
    dataset = open_dataset(order.out, fields=("image", "value", "value_uncertainty"), keep=False)
    [info] = dataset.spec.by_role("values")[0].channels
    assert (info.name, info.unit, info.low, info.high) == ("nearness", "m", 0, 1)
    value, spread = dataset.read("value", range(40)), dataset.read("value_uncertainty", range(40))
    assert value.shape == spread.shape == (40, 16, 16, 1)
    assert value.dtype == spread.dtype == np.float16
    assert (spread >= 0).all()
    truth = np.stack([brightness(i) for i in dataset.read("image", range(40))])
    error = np.abs(value[..., 0] - truth).mean()
    assert error < 0.7 * np.abs(truth - truth.mean()).mean()
    assert verify(order.out).ok
    Path(order.values or "").unlink()  # the store keeps it
    again = render_shard(replace(job, heads={}), 32, 40)
    np.testing.assert_array_equal(again["value"], value[32:])
    other = FeatureRegressor.load(Path(order.out) / "_models" / f"regressor-{job.spec.heads['values']}.safetensors")
    other.report = {"note": "another file"}
    other.save(tmp_path / "near.safetensors")
    with pytest.raises(ValueError, match="value_sha256"):
        produce(prepare(order, progress=False), progress=False)


def test_a_prediction_stays_in_its_range(tiny_world: TinyWorld, labels: LabelSet) -> None:
    model = train_values(tiny_world.generator, labels, members=2, recipe=FAST, progress=False)
    model.extra["channels"][0]["range"] = [0.4, 0.5]
    maps = tiny_world.generator.generate(np.zeros((2, 8), np.float32)).feature_maps
    value = predict_values(model, maps).value
    assert 0.4 <= float(value.min()) <= float(value.max()) <= 0.5


def test_the_way_on_the_command_line(tiny_world: TinyWorld, factory: Factory, tmp_path: Path) -> None:
    labels = LabelSet.load(tiny_world.labels)
    source = tmp_path / "depth"
    source.mkdir()
    for sample in labels:
        Image.fromarray(sample.image[..., 0].astype(np.uint16) * 257).save(source / f"{sample.name}.png")
    call = ["import-values", "--labels", tiny_world.labels, "--source", source, "--out", tmp_path / "set"]
    done = factory(*call, "--channel", "nearness:m:0:1", "--scale", 1 / 65535)
    assert done.code == 0
    assert "nearness (0 to 1 m): 100.0% of their pixels" in done.out
    assert (tmp_path / "set" / "values.png").is_file()
    train = ["train-interpreter", "--generator", tiny_world.checkpoint, "--values", "--members", 2]
    done = factory(*train, "--labels", tmp_path / "set", "--out", tmp_path / "near.safetensors")
    assert done.code == 0
    assert "2 members from 4 images" in done.out
    done = factory(
        "generate", "--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--count", 2, "--out",
        tmp_path / "store", "--values", tmp_path / "near.safetensors",
    )  # fmt: skip
    assert done.code == 0
    assert open_dataset(str(tmp_path / "store"), fields=("value",), keep=False)[0]["value"].shape == (16, 16, 1)
    for wrong in (
        [*call[:-1], tmp_path / "none", "--channel", "nearness:m"],
        [*call[:-1], tmp_path / "none"],
        [*train, "--labels", tiny_world.labels, "--out", tmp_path / "x.safetensors"],
        [*train[:3], "--values", "--out", tmp_path / "x.safetensors"],
    ):
        done = factory(*wrong)
        assert done.code == 2
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "none").exists()


def test_uv_maps_are_two_channels(tiny_world: TinyWorld, factory: Factory, tmp_path: Path) -> None:
    """DensePose's surface coordinates: u and v in 0..1, known on the body alone, from import to reading."""
    labels, source = LabelSet.load(tiny_world.labels), tmp_path / "uv"
    for kind in ("u", "v", "body"):
        (source / kind).mkdir(parents=True)
    for sample in labels:
        body = 255 * (sample.mask == 1).astype(np.uint8)
        for kind, picture in (("u", sample.image[..., 0]), ("v", 255 - sample.image[..., 0]), ("body", body)):
            Image.fromarray(picture * (body > 0)).save(source / kind / f"{sample.name}.png")
    taught, model, store = tmp_path / "set", tmp_path / "uv.safetensors", tmp_path / "store.zarr"
    generator = ["--generator", tiny_world.checkpoint]
    call = ["import-values", "--labels", tiny_world.labels, "--source", source, "--valid", source / "body"]
    call += ["--channel", "u::0:1", "--channel", "v::0:1", "--scale", 1 / 255, "--out", taught]
    steps = [
        call,
        ["train-interpreter", *generator, "--labels", taught, "--values", "--members", 2, "--out", model],
        ["generate", *generator, "--labels", tiny_world.labels, "--values", model, "--count", 40, "--out", store],
        ["verify", store],
    ]
    for step in steps:
        done = factory(*step)
        assert done.code == 0, done.err
    for sample in LabelSet.load(taught):
        assert sample.values is not None
        on_body = sample.mask == 1
        np.testing.assert_array_equal(np.isnan(sample.values), np.repeat(~on_body[..., None], 2, 2))
        np.testing.assert_allclose(sample.values[on_body].sum(1), 1, atol=1e-6)
    dataset = open_dataset(str(store), fields=("image", "mask", "value", "value_uncertainty"), keep=False)
    channels = dataset.spec.by_role("values")[0].channels
    assert [(c.name, c.unit, c.low, c.high) for c in channels] == [("u", "", 0, 1), ("v", "", 0, 1)]
    batch = dataset.batch(range(40))
    assert batch["value"].shape == batch["value_uncertainty"].shape == (40, 16, 16, 2)
    on_body = batch["mask"] == 1
    u, v = np.moveaxis(batch["value"][on_body].astype(np.float32), -1, 0)
    truth = brightness(batch["image"])[on_body]
    assert np.abs(u - truth).mean() < 0.2 < np.abs(v - truth).mean()  # each in its place
    assert np.abs(v - (1 - truth)).mean() < 0.2 < np.abs(u - (1 - truth)).mean()
    assert np.abs(u + v - 1).mean() < 0.1


def test_files_that_do_not_belong(tiny_world: TinyWorld, tmp_path: Path) -> None:
    channels = tiny_world.generator.feature_channels
    FeatureRegressor(channels, ("a",), "keypoints").save(tmp_path / "points.safetensors")
    with pytest.raises(ValueError, match="regresses keypoints"):
        load_regressor(tmp_path / "points.safetensors", tiny_world.generator, Values())
    FeatureRegressor(channels, ("a",)).save(tmp_path / "bare.safetensors")
    with pytest.raises(ValueError, match="does not say what its values are"):
        load_regressor(tmp_path / "bare.safetensors", tiny_world.generator, Values())
    stranger = FeatureRegressor(channels, ("a",))
    stranger.extra["channels"] = [{"name": "a", "range": [0, 1]}]
    stranger.save(tmp_path / "stranger.safetensors")
    with pytest.raises(InputError, match="belongs to another generator"):
        load_regressor(tmp_path / "stranger.safetensors", tiny_world.generator, Values())
