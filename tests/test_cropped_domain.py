"""A domain that is not square: everything made of a crop is what cutting the whole would give."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Factory
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import calm
from tiny_world import TinyWorld
from torch.nn.functional import interpolate

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.heads.keypoints import train_keypoints
from labelfactory.factory.heads.values import train_values
from labelfactory.factory.labels.feature_maps import labelled_features
from labelfactory.factory.labels.inversion import InversionSettings, invert
from labelfactory.factory.labels.recording import record_features, recorded_attributes
from labelfactory.factory.labels.selection import sample_label_set
from labelfactory.factory.latents import latents
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import render_shard
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.keypoints import predict_keypoints
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.lookup import pooled
from labelfactory.interpreters.regression import RegressionRecipe
from labelfactory.interpreters.values import predict_values
from labelfactory.storage import open_dataset, verify

CROP = Crop(3, 13, 2, 16)
FAST = RegressionRecipe(pixels_per_image=64, batch_size=64, steps=20)


@pytest.fixture
def labels(tiny_world: TinyWorld, tmp_path: Path) -> LabelSet:
    """The tiny label set cut to the crop, with keypoints and values."""
    whole = LabelSet.load(tiny_world.labels)
    samples = []
    for s in whole:
        image, mask = s.image[CROP.slices], s.mask[CROP.slices]
        points = np.float32([[5.5, 4.5, 2]])
        samples.append(s._replace(image=image, mask=mask, keypoints=points, values=image.astype(np.float32) / 255))
    channels = (ValueChannel("v", "", 0.0, 1.0),)
    labels = replace(whole, samples=tuple(samples), crop=CROP, keypoints=("p",), values=channels)
    labels.save(tmp_path / "labels")
    return LabelSet.load(tmp_path / "labels")


def test_training_sees_the_crops_pixels_at_their_place(tiny_world: TinyWorld, labels: LabelSet, tmp_path: Path) -> None:
    generator = tiny_world.generator
    for (maps, mask), sample in zip(labelled_features(generator, labels, progress=False), labels, strict=True):
        assert maps[-1].shape[2:] == mask.shape == (16, 16)
        np.testing.assert_array_equal(mask.numpy()[CROP.slices], sample.mask)
        assert (mask.numpy() != 255).sum() == sample.mask.size
    settings = InterpreterSettings(members=2)
    direct = train_interpreter(generator, labels, settings, progress=False)
    whole = LabelSet.load(tiny_world.labels)
    elsewhere_unknown = [s._replace(mask=CROP.embed(s.mask[CROP.slices], np.full_like(s.mask, 255))) for s in whole]
    same = train_interpreter(generator, replace(whole, samples=tuple(elsewhere_unknown)), settings, progress=False)
    assert torch.equal(direct.linears[0].weight, same.linears[0].weight)
    assert (direct.extra["crop"], "crop" in same.extra) == (list(CROP.numbers), False)
    recording = record_features(generator, labels, tmp_path / "maps", progress=False)
    assert recorded_attributes(recording)["crop"] == list(CROP.numbers)


def test_a_store_of_the_crop(tiny_world: TinyWorld, labels: LabelSet, tmp_path: Path) -> None:
    generator = tiny_world.generator
    points = train_keypoints(generator, labels, members=2, recipe=FAST, progress=False)
    values = train_values(generator, labels, members=2, recipe=FAST, progress=False)
    points.save(tmp_path / "points.safetensors")
    values.save(tmp_path / "values.safetensors")
    order = Order(
        generator=str(tiny_world.checkpoint), labels=labels.where.removesuffix("/labelset.json"), count=40,
        out=str(tmp_path / "store"), shard_size=32, device="cpu", keypoints=str(tmp_path / "points.safetensors"),
        values=str(tmp_path / "values.safetensors"), instances=True,
    )  # fmt: skip
    job = prepare(order, progress=False)
    assert (job.spec.height, job.spec.width, job.spec.crop) == (10, 14, CROP.numbers)
    produce(job, progress=False)
    assert verify(order.out).ok
    dataset = open_dataset(order.out, keep=False)
    batch = range(32)
    images, maps = generator.generate(dataset.read("latent", batch), job.spec.truncation)
    stored = {name: dataset.read(name, batch) for name in ("image", "mask", "uncertainty", "value", "keypoints")}
    np.testing.assert_array_equal(stored["image"], images.numpy()[:, 3:13, 2:16])
    plain = StyleInterpreter.load(job.interpreter).predict_reference(maps)
    assert (stored["mask"] == plain.mask.numpy()[:, 3:13, 2:16]).mean() > 0.999
    assert np.abs(stored["uncertainty"] - plain.uncertainty.numpy()[:, 3:13, 2:16]).max() < 1e-3
    whole_values = predict_values(values, maps).value[:, 3:13, 2:16]
    np.testing.assert_allclose(stored["value"], whole_values.numpy(), atol=2e-3)
    inside = predict_keypoints(points, maps, CROP)
    np.testing.assert_array_equal(stored["keypoints"], inside.points.numpy())
    assert (stored["keypoints"][..., 0] <= 14).all()
    np.testing.assert_array_equal(dataset.read("keypoint_uncertainty", batch), inside.uncertainty.numpy())
    np.testing.assert_array_equal(
        render_shard(replace(job, heads={}), 32, 40)["mask"], dataset.read("mask", range(32, 40))
    )


def test_what_an_order_may_crop(tiny_world: TinyWorld, labels: LabelSet, tmp_path: Path) -> None:
    order = Order(
        generator=str(tiny_world.checkpoint), labels=labels.where.removesuffix("/labelset.json"), count=4,
        out=str(tmp_path / "store"), device="cpu", crop="4:12,2:16",
    )  # fmt: skip
    job = prepare(order, progress=False)
    assert job.spec.crop == (4, 12, 2, 16)
    by_file = replace(order, labels=None, interpreter=job.interpreter, crop=None)
    assert prepare(by_file, progress=False).spec.crop == CROP.numbers
    for crop, complaint in (
        ("0:12", "reaches beyond 3:13,2:16, the part that was labelled"),
        ("0:17", "beyond the gen"),
    ):
        with pytest.raises(ValueError, match=complaint):
            prepare(replace(order, crop=crop), progress=False)
    with pytest.raises(InputError, match="crop is all: expected top:bottom"):
        replace(order, crop="all")
    whole = replace(order, labels=str(tiny_world.labels), crop="0:8")
    produce(prepare(whole, progress=False), progress=False)
    with pytest.raises(ValueError, match=r"crop is \[0, 8, 0, 16\] there"):
        produce(prepare(replace(whole, crop="8:16"), progress=False), progress=False)


def test_choosing_and_extending(tiny_world: TinyWorld, labels: LabelSet) -> None:
    generator = tiny_world.generator
    chosen = sample_label_set(
        generator, "tiny", 2, labels.classes, candidates=6, crop=CROP, truncation=0.7, progress=False
    )
    assert chosen.crop == CROP
    for s in chosen:
        full = generator.generate(latents([s.seed], 8), 0.7).images[0].numpy()
        np.testing.assert_array_equal(s.image, full[CROP.slices])
    assert generator.crop is None
    more = sample_label_set(generator, "tiny", 1, labels.classes, candidates=3, extends=labels, progress=False)
    assert (more.crop, more.values, more.keypoints, len(more)) == (CROP, labels.values, ("p",), len(labels) + 1)
    with pytest.raises(InputError, match="leave it out"):
        sample_label_set(generator, "tiny", 1, labels.classes, extends=labels, crop=Crop(0, 8, 0, 8), progress=False)


@calm
@given(
    source=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    corner=st.tuples(st.integers(0, 11), st.integers(0, 11)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_pooling_a_crop_is_the_mean_of_the_cut(
    source: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]
) -> None:
    crop = Crop(corner[0], min(12, corner[0] + size[0]), corner[1], min(12, corner[1] + size[1]))
    f = torch.randn(2, 3, *source)
    cut = interpolate(f, (12, 12), mode="bilinear")[(..., *crop.slices)]
    torch.testing.assert_close(pooled(f, (12, 12), crop), cut.mean((2, 3)), atol=1e-5, rtol=1e-4)


def test_real_images_of_the_crop_are_explained_by_the_crop(tiny_checkpoint: Path) -> None:
    """Only the crop's pixels count: the latent explains them, wherever it leads around them."""
    generator = open_generator(str(tiny_checkpoint), "cpu").cropped(CROP)
    images = generator.generate(latents(range(2), 8), 0.7).images.numpy()
    assert images.shape == (2, 10, 14, 1)
    found = invert(generator, images, None, InversionSettings(steps=60), progress=False)
    start = invert(generator, images, None, InversionSettings(steps=0), progress=False)
    assert found.reconstruction.shape == images.shape
    assert (found.fidelity > start.fidelity).all()
    assert found.fidelity.mean() > 0.8
    with pytest.raises(InputError, match=r"expected one or more of \(10, 14, 1\)"):
        invert(generator, np.zeros((1, 16, 16, 1), np.uint8), progress=False)


def test_the_command_line_takes_crops(tiny_checkpoint: Path, factory: Factory, tmp_path: Path) -> None:
    call = ["sample", "--generator", tiny_checkpoint, "--classes", "a,b", "--count", 2, "--candidates", 4]
    done = factory(*call, "--out", tmp_path / "set", "--crop", "2:12")
    assert done.code == 0
    assert json.loads((tmp_path / "set" / "labelset.json").read_text())["crop"] == [2, 12, 0, 16]
    assert LabelSet.load(tmp_path / "set").samples[0].image.shape == (10, 16, 1)
    for crop in ("12:2", "0:17", "x"):
        done = factory(*call, "--out", tmp_path / "other", "--crop", crop)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
    done = factory(
        "invert", "--generator", tiny_checkpoint, "--images", tmp_path / "set" / "images", "--out", tmp_path / "real",
        "--classes", "a,b", "--crop", "2:12", "--steps", 2, "--encoder-steps", 2, "--keep-poor",
    )  # fmt: skip
    assert done.code == 0
    real = LabelSet.load(tmp_path / "real")
    assert real.crop == Crop(2, 12, 0, 16)
    assert real.samples[0].latent is not None
