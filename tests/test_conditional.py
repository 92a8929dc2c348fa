"""Conditional generators: the class of each sample is named or drawn, kept beside it, and comes back with it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from command_line import Factory
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.labels.feature_maps import generated
from labelfactory.factory.labels.selection import candidate_seeds
from labelfactory.factory.latents import drawn_classes, latents
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import render_shard
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.storage import open_store


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, whose pictures differ."""
    torch.manual_seed(3)
    sizes = {"c_dim": 3, "img_resolution": 16, "img_channels": 1, "channel_base": 128, "channel_max": 16}
    network = Generator(z_dim=8, w_dim=8, mapping_layers=2, **sizes).eval()
    path = tmp_path_factory.mktemp("conditional") / "g.safetensors"
    save_safetensors(path, network, Discriminator(**sizes))
    return path


def label(folder: Path) -> LabelSet:
    """Bright pixels are the object."""
    labels = LabelSet.load(folder)
    for sample in labels:
        mask = (sample.image[..., 0] > np.median(sample.image)).astype(np.uint8)
        picture = Image.fromarray(mask, "P")
        picture.putpalette([0, 0, 0, 230, 159, 0])
        picture.save(folder / "masks" / f"{sample.name}.png")
    return LabelSet.load(folder)


def test_classes_are_drawn_from_the_seed_alone() -> None:
    seeds = candidate_seeds(3000, 0)
    drawn = drawn_classes(seeds, (1, 4, 7))
    assert drawn is not None
    assert drawn.tolist()[5:9] == drawn_classes(seeds[5:9], (1, 4, 7)).tolist()  # type: ignore[union-attr]
    assert np.abs(np.bincount(drawn, minlength=8)[[1, 4, 7]] - 1000).max() < 110
    z = latents(seeds, 1)[:, 0]
    assert max(abs(z[drawn == c].mean()) for c in (1, 4, 7)) < 0.1  # class and latent know nothing of each other
    word = np.random.Philox(key=np.array([seeds[0], 2], np.uint64)).random_raw()
    assert drawn[0] == (1, 4, 7)[word % 3]
    assert drawn_classes(seeds, ()) is None


def test_a_sample_is_what_its_seed_and_class_make(checkpoint: Path) -> None:
    generator = open_generator(checkpoint, "cpu")
    assert (generator.num_classes, generator.conditions) == (3, (0, 1, 2))
    z = latents([1, 2, 3], 8)
    mixed = generator.generate(z, 0.7, [2, 0, 1]).images
    for i, c in enumerate((2, 0, 1)):
        alike = generator.generate(z, 0.7, c).images
        assert torch.equal(mixed[i], alike[i])
    assert not torch.equal(generator.generate(z, 0.7, 0).images, generator.generate(z, 0.7, 1).images)
    assert generator.conditioned([2, 2, 0]).conditions == (0, 2)
    with pytest.raises(InputError, match="class 3: this generator has classes 0 to 2"):
        generator.conditioned([3])
    with pytest.raises(InputError, match="conditional; choose 0 to 2"):
        generator.generate(z)


def test_from_samples_to_a_store_by_the_commands(checkpoint: Path, factory: Factory, tmp_path: Path) -> None:
    call = ["sample", "--generator", checkpoint, "--classes", "dark,bright", "--count", 4, "--candidates", 12]
    assert factory(*call, "--out", tmp_path / "labels", "--class", 0, "--class", 2).code == 0
    entries = json.loads((tmp_path / "labels" / "labelset.json").read_text())["samples"]
    assert {entry["condition"] for entry in entries} <= {0, 2}
    labels = label(tmp_path / "labels")
    generator = open_generator(checkpoint, "cpu")
    for sample in labels:
        assert sample.condition == drawn_classes([sample.seed], (0, 2))[0]  # type: ignore[index,list-item]
        assert np.array_equal(generated(generator, labels, sample).images[0].numpy(), sample.image)
    store = tmp_path / "d.zarr"
    made = ["generate", "--generator", checkpoint, "--labels", tmp_path / "labels", "--out", store, "--count", 20]
    assert factory(*made, "--shard-size", 8, "--class", 2, "--class", 1).code == 0
    group = zarr.open_group(store, mode="r")
    seeds, conditions = group["seed"][:], group["condition"][:]  # type: ignore[index]
    assert list(group.attrs["conditions"]) == [1, 2]  # type: ignore[arg-type]
    assert "Philox" in str(group.attrs["condition_rule"])
    assert conditions.tolist() == drawn_classes(seeds.tolist(), (1, 2)).tolist()  # type: ignore[union-attr]
    image = generator.generate(group["latent"][3:4], 0.7, int(conditions[3])).images  # type: ignore[index]
    assert np.abs(image[0].numpy().astype(int) - group["image"][3]).max() <= 1  # type: ignore[index]
    assert factory("verify", store).code == 0
    refused = factory(*made, "--shard-size", 8)
    assert refused.code == 2
    assert "conditions is [1, 2] there" in refused.err


def test_all_classes_unless_some_are_named(checkpoint: Path, factory: Factory, tmp_path: Path) -> None:
    call = ["sample", "--generator", checkpoint, "--classes", "dark,bright", "--count", 12, "--strategy", "random"]
    assert factory(*call, "--out", tmp_path / "labels").code == 0
    labels = label(tmp_path / "labels")
    assert {sample.condition for sample in labels} == {0, 1, 2}
    order = Order(
        str(checkpoint), str(tmp_path / "d.zarr"), 10, labels=str(tmp_path / "labels"), shard_size=4, device="cpu"
    )
    job: Job = prepare(order, progress=False)
    assert job.spec.conditions == (0, 1, 2)
    produce(job, progress=False)
    again = render_shard(job, 4, 8)
    assert np.array_equal(again["condition"], zarr.open_group(order.out)["condition"][4:8])  # type: ignore[index]
    assert open_store(order.out).spec.hash == job.spec.hash
    without = labels.samples[0]._replace(condition=1 - labels.samples[0].condition % 2)  # type: ignore[operator]
    other = LabelSet(labels.classes, (without, *labels.samples[1:]), "", labels.generator_sha256)
    assert other.content_sha256 != labels.content_sha256


def test_unconditional_generators_have_no_classes(tiny_checkpoint: Path, factory: Factory, tmp_path: Path) -> None:
    call = ["sample", "--generator", tiny_checkpoint, "--classes", "a,b", "--count", 2, "--strategy", "random"]
    refused = factory(*call, "--out", tmp_path / "x", "--class", 1)
    assert refused.code == 2
    assert "unconditional" in refused.err
    assert factory(*call, "--out", tmp_path / "y").code == 0
    assert "condition" not in (tmp_path / "y" / "labelset.json").read_text()


def test_photographs_are_inverted_from_the_mean_of_their_class(
    checkpoint: Path, factory: Factory, tmp_path: Path
) -> None:
    generator = open_generator(checkpoint, "cpu")
    (tmp_path / "images").mkdir()
    for i, image in enumerate(generator.generate(latents([1, 2], 8), 0.7, 1).images.numpy()):
        Image.fromarray(image[..., 0]).save(tmp_path / "images" / f"{i}.png")
    call = ["invert", "--generator", checkpoint, "--images", tmp_path / "images", "--classes", "dark,bright"]
    call += ["--steps", 40, "--encoder-steps", 5, "--min-fidelity", -10]
    done = factory(*call, "--out", tmp_path / "set", "--class", 1)
    assert done.code == 0, done.err
    labels = LabelSet.load(tmp_path / "set")
    assert [sample.latent.shape for sample in labels] == [generator.style_shape] * 2  # type: ignore[union-attr,attr-defined]
    own, others = generator.conditioned([1]), generator.conditioned([0, 2])
    assert not torch.equal(own.mean_latent()[0], others.mean_latent()[0])  # type: ignore[attr-defined]
    for sample in labels:
        assert generated(generator, labels, sample).images.shape == (1, 16, 16, 1)
