"""One panoptic store, six consumers: what the factory makes feeds networks of every task, each for an epoch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from object_world import CLASSES, POINTS, Crowds, write_crowds
from tiny_objects import TINY as OBJECTS
from tiny_segmenters import TINY as SEGMENTERS_TINY

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.evaluation import evaluate
from labelfactory.factory.pairs.augment import Batch, augment
from labelfactory.factory.pairs.augmentation import PRESETS
from labelfactory.factory.pairs.opening import open_source
from labelfactory.factory.pairs.pairs import random_crop
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.inference import judged
from labelfactory.factory.segmenters.order import SegmenterOrder
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import TASKS, Aim, pairs_for
from labelfactory.storage import ClassInfo, DatasetSpec, create_store, finalize, sample_seeds
from labelfactory.storage.label_arrays import object_arrays, point_arrays

COUNT, SIZE = 16, 32
CONSUMERS = [
    ("unet-small", "semantic", SEGMENTERS_TINY["unet-small"]),
    ("panoptic-deeplab", "panoptic", OBJECTS["panoptic-deeplab"]),
    ("upsnet", "panoptic", OBJECTS["upsnet"]),
    ("yolact", "instance", OBJECTS["yolact"]),
    ("centernet", "boxes", OBJECTS["centernet"]),
    ("hourglass", "keypoints", OBJECTS["hourglass"]),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished store of crowded discs with numbered objects and key points, the second of which is unsure."""
    path = str(tmp_path_factory.mktemp("store") / "pairs.zarr")
    pairs = Crowds(COUNT, SIZE, most=3).fetch(range(COUNT))
    arrays = (*point_arrays(POINTS, "2" * 64, uncertainty=False), *object_arrays(SIZE, SIZE))
    classes = tuple(ClassInfo(c.name, c.color, c.thing) for c in CLASSES)
    sizes = {"count": COUNT, "height": SIZE, "width": SIZE, "channels": 1, "latent_dim": 2, "shard_size": 8}
    hashes = {"generator_sha256": "0" * 64, "interpreter_sha256": "1" * 64}
    spec = DatasetSpec(classes=classes, label_arrays=arrays, **sizes, **hashes)
    with create_store(path, spec) as made:
        for shard in made.claim_missing():
            start, stop = made.shard_range(shard)
            some = pairs[start:stop]
            points = np.stack([p.keypoints for p in some])
            points[..., 2] = [0.9, 0.1]
            blank = np.zeros((stop - start, SIZE, SIZE), np.float16)
            made.write_shard(
                shard,
                {
                    "image": np.stack([p.image for p in some]),
                    "mask": np.stack([p.mask for p in some]),
                    "instance": np.stack([p.instances for p in some]).astype(np.uint16),
                    "keypoints": points,
                    "uncertainty": blank,
                    "uncertainty_score": blank[:, 0, 0].astype(np.float32),
                    "seed": sample_seeds(spec.seed, start, stop),
                    "latent": np.zeros((stop - start, 2), np.float32),
                },
            )
        finalize(made)
    return path


def test_a_store_s_objects_and_sure_points_are_read(store: str) -> None:
    pairs, classes = open_source(store, keep=False, extra=("instances", "keypoints"))
    assert [c.name for c in classes] == [c.name for c in CLASSES]
    assert pairs.points == POINTS
    truth = Crowds(COUNT, SIZE, most=3).fetch([5])[0]
    pair = pairs[5]
    np.testing.assert_array_equal(pair.instances, truth.instances)
    np.testing.assert_allclose(pair.keypoints[0], truth.keypoints[0])
    assert pair.keypoints[1].tolist() == [0, 0, 0]  # below the confidence from which a point counts
    plain, _ = open_source(store, keep=False)
    assert plain[5].instances is None
    assert plain[5].keypoints is None


@pytest.mark.parametrize(("name", "task", "tiny"), CONSUMERS, ids=[f"{n}-{t}" for n, t, _ in CONSUMERS])
def test_each_consumer_learns_an_epoch(store: str, tmp_path: Path, name: str, task: str, tiny: dict) -> None:
    out = tmp_path / "net.safetensors"
    how = TrainingConfig(steps=COUNT // 4, batch_size=4, validate_every=4, precision="float32")
    wishes = {"task": task, "architecture": name, "options": tiny, "training": how, "keep": False}
    order = SegmenterOrder(pairs=(store,), out=out, **wishes)
    report = train_rounds(order, progress=False)
    assert np.isfinite(report.history[-1]["loss"])
    network, recipe = load_segmenter(out)
    assert recipe["task"] == task
    aim = Aim(task, CLASSES, POINTS if task == "keypoints" else ())
    pairs, _ = open_source(store, False, limit=4, extra=TASKS[task].needs)
    found = evaluate(judged(network, pairs_for(aim, pairs), progress=False), CLASSES, 20, 1, aim.keypoints)
    assert TASKS[task].figure in found.overall


def test_labelled_folders_bring_objects_and_points_too(tmp_path: Path) -> None:
    folder = write_crowds(tmp_path / "crowds", 3)
    pairs, _ = open_source(str(folder), extra=("instances", "keypoints"))
    truth = Crowds(3).fetch([1])[0]
    np.testing.assert_array_equal(pairs[1].instances, truth.instances)
    np.testing.assert_allclose(pairs[1].keypoints, truth.keypoints, rtol=1e-5)
    (folder / "keypoints.json").write_text('{"names": ["a"], "points": {"000.png": [[1, 2]]}}')
    with pytest.raises(InputError, match=r"keypoints\.json is not"):
        open_source(str(folder))


def test_masks_alone_are_objects_too_and_it_is_said(tmp_path: Path) -> None:
    folder = write_crowds(tmp_path / "crowds", 4)
    for number in (folder / "instances").iterdir():
        number.unlink()
    how = TrainingConfig(steps=1, batch_size=2, validate_every=1, precision="float32")
    wishes = {"task": "instance", "architecture": "yolact", "options": OBJECTS["yolact"], "training": how}
    with pytest.warns(UserWarning, match="has no object numbers: objects are the connected parts"):
        train_rounds(SegmenterOrder(pairs=(str(folder),), out=tmp_path / "net.safetensors", **wishes), progress=False)


def batch(count: int = 6, size: int = 32) -> Batch:
    pairs = Crowds(count, size).fetch(range(count))
    image, mask, objects = (np.stack([getattr(p, n) for p in pairs]) for n in ("image", "mask", "instances"))
    points = torch.from_numpy(np.stack([p.keypoints for p in pairs]))
    x = torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(mask).long()
    return Batch(x, masks, torch.ones(masks.shape), torch.from_numpy(objects).long(), points)


@pytest.mark.parametrize("preset", ["dihedral", "in-place", "upright", "strong"])
def test_objects_and_points_move_with_the_picture(preset: str) -> None:
    """A dot of its own value at each point is found where the point went; an object never has two classes."""
    plain = batch()
    assert plain.objects is not None
    assert plain.points is not None
    dots = torch.zeros_like(plain.masks)
    for i, (x, y, _) in enumerate(plain.points[:, 0].tolist()):
        yy, xx = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="ij")
        dots[i] = ((xx - x) ** 2 + (yy - y) ** 2 < 2.5**2).long()
    marked = Batch(plain.images, dots, plain.weights, plain.objects * 0 + dots, plain.points)
    out = augment(marked, PRESETS[preset], torch.Generator().manual_seed(3))
    assert out.objects is not None
    assert out.points is not None
    seen = 0
    for objects, (x, y, visible) in zip(out.objects, out.points[:, 0].tolist(), strict=True):
        if visible and 3 < x < 29 and 3 < y < 29:
            seen += 1
            assert objects[int(y), int(x)] > 0
    assert seen >= 2
    assert torch.equal(out.masks > 0, out.objects > 0)


def test_crops_keep_numbers_and_lose_points_that_are_outside() -> None:
    pair = Crowds(1, 40).fetch([0])[0]
    crop = random_crop(pair, 20, np.random.default_rng(0))
    corners = [(top, left) for top in range(21) for left in range(21)]
    top, left = next(c for c in corners if np.array_equal(pair.image[c[0] :, c[1] :][:20, :20], crop.image))
    np.testing.assert_array_equal(crop.instances, pair.instances[top : top + 20, left : left + 20])
    for old, new in zip(pair.keypoints, crop.keypoints, strict=True):
        x, y = old[0] - left, old[1] - top
        there = 0 <= x < 20 and 0 <= y < 20
        np.testing.assert_allclose(new, [x, y, 2] if there else [0, 0, 0])
