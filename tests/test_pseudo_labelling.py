"""factory pseudo-label: segmenters label pictures; how sure they are, how far they agree, and how much is kept."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from translation_world import CLASSES, scene

from labelfactory.factory.segmenters.catalogue import build_segmenter, save_segmenter
from labelfactory.factory.segmenters.inference import predict
from labelfactory.storage import open_dataset, verify

if TYPE_CHECKING:
    from conftest import Factory

COUNT = 5


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for index in range(COUNT):
        Image.fromarray(scene(index)[0]).save(tmp_path / f"pictures/{index}.png")
    for seed in range(2):
        torch.manual_seed(seed)
        network = build_segmenter("unet-small", 3, 3, width=4)
        with torch.no_grad():
            network.score.weight.mul_(64)  # opinions that are worth telling apart
        told = {"name": "unet-small", "image_channels": 3, "classes": CLASSES, "options": {"width": 4}}
        save_segmenter(network, tmp_path / f"{seed}.safetensors", told)
    return tmp_path


def call(world: Path, out: str, *more: object) -> list[object]:
    given = ["--images", world / "pictures", "--device", "cpu", "--precision", "float32", "--out", world / out]
    return ["pseudo-label", "--segmenter", world / "0.safetensors", *given, *more]


def test_labels_doubt_and_agreement(world: Path, factory: "Factory") -> None:
    result = factory(*call(world, "a.zarr", "--segmenter", world / "1.safetensors", "--shard-size", 2))
    assert result.code == 0, result.err
    store, numbers = open_dataset(str(world / "a.zarr"), keep=False), np.arange(COUNT)
    assert verify(str(world / "a.zarr")).ok
    from labelfactory.factory.segmenters.catalogue import load_segmenter

    each = []
    for seed in range(2):
        network = load_segmenter(world / f"{seed}.safetensors")[0]
        each.append([predict(network, scene(i)[0]) for i in range(COUNT)])  # type: ignore[arg-type]
    p = np.mean(each, axis=0)  # (pictures, classes, rows, columns)
    mask = p.argmax(1)
    assert (store.read("mask", numbers) == mask).all()
    assert (store.read("image", numbers) == np.stack([scene(i)[0] for i in range(COUNT)])).all()
    doubt = -(p * np.log(np.maximum(p, 1e-12))).sum(1)
    np.testing.assert_allclose(store.read("uncertainty", numbers).astype(float), doubt, atol=2e-3)
    agree = np.mean([np.argmax(one, axis=1) == mask for one in each], axis=0)
    np.testing.assert_allclose(store.read("agreement", numbers).astype(float), agree)
    assert agree.min() < 1


def test_a_share_of_each_class_is_labelled_the_surest(world: Path, factory: "Factory") -> None:
    assert factory(*call(world, "all.zarr")).code == 0
    result = factory(*call(world, "some.zarr", "--share", 0.5, "--keep", 0.6))
    assert result.code == 0, result.err
    assert "50 % of each class" in result.out
    numbers = np.arange(COUNT)
    every, some = (open_dataset(str(world / f"{name}.zarr"), keep=False) for name in ("all", "some"))
    mask, left, doubt = every.read("mask", numbers), some.read("mask", numbers), every.read("uncertainty", numbers)
    assert (left[left != 255] == mask[left != 255]).all()
    for c in np.unique(mask):
        own = mask == c
        kept = own & (left == c)
        assert kept.sum() >= 0.5 * own.sum()
        assert (doubt[own] < doubt[kept].max() - 2e-3).mean() <= 0.5  # but for those as sure as the last one
        if (own & (left == 255)).any():
            assert doubt[kept].max() <= doubt[own & (left == 255)].min() + 2e-3
    assert len(open_dataset(str(world / "some.zarr"))) == 3


def test_the_store_is_made_again_from_what_lies_in_it(world: Path, factory: "Factory") -> None:
    assert factory(*call(world, "a.zarr", "--shard-size", 2)).code == 0
    chunk = next((world / "a.zarr/mask").rglob("1/0/0"))
    before = chunk.read_bytes()
    chunk.write_bytes(b"broken")
    for path in (world / "pictures").iterdir():
        path.unlink()
    repaired = factory("verify", world / "a.zarr", "--repair")
    assert repaired.code == 0, repaired.out + repaired.err
    assert chunk.read_bytes() == before


def test_pictures_of_several_sizes_need_one(world: Path, factory: "Factory") -> None:
    Image.fromarray(scene(0, 20, 30)[0]).save(world / "pictures/9.png")
    result = factory(*call(world, "a.zarr"))
    assert result.code == 2
    assert "9 is 20x30x3" in result.err
    assert factory(*call(world, "a.zarr", "--size", "24x32")).code == 0
