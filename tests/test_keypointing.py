"""Keypoints all the way: from masks or points to a regressor, a store and COCO."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from tiny_world import TinyWorld
from typer.testing import CliRunner

from labelfactory.errors import InputError
from labelfactory.factory.heads.head import load_regressor
from labelfactory.factory.heads.keypoints import Keypoints, train_keypoints, with_axis_keypoints
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import render_shard
from labelfactory.flows.commands.train_keypoints import train_keypoints as command
from labelfactory.interpreters.keypoints import AXIS_KEYPOINTS
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.storage import open_dataset
from labelfactory.storage.show import triptychs

FAST = RegressionRecipe(pixels_per_image=64, batch_size=64, steps=20)


@pytest.fixture
def regressor(tiny_world: TinyWorld, tmp_path: Path) -> Path:
    labels = with_axis_keypoints(LabelSet.load(tiny_world.labels), "bright")
    model = train_keypoints(tiny_world.generator, labels, members=2, recipe=FAST, progress=False)
    model.save(tmp_path / "points.safetensors")
    return tmp_path / "points.safetensors"


@pytest.fixture
def order(tiny_world: TinyWorld, regressor: Path, tmp_path: Path) -> Order:
    return Order(
        generator=str(tiny_world.checkpoint), labels=str(tiny_world.labels), out=str(tmp_path / "store"), count=40,
        shard_size=32, device="cpu", keypoints=str(regressor),
    )  # fmt: skip


def test_a_store_with_keypoints_and_its_coco_export(order: Order, tmp_path: Path) -> None:
    job = prepare(order, progress=False)
    [array] = job.spec.by_role("points")
    assert tuple(channel.name for channel in array.channels) == AXIS_KEYPOINTS
    produce(job, progress=False)
    dataset = open_dataset(order.out, keep=False)
    points = dataset.read("keypoints", np.arange(40))
    assert points.shape == (40, 3, 3)
    assert points.dtype == np.float32
    assert (points[..., :2] >= 0).all()
    assert (points[..., :2] <= 16).all()
    assert (points[..., 2] >= 0).all()
    assert (points[..., 2] <= 1).all()
    [picture] = triptychs(dataset, [3], 0.1)
    x, y, _ = points[3, 2] * (picture.height / 16)
    ring = [picture.getpixel((int(np.clip(x + dx, 0, picture.width - 1)), int(y))) for dx in (-4, -3, 3, 4)]
    assert (204, 121, 167) in ring
    again = render_shard(job, 0, 32)["keypoints"]
    np.testing.assert_array_equal(points[:32], again)


def test_another_regressor_is_another_dataset(order: Order, tmp_path: Path) -> None:
    produce(prepare(order, progress=False), progress=False)
    model = FeatureRegressor.load(order.keypoints or "")
    model.report = {"note": "another file"}
    model.save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="regressor_sha256"):
        produce(prepare(replace(order, keypoints=str(tmp_path / "other.safetensors")), progress=False), progress=False)
    with pytest.raises(ValueError, match=r"keypoints|regressor_sha256"):
        produce(prepare(replace(order, keypoints=None), progress=False), progress=False)


def test_the_store_keeps_its_regressor_for_other_machines(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepare(order, progress=False)
    produce(job, progress=False)
    points = open_dataset(order.out, keep=False).read("keypoints", np.arange(40))
    Path(order.keypoints or "").unlink()
    monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path / "elsewhere"))
    elsewhere = replace(job, heads={"keypoints": "nowhere"}, interpreter="nowhere")
    np.testing.assert_array_equal(render_shard(elsewhere, 32, 40)["keypoints"], points[32:])


def test_command_trains_from_masks(tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command()(command)
    out = tmp_path / "p.safetensors"
    monkeypatch.setattr(
        "labelfactory.interpreters.regression.RegressionRecipe.__init__.__defaults__", (64, 64, 2e-3, 5)
    )
    arguments = ["--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--out", out, "--members", 2]
    with pytest.raises(InputError, match="no sample has keypoints"):
        CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    result = CliRunner().invoke(app, [str(a) for a in [*arguments, "--axis-of", "bright"]], catch_exceptions=False)
    assert "centre, upper end, lower end from 4 images" in result.output
    assert load_regressor(out, tiny_world.generator, Keypoints()).names == AXIS_KEYPOINTS


def test_files_that_do_not_belong(order: Order, tiny_world: TinyWorld, regressor: Path, tmp_path: Path) -> None:
    model = FeatureRegressor.load(regressor)
    model.generator_sha256 = "cd" * 32
    model.save(tmp_path / "stranger.safetensors")
    with pytest.raises(InputError, match="belongs to another generator"):
        prepare(replace(order, keypoints=str(tmp_path / "stranger.safetensors")), progress=False)
    FeatureRegressor(model.feature_channels, ("depth",)).save(tmp_path / "depth.safetensors")
    with pytest.raises(InputError, match="regresses values"):
        load_regressor(tmp_path / "depth.safetensors", tiny_world.generator, Keypoints())
    with pytest.raises(InputError, match="no class 'dark'"):
        with_axis_keypoints(LabelSet.load(tiny_world.labels), "dark")
