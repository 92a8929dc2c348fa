"""An order becomes a store: the same one every time, whoever makes it and however often it is interrupted."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray
import zarr
from tiny_world import TinyWorld

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.latents import latents
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.line import backfill, make_shards, open_output, produce
from labelfactory.factory.production.models import forget_models
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare, try_store
from labelfactory.interpreters import StyleInterpreter
from labelfactory.storage import InputError as StoreError
from labelfactory.storage import finalize, open_dataset, open_store, sample_seeds


@pytest.fixture
def order(tiny_world: TinyWorld, tmp_path: Path) -> Order:
    return Order(
        generator=str(tiny_world.checkpoint),
        labels=str(tiny_world.labels),
        out=str(tmp_path / "store.zarr"),
        count=100,
        shard_size=40,
        device="cpu",
    )


def made(order: Order) -> Job:
    job = prepare(order, progress=False)
    produce(job, progress=False)
    return job


def test_a_backfill_makes_what_was_chosen_and_finishes_when_all_is_there(order: Order, tmp_path: Path) -> None:
    made(order)
    part, told = replace(order, out=str(tmp_path / "part"), shards="2"), []
    job = prepare(part, progress=False)
    assert job == prepare(replace(part, shards=None), progress=False)  # no part of what the data set is
    assert backfill(job, "2", False, told.append) is None
    assert open_store(part.out).missing() == [0, 1]
    assert told[0].endswith("1 shards chosen (2)")
    assert "not finished, 2 of 3 shards are missing (0-1): generate without --shards" in told[1]
    assert backfill(job, "0:3", False, told.append) is not None
    assert told[2].endswith("3 shards chosen (0-2); 1 of them are there")
    assert shard_hashes(part.out) == shard_hashes(order.out)
    assert backfill(job, "stale", False, told.append) is not None
    assert told[3].endswith("0 shards chosen (none)")
    with pytest.raises(StoreError, match="shard 3 does not exist: expected 0 to 2"):
        backfill(job, "3", False)
    for wrong in ("3-4", "some", "1,", ":"):
        with pytest.raises(InputError, match=r"shards is .*: expected numbers and ranges such as 3,7,10:20"):
            replace(order, shards=wrong)


def shard_hashes(store: str) -> dict[str, str]:
    root = Path(store)
    files = sorted(p for p in root.rglob("*") if p.is_file() and "/c/" in p.as_posix())
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_same_order_gives_the_same_shards_and_another_seed_others(order: Order, tmp_path: Path) -> None:
    made(order)
    again, other = replace(order, out=str(tmp_path / "again")), replace(order, out=str(tmp_path / "other"), seed=1)
    made(again)
    made(other)
    hashes = shard_hashes(order.out)
    assert len(hashes) == 6 * 3 + len([n for n in hashes if n.startswith("keep/")])
    assert hashes == shard_hashes(again.out)
    assert not {v for k, v in hashes.items() if k.startswith("image/")} & set(shard_hashes(other.out).values())


def test_a_pair_does_not_depend_on_its_shard(order: Order, tmp_path: Path) -> None:
    made(order)
    made(replace(order, out=str(tmp_path / "small"), shard_size=7, count=95))
    big, small = zarr.open_group(order.out, mode="r"), zarr.open_group(tmp_path / "small", mode="r")
    for name in ("image", "mask", "uncertainty", "uncertainty_score", "seed", "latent"):
        np.testing.assert_array_equal(big[name][:95], small[name][:])


def test_labels_in_another_precision_are_other_data_and_nearly_the_same(order: Order, tmp_path: Path) -> None:
    made(order)
    half = replace(order, out=str(tmp_path / "half"), precision="float16")
    made(half)
    exact, rounded = zarr.open_group(order.out, mode="r"), zarr.open_group(half.out, mode="r")
    assert "label_precision" not in exact.attrs
    assert rounded.attrs["label_precision"] == "float16"
    np.testing.assert_array_equal(exact["image"][:], rounded["image"][:])
    assert (exact["mask"][:] == rounded["mask"][:]).mean() > 0.99
    assert (exact["uncertainty"][:] != rounded["uncertainty"][:]).any()
    with pytest.raises(StoreError, match="label_precision"):
        made(replace(order, precision="float16"))
    with pytest.raises(InputError, match="precision 'half': expected one of"):
        replace(order, precision="half")


def test_a_pair_can_be_made_again_from_its_provenance(order: Order, tiny_world: TinyWorld) -> None:
    job = made(order)
    group = zarr.open_group(order.out, mode="r")
    seed = int(group["seed"][57])
    assert seed == int(sample_seeds(order.seed, 57, 58)[0])
    np.testing.assert_array_equal(group["latent"][57], latents([seed], 8)[0])
    images, maps = tiny_world.generator.generate(group["latent"][57][None], job.spec.truncation)
    label = StyleInterpreter.load(job.interpreter).predict_reference(maps)
    difference = images[0].numpy().astype(int) - group["image"][57]
    assert np.abs(difference).max() <= 1
    assert (label.mask[0].numpy() == group["mask"][57]).mean() > 0.99
    assert abs(float(label.score[0]) - float(group["uncertainty_score"][57])) < 1e-3


def test_plain_zarr_and_xarray_open_it(order: Order) -> None:
    made(order)
    dataset = xarray.open_zarr(order.out)
    assert dataset["image"].dims == ("sample", "y", "x", "channel")
    assert int(dataset["keep"].sum()) == 90
    kept = dataset["uncertainty_score"].values[dataset["keep"].values]
    assert kept.max() <= dataset["uncertainty_score"].values[~dataset["keep"].values].min()
    assert zarr.open_group(order.out, mode="r").attrs["licence"] == "CC0-1.0"
    assert len(open_dataset(order.out)) == 90


def test_interrupted_and_resumed_equals_uninterrupted(order: Order, tmp_path: Path) -> None:
    made(replace(order, out=str(tmp_path / "whole")))
    job = prepare(order, progress=False)
    open_output(job).close()
    make_shards(job, [1])
    assert open_output(job).missing() == [0, 2]
    produce(job, progress=False)
    assert shard_hashes(order.out) == shard_hashes(str(tmp_path / "whole"))


def test_count_may_grow(order: Order, tmp_path: Path) -> None:
    made(order)
    before = shard_hashes(order.out)
    made(replace(order, count=130))
    after = shard_hashes(order.out)
    assert all(after[name] == before[name] for name in before if name.startswith("image/c/0"))
    made(replace(order, count=130, out=str(tmp_path / "fresh")))
    assert after == shard_hashes(str(tmp_path / "fresh"))


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[Path]:
    """A folder in which a refused call must leave nothing."""
    folder = tmp_path / "untouched"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "count is 0"),
        ({"truncation": 3.0}, "truncation is 3.0"),
        ({"shard_size": 0}, "shard_size is 0"),
        ({"generator": "builtin:unknown"}, "builtin:unknown"),
        ({"labels": "no/such/folder"}, "no/such/folder"),
        ({"labels": None}, "either an interpreter file or a label set"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_orders_leave_nothing(order: Order, untouched: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(replace(order, **({"out": str(untouched / "store.zarr")} | change)))


def test_an_interpreter_of_another_generator_is_refused(order: Order, tmp_path: Path) -> None:
    foreign = StyleInterpreter([16, 16, 16, 16, 8, 8], 2, members=1)
    foreign.generator_sha256 = "2" * 64
    foreign.save(tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="reads generator 2222"):
        prepare(replace(order, labels=None, interpreter=str(tmp_path / "foreign.safetensors")))


def test_another_dataset_in_the_same_place_is_refused(order: Order) -> None:
    made(order)
    before = shard_hashes(order.out)
    with pytest.raises(StoreError, match="seed is 0 there, 5 here"):
        made(replace(order, seed=5))
    assert shard_hashes(order.out) == before


def test_a_store_goes_on_with_its_own_interpreter_when_the_file_was_replaced(order: Order, tmp_path: Path) -> None:
    made(replace(order, out=str(tmp_path / "whole")))
    job = prepare(order, progress=False)
    copy = tmp_path / "interpreter.safetensors"
    StyleInterpreter.load(job.interpreter).save(copy)
    job = replace(job, interpreter=str(copy))
    open_output(job).close()
    other = StyleInterpreter.load(copy)
    other.feature_mean += 1
    other.save(copy)
    forget_models()  # as in another process
    make_shards(job, range(3))
    with open_output(job) as store:
        finalize(store)
    assert shard_hashes(order.out) == shard_hashes(str(tmp_path / "whole"))


def test_no_shard_is_made_with_another_interpreter(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path / "empty"))
    job = prepare(replace(order, seed=1), progress=False)
    open_output(job).close()
    other = StyleInterpreter.load(job.interpreter)
    other.feature_mean += 1
    other.save(job.interpreter)
    forget_models()  # as in another process
    for copy in (Path(job.out) / "_models").iterdir():
        copy.unlink()
    with pytest.raises(InputError, match="not the interpreter of this dataset"):
        make_shards(job, [0])
    assert open_store(job.out).missing() == [0, 1, 2]


def test_a_store_far_away_is_tried_before_the_training(tiny_world: TinyWorld, tmp_path: Path) -> None:
    """On a server that only reads the interpreter is not trained in vain; where all is well nothing is left behind."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        out = f"http://127.0.0.1:{server.server_port}/nowhere/a.zarr"
        far = Order(generator=str(tiny_world.checkpoint), out=out, count=5, labels=str(tiny_world.labels))
        with pytest.raises(WorkError, match=r"a\.zarr"):
            prepare(far, cache=tmp_path / "cache", progress=False)
        server.shutdown()
    assert not (tmp_path / "cache").exists()
    try_store("memory://tried/a.zarr", {})
    assert fsspec.filesystem("memory").find("/tried") == []
