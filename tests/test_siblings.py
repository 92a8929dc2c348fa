"""Siblings share a picture's layout; pixels of which the interpreter says something else there are left unlabelled."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.factory.latents import latents
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.models import forget_models
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.siblings import Siblings, sibling_styles, unstable
from labelfactory.factory.wrapped.family import TRUSTED, wrap
from labelfactory.factory.wrapped.order import WrapOrder
from labelfactory.interpreters import Recipe, StyleInterpreter
from labelfactory.storage import InputError as StoreError
from labelfactory.storage import open_dataset, open_store, sample_seeds, verify

NAMES = ("image", "mask", "uncertainty", "uncertainty_score", "seed", "latent")


@pytest.fixture
def order(tiny_world, tmp_path):
    return Order(
        generator=str(tiny_world.checkpoint),
        labels=str(tiny_world.labels),
        out=str(tmp_path / "plain"),
        count=50,
        shard_size=20,
        device="cpu",
    )


def arrays(order):
    produce(prepare(order, progress=False), progress=False)
    dataset = open_dataset(order.out, fields=NAMES, keep=False)
    return dataset.batch(np.arange(order.count))


def test_only_labels_change_and_only_to_unlabelled(order, tmp_path):
    plain = arrays(order)
    spec = open_store(order.out).spec
    assert "siblings" not in spec.to_json()  # nothing is said of what nobody asked for: hashes stay
    with_siblings = replace(order, out=str(tmp_path / "siblings"), siblings=3)
    found = arrays(with_siblings)
    for name in set(NAMES) - {"mask"}:
        assert found[name].tobytes() == plain[name].tobytes(), name
    left_out = found["mask"] == 255
    assert 0 < left_out.mean() < 0.5
    assert np.array_equal(found["mask"][~left_out], plain["mask"][~left_out])
    assert not verify(with_siblings.out).findings
    assert open_store(with_siblings.out).spec.siblings == (3.0, 0.3, 1.0)
    with pytest.raises(StoreError, match="siblings is"):
        arrays(replace(with_siblings, siblings=2, count=60))
    half = arrays(replace(order, out=str(tmp_path / "half"), siblings=3, sibling_agreement=0.5))["mask"] == 255
    assert half.sum() < left_out.sum()
    assert not (half & ~left_out).any()


def test_a_pair_knows_nothing_of_the_batch_that_it_is_made_in(order, tmp_path):
    once = arrays(replace(order, out=str(tmp_path / "a"), siblings=2))["mask"]
    forget_models()
    again = arrays(replace(order, out=str(tmp_path / "b"), siblings=2, shard_size=7))["mask"]
    assert np.array_equal(once, again)


def test_siblings_have_the_coarse_styles_of_their_picture_and_fine_ones_of_their_own(tiny_world):
    generator, seeds = tiny_world.generator, sample_seeds(4, 0, 6)
    z, wanted = latents(seeds.tolist(), generator.latent_shape), Siblings(2, 0.3, 1.0)
    own, layers = generator.map(z, 1.0), generator.style_shape[0]
    first, second = (sibling_styles(generator, own, seeds, k, wanted, 1.0, None) for k in range(2))
    coarse = layers - wanted.own_layers(layers)
    assert 0 < coarse < layers
    for ws in (first, second):
        assert torch.equal(ws[:, :coarse], own[:, :coarse])
        assert not torch.isclose(ws[:, coarse:], own[:, coarse:]).all(-1).any()
    assert not torch.isclose(first[:, coarse:], second[:, coarse:]).all(-1).any()
    alone = sibling_styles(generator, own[3:4], seeds[3:4], 1, wanted, 1.0, None)
    assert torch.allclose(alone, second[3:4], atol=1e-6)
    maps, others = (generator.generate(ws).feature_maps for ws in (own, first))
    assert torch.equal(maps[0], others[0])  # layout: what the coarse layers say
    assert not torch.allclose(maps[-1], others[-1])


def test_a_label_that_goes_by_the_layout_is_kept_and_one_that_goes_by_looks_is_not(tiny_world, order, tmp_path):
    """The same pictures and the same pixels to learn from; what the masks follow differs alone."""
    generator, left_out = tiny_world.generator, {}
    maps = generator.generate(latents(range(100, 124), generator.latent_shape), 1.0).feature_maps
    for name, number in (("layout", 0), ("looks", -1)):
        size = maps[-1].shape[-2:]
        channel = torch.nn.functional.interpolate(maps[number][:, :1], size, mode="bilinear")[:, 0]
        masks = (channel > channel.median()).to(torch.uint8)
        interpreter = StyleInterpreter(generator.feature_channels, 2, members=2)
        samples = (([m[i : i + 1] for m in maps], masks[i]) for i in range(len(masks)))
        interpreter.fit(samples, progress=False, recipe=Recipe(max_epochs=6))
        interpreter.generator_sha256 = generator.sha256
        interpreter.classes = [{"name": "background", "color": [0, 0, 0]}, {"name": "bright", "color": [255, 0, 0]}]
        interpreter.save(tmp_path / f"{name}.safetensors")
        one = replace(
            order, labels=None, interpreter=str(tmp_path / f"{name}.safetensors"), out=str(tmp_path / name),
            siblings=4, sibling_agreement=0.5, truncation=1.0,
        )  # fmt: skip
        left_out[name] = float((arrays(one)["mask"] == 255).mean())
    assert left_out["layout"] < 0.02
    assert left_out["looks"] > 4 * left_out["layout"]


@given(count=st.integers(1, 9), agreement=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_a_pixel_is_stable_where_enough_siblings_agree(count, agreement, seed):
    rng = np.random.default_rng(seed)
    mask = torch.from_numpy(rng.integers(0, 3, (2, 4, 5), dtype=np.uint8))
    others = torch.from_numpy(rng.integers(0, 3, (count, 2, 4, 5), dtype=np.uint8))
    needed = math.ceil(agreement * count - 1e-9)
    assert torch.equal(unstable(mask, others, agreement), (others == mask).sum(0) < needed)
    assert not unstable(mask, mask[None].expand(count, -1, -1, -1), agreement).any()


def test_the_share_of_own_layers_leaves_coarse_and_fine_ones():
    assert [Siblings(1, s, 1.0).own_layers(10) for s in (0.01, 0.3, 0.5, 0.99)] == [1, 3, 5, 9]


def test_wrong_wishes_are_refused(order):
    with pytest.raises(InputError, match="sibling_styles is 0"):
        replace(order, sibling_styles=0.0)
    with pytest.raises(InputError, match=r"sibling_agreement is 1\.5: expected more than 0, at most 1"):
        replace(order, sibling_agreement=1.5)
    with pytest.raises(InputError, match="siblings is -1"):
        replace(order, siblings=-1)


def test_a_generator_without_styles_is_refused(order, tmp_path, monkeypatch):
    (tmp_path / "plain_gan.py").write_text(
        "from torch import nn\n"
        "def plain():\n"
        "    layers = [nn.ConvTranspose2d(8, 4, 4), nn.ReLU(), nn.Upsample(scale_factor=4), nn.Conv2d(4, 1, 1)]\n"
        "    return nn.Sequential(*layers, nn.Tanh())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(TRUSTED, "plain_gan")
    wrap(WrapOrder("plain_gan:plain", 8, tmp_path / "plain.toml"))
    with pytest.raises(InputError, match=r"plain.toml: this kind of generator has no styles, coarse and fine; leave"):
        prepare(replace(order, generator=str(tmp_path / "plain.toml"), siblings=1), progress=False)
