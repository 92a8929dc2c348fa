"""Walks through latent space: sequences whose objects keep their numbers, the same ones however they are made."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from command_line import Factory
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_data import make_arrays, make_spec
from tiny_world import CLASSES, TinyWorld
from translation_world import write_pairs

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.audit.correcting import add_suspects
from labelfactory.factory.audit.order import CorrectionOrder
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.production import tracking
from labelfactory.factory.production.line import open_output, produce
from labelfactory.factory.production.live import live
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.origins import drawn
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import render_shard
from labelfactory.factory.production.tracking import tracked
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Generator
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.storage import (
    DatasetSpec,
    Sequences,
    create_store,
    open_dataset,
    open_sequences,
    open_store,
    sample_seeds,
)

WALK = 40  # more than a batch, so that a sequence spans several


@pytest.fixture
def order(tiny_world: TinyWorld, tmp_path: Path) -> Order:
    things = (LabelClass("background", (0, 0, 0), False), LabelClass("bright", CLASSES[1].color, True))
    replace(LabelSet.load(tiny_world.labels), classes=things).save(tmp_path / "labels")
    return Order(
        generator=str(tiny_world.checkpoint),
        labels=str(tmp_path / "labels"),
        out=str(tmp_path / "walks.zarr"),
        count=3 * WALK,
        shard_size=2 * WALK,
        walk=WALK,
        instances=True,
        device="cpu",
    )


def made(order: Order) -> DatasetSpec:
    job = prepare(order, progress=False)
    produce(job, progress=False)
    return job.spec


def tree(store: str) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in Path(store).rglob("*") if p.is_file()}


def frames(*rows: str) -> np.ndarray:
    """Object numbers of one-dimensional pictures, a text each."""
    return np.array([[[int(letter) for letter in row]] for row in rows], np.uint16)


def test_an_object_keeps_its_number_and_a_lost_one_its_own() -> None:
    numbers = frames("1110002200", "0221110000", "0033302211", "0011100022")
    found = tracked(numbers, (numbers > 0).astype(np.uint8), [1])
    # What was on the right is lost: what appears there later is new, though it is where that was.
    assert found[:, 0].tolist() == [
        [1, 1, 1, 0, 0, 0, 2, 2, 0, 0],
        [0, 1, 1, 3, 3, 3, 0, 0, 0, 0],
        [0, 0, 3, 3, 3, 0, 5, 5, 4, 4],
        [0, 0, 3, 3, 3, 0, 0, 0, 4, 4],
    ]


def test_an_object_of_another_class_is_another_object() -> None:
    numbers = frames("1100", "1100", "1100")
    masks = np.array([[[1, 1, 0, 0]], [[2, 2, 0, 0]], [[2, 2, 0, 0]]], np.uint8)
    assert tracked(numbers, masks, [1, 2])[:, 0, 0].tolist() == [1, 2, 2]


def test_pixels_of_the_boundary_do_not_decide_the_class() -> None:
    numbers = frames("1111", "1111")
    masks = np.array([[[1, 2, 2, 2]], [[1, 2, 2, 2]]], np.uint8)  # class 2 is what was drawn between objects
    assert tracked(numbers, masks, [1])[:, 0, 0].tolist() == [1, 1]


def test_more_objects_than_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "MOST", 3)
    numbers = frames("1020", "0102")
    with pytest.raises(WorkError, match="more than 3 objects; walk fewer frames"):
        tracked(numbers, (numbers > 0).astype(np.uint8), [1])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_numbers_change_and_objects_do_not(seed: int) -> None:
    """Any frames: what was one object in a frame is one, numbers are not used again, stable ones stay."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 4, (6, 3, 4)).astype(np.uint16)
    numbers[3] = numbers[2]
    masks = np.where(numbers > 0, 1 + numbers % 2, 0).astype(np.uint8)
    found = tracked(numbers, masks, [1, 2])
    for before, after in zip(numbers, found, strict=True):
        pairs = set(zip(before.ravel().tolist(), after.ravel().tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert (0 in before) == ((0, 0) in pairs)
    np.testing.assert_array_equal(found[3], found[2])
    seen, gone = set[int](), set[int]()
    for frame in found:
        there = set(np.unique(frame).tolist()) - {0}
        assert not there & gone
        gone |= seen - there
        seen |= there
    assert seen == set(range(1, len(seen) + 1))


def test_a_frame_is_a_turn_between_two_samples(order: Order) -> None:
    spec = replace(made(order), walk_degrees=360.0)
    z, _, known = drawn(spec, np.arange(2 * WALK, dtype=np.uint64), (8,))
    plain, _, _ = drawn(replace(spec, walk=0, walk_degrees=0.0), np.arange(2 * WALK, dtype=np.uint64), (8,))
    for first in (0, WALK):
        np.testing.assert_array_equal(z[first], plain[first])
        np.testing.assert_allclose(z[first + WALK // 4], plain[first + 1], atol=1e-6)
        np.testing.assert_allclose(z[first + WALK // 2], -plain[first], atol=1e-6)
    steps = np.linalg.norm(np.diff(np.concatenate([z[:WALK], z[:1]]), axis=0), axis=1)
    assert steps[-1] < 1.1 * steps[:-1].max()  # closed: from the last frame to the first it is no further
    assert known["sequence"].tolist() == [0] * WALK + [1] * WALK
    assert known["frame"].tolist() == [*range(WALK), *range(WALK)]
    many = drawn(
        replace(spec, count=WALK * 400, shard_size=WALK), np.arange(7, WALK * 400, WALK, dtype=np.uint64), (8,)
    )
    assert abs(many[0].std() - 1) < 0.05  # a frame in the middle is as typical as the first


def test_objects_stay_in_a_store(order: Order) -> None:
    made(order)
    plain = replace(order, out=f"{order.out}.plain", walk=None)
    made(plain)
    walks, alone = zarr.open_group(order.out, mode="r"), zarr.open_group(plain.out, mode="r")
    for first in (0, WALK, 2 * WALK):
        for name in ("image", "mask", "uncertainty_score", "latent", "seed", "instance"):
            np.testing.assert_array_equal(walks[name][first], alone[name][first])
    assert "walk" not in alone.attrs
    assert walks.attrs["walk"] == WALK
    assert "divmod(i, walk)" in str(walks.attrs["walk_rule"])
    assert walks["seed"][:].tolist() == sample_seeds(0, 0, 3 * WALK).tolist()
    sequences = open_sequences(order.out, ("image", "mask", "instance", "frame", "keep"))
    assert len(sequences) == 3
    numbers = sequences[1]["instance"]
    assert sequences[1]["frame"].tolist() == list(range(WALK))
    assert not sequences[1]["keep"].all() or not sequences[0]["keep"].all() or not sequences[2]["keep"].all()
    common = [np.intersect1d(a[a > 0], b[b > 0]).size for a, b in pairwise(numbers)]
    there = [np.unique(a[a > 0]).size for a in numbers[:-1]]
    assert sum(common) > 0.7 * sum(there) > 0
    with pytest.raises(IndexError):
        sequences[3]
    with pytest.raises(InputError, match="has no sequences; `factory generate --walk`"):
        Sequences(open_dataset(plain.out))
    groups = [pair.group for pair in StorePairs(order.out, keep=False).fetch([0, WALK - 1, WALK, 3 * WALK - 1])]
    assert groups == ["sequence 0", "sequence 0", "sequence 1", "sequence 2"]
    assert {pair.group for pair in StorePairs(plain.out).fetch([0, 1])} == {""}


def test_the_same_walks_however_they_are_made(order: Order, tmp_path: Path) -> None:
    """Interrupted in the middle of a sequence, in other shards, in two goes: the bytes are those of one go."""
    made(order)
    job = prepare(replace(order, out=str(tmp_path / "again")), progress=False)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    store = open_output(job)
    assert store.claim(0)
    with pytest.raises(KeyboardInterrupt):
        store.write_shard(0, render_shard(job, 0, 2 * WALK, interrupt))  # after 32 of 40 frames
    store.close()
    assert open_store(job.out).missing() == [0, 1]
    produce(job, progress=False)
    assert tree(job.out) == tree(order.out)
    small = replace(order, out=str(tmp_path / "small"), shard_size=WALK, count=2 * WALK)
    made(small)
    made(replace(small, count=3 * WALK))
    one, other = zarr.open_group(order.out, mode="r"), zarr.open_group(small.out, mode="r")
    for name in ("image", "mask", "instance", "latent", "frame", "uncertainty"):
        np.testing.assert_array_equal(one[name][:], other[name][:])


def test_the_class_of_a_conditional_generator_stays(order: Order, tmp_path: Path) -> None:
    spec = replace(made(order), conditions=(1, 4, 7), count=WALK * 30, shard_size=WALK)
    _, classes, known = drawn(spec, np.arange(WALK * 30, dtype=np.uint64), (8,))
    assert classes is not None
    by_sequence = classes.reshape(30, WALK)
    assert (by_sequence == by_sequence[:, :1]).all()
    assert set(by_sequence[:, 0].tolist()) == {1, 4, 7}
    np.testing.assert_array_equal(known["condition"], classes)


def test_a_latent_of_several_axes_walks_too(order: Order) -> None:
    """As diffusion models have: the noise turns."""
    spec = made(order)
    z, _, known = drawn(spec, np.arange(3, dtype=np.uint64), (2, 2, 2))
    assert z.shape == (3, 2, 2, 2)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(known["latent"], drawn(spec, np.arange(3, dtype=np.uint64), (8,))[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": WALK + 1}, f"count is {WALK + 1}: expected a multiple of the {WALK} frames of a sequence"),
        ({"shard_size": 32}, f"shard_size is 32: expected a multiple of the {WALK} frames"),
        ({"walk": 1}, "walk is 1: expected 2 to 65535"),
        ({"walk": None, "walk_degrees": 30.0}, "give walk, its number of frames, too"),
        ({"walk_degrees": 0.0}, "walk_degrees is 0.0: expected more than 0"),
        ({"walk_degrees": float("nan")}, "walk_degrees is nan"),
    ],
)
def test_walks_that_cannot_be(order: Order, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(replace(order, **change), progress=False)
    assert not Path(order.out).exists()


@pytest.mark.parametrize("name", ["sequence", "frame"])
def test_frames_that_are_none_of_the_rule_are_refused(tmp_path: Path, name: str) -> None:
    spec = make_spec(walk=2, walk_degrees=90.0)
    store, arrays = create_store(str(tmp_path / "s"), spec), make_arrays(spec, 1)
    assert arrays["sequence"].tolist() == [2, 2, 3, 3]
    store.encode(1, arrays)
    with pytest.raises(InputError, match=f"shard 1: {name} breaks the walk rule"):
        store.encode(1, arrays | {name: arrays[name][::-1].copy()})


def test_shards_hold_whole_sequences_by_default(order: Order) -> None:
    spec = prepare(replace(order, shard_size=None), progress=False).spec
    assert spec.samples_per_shard % WALK == 0
    assert spec.samples_per_shard > WALK


def test_other_uses_of_a_walk_are_refused(order: Order, tmp_path: Path) -> None:
    made(order)
    suspects = tmp_path / "suspects.json"
    listed = {"spec_hash": open_store(order.out).spec.hash, "suspects": [{"index": 1, "surprise": 1.0}]}
    suspects.write_text(json.dumps(listed))
    with pytest.raises(InputError, match="frames have no seed of their own"):
        add_suspects(CorrectionOrder(labels=tmp_path / "labels", pairs=order.out, suspects=suspects))
    with pytest.raises(InputError, match="live pairs are no frames of a sequence"):
        live(order.generator, prepare(order).interpreter, count=WALK * 2, walk=WALK, device="cpu", progress=False)


def test_walks_as_they_are_typed(order: Order, factory: Factory, tmp_path: Path) -> None:
    call = ["generate", "--generator", order.generator, "--labels", order.labels, "--count", 24, "--shard-size", 12]
    call += ["--walk", 6, "--walk-degrees", 20, "--instances"]
    store, again = tmp_path / "a.zarr", tmp_path / "b.zarr"
    assert factory(*call, "--out", store).code == 0
    assert factory("verify", store).code == 0
    assert factory(*call, "--out", again, "--shards", "1").code == 0
    assert factory(*call, "--out", again).code == 0
    assert tree(str(store)) == tree(str(again))
    grown = factory(*call, "--out", store, "--walk-degrees", 30)
    assert grown.code == 2
    assert "walk_degrees is 20.0 there, 30.0 here" in grown.err


def test_models_without_latents_are_refused(order: Order, factory: Factory, tmp_path: Path) -> None:
    """What makes pictures of masks has no latent to walk through."""
    pairs, model = write_pairs(tmp_path / "pairs"), tmp_path / "pix2pix.safetensors"
    call = ["train-synthesis", "--pairs", pairs, "--out", model, "--method", "pix2pix", "--kimg", 0.004]
    trained = factory(*call, "--batch-size", 2, "--option", "width=2", "--precision", "float32")
    assert trained.code == 0, trained.err
    store = tmp_path / "x.zarr"
    refused = factory(
        "generate", "--generator", model, "--labels", order.labels, "--count", 8, "--walk", 4, "--out", store
    )
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert not store.exists()
    assert (
        factory("synthesise", "--model", model, "--masks", pairs, "--count", 8, "--walk", 4, "--out", store).code == 2
    )


def test_a_conditional_store_says_so(factory: Factory, order: Order, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = Generator(z_dim=8, w_dim=8, mapping_layers=2, c_dim=3, img_resolution=16, img_channels=1, channel_max=16)
    save_safetensors(tmp_path / "g.safetensors", network.eval())
    call = ["sample", "--generator", tmp_path / "g.safetensors", "--classes", "dark,bright", "--count", 2]
    assert factory(*call, "--strategy", "random", "--out", tmp_path / "set").code == 0
    labels = LabelSet.load(tmp_path / "set")
    drawn_by_hand = tuple(s._replace(mask=(s.image[..., 0] > np.median(s.image)).astype(np.uint8)) for s in labels)
    replace(labels, samples=drawn_by_hand).save(tmp_path / "set", overwrite=True)
    conditional = replace(
        order, generator=str(tmp_path / "g.safetensors"), labels=str(tmp_path / "set"), walk=8, count=32, shard_size=16
    )
    made(conditional)
    conditions = zarr.open_group(order.out, mode="r")["condition"][:].reshape(4, 8)
    assert (conditions == conditions[:, :1]).all()
    assert factory("verify", order.out).code == 0
