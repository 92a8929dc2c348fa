"""Pairs made while they are learned from: the bytes of ``generate``, any ranks and workers, and a filter that runs."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from streamed import run_on, seeds_of

from labelfactory import factory
from labelfactory.errors import InputError, WorkError
from labelfactory.factory import Order, live, prepare, produce
from labelfactory.factory.production.endless import LAST, REPLACED, EndlessPairs, seen_before
from labelfactory.factory.production.models import forget_models, models_of
from labelfactory.interpreters import StyleInterpreter
from labelfactory.storage import open_dataset, sample_seeds
from labelfactory.storage.torch_dataset import StreamDataset, StreamLoader

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]
COUNT = 80


@pytest.fixture(scope="module")
def job(tiny_world, tmp_path_factory):
    """A store's job, and through it the interpreter's file."""
    order = Order(
        generator=str(tiny_world.checkpoint), labels=str(tiny_world.labels), count=COUNT, shard_size=32, device="cpu",
        out=str(tmp_path_factory.mktemp("live") / "store"), seed=5,
    )  # fmt: skip
    return prepare(order, progress=False)


@pytest.fixture(scope="module")
def made(job):
    """The store's samples, everything in it."""
    produce(job, progress=False)
    names = ("image", "mask", "uncertainty", "uncertainty_score", "seed", "latent")
    return open_dataset(job.out, fields=names, keep=False)


@pytest.fixture
def dataset(job):
    """The same pairs, live."""

    def opened(**options):
        return live(job.spec.generator, job.interpreter, **{"count": COUNT, "seed": 5, "device": "cpu", **options})

    return opened


def test_live_pairs_are_byte_for_byte_those_of_generate(made, dataset):
    assert factory.live is live
    batches = list(dataset(fields=made.fields, keep=False, batch_size=7))
    stored = list(StreamDataset(made, batch_size=7))
    assert [len(batch["seed"]) for batch in batches] == [len(batch["seed"]) for batch in stored]
    for name in made.fields:
        value, like = batches[0][name], stored[0][name]
        assert (value.dtype, value.shape) == (like.dtype, like.shape), name
    truth = made.batch(np.arange(COUNT))
    truth["image"] = truth["image"].transpose(0, 3, 1, 2)
    for name in made.fields:
        live_bytes = torch.cat([batch[name] for batch in batches]).contiguous().numpy().tobytes()
        assert live_bytes == np.ascontiguousarray(truth[name]).tobytes(), name
    single = next(iter(dataset()))
    assert {name: tuple(value.shape) for name, value in single.items()} == {"image": (1, 16, 16), "mask": (16, 16)}


def test_a_pair_knows_nothing_of_who_asks(job):
    """Alone, among others, in another place of the batch, in another process: the same bytes."""
    pairs = EndlessPairs(job, keep=True, max_uncertainty=None)
    numbers = np.array([3, 70, 2000, 5, 900, 131], np.uint64)
    (together,) = pairs.make([numbers])
    forget_models()
    fresh = EndlessPairs(job, models_of(job))
    alone = list(fresh.make(numbers[i : i + 1] for i in reversed(range(len(numbers)))))[::-1]
    for name, values in together.items():
        assert values.tobytes() == b"".join(one[name].tobytes() for one in alone), name
    assert pairs.limits == fresh.limits


def test_the_running_quantile_is_that_of_the_pairs_before(job, dataset):
    assert seen_before(np.array([0, 63, 64, 127, 128, 1023, 1024, REPLACED - 1], np.uint64)).tolist() == [
        0, 0, 64, 64, 128, 512, 1024, 1024,
    ]  # fmt: skip
    total = LAST + 128
    everything = dataset(fields=("seed", "uncertainty_score"), count=total, batch_size=64, keep=False)
    scores = torch.cat([batch["uncertainty_score"] for batch in everything]).numpy()
    filtered = dataset(fields=("seed", "uncertainty_score"), count=total, batch_size=64)
    batches = list(filtered)
    kept, seeds = torch.cat([batch["uncertainty_score"] for batch in batches]).numpy(), np.array(seeds_of(batches))
    limit = {n: np.sort(scores[:n])[int(np.ceil(0.9 * n)) - 1] for n in (64, 128, 256, 512, 1024)}
    assert filtered.pairs.limits == limit
    own = sample_seeds(5, 0, total)
    for number in range(total):
        seen = int(seen_before(np.array([number], np.uint64))[0])
        passes = seen == 0 or scores[number] <= limit[seen]
        assert (seeds[number] == own[number]) == passes
        assert seen == 0 or kept[number] <= limit[seen]
    assert len(set(seeds.tolist())) == total
    assert 0.03 < (seeds != own).mean() < 0.25


def test_epochs_have_new_pairs_and_the_same_again(dataset):
    stream = dataset(fields=("seed",), batch_size=8)
    assert len(stream) == 10
    first, second = seeds_of(stream), seeds_of(stream)
    assert (stream.epoch, stream.position) == (2, 0)
    assert not set(first) & set(second)
    stream.set_epoch(0)
    assert seeds_of(stream) == first


def lines(dataset, state, ranks, batch_size, steps, workers=0, **options):
    """What ``ranks`` loaders give in so many steps from a state on, and the state after that."""
    loaders = [
        StreamLoader(dataset(fields=("seed",), batch_size=batch_size, rank=rank, ranks=ranks), workers, **options)
        for rank in range(ranks)
    ]
    given, states = run_on(loaders, state, steps)
    return given, states[0]


@pytest.mark.parametrize("options", [{}, {"workers": 2, "multiprocessing_context": "fork"}])
def test_a_run_goes_on_with_other_ranks_and_workers(dataset, options):
    whole, _ = lines(dataset, None, 1, 8, 20)  # two epochs, the filter at work in the first one already
    row, state = lines(dataset, None, 2, 5, 3)  # 30
    assert (state["epoch"], state["position"]) == (0, 30)
    more, state = lines(dataset, state, 1, 7, 4, **options)  # 58
    row += more
    more, state = lines(dataset, state, 3, 7, 1)  # 79
    row += more
    more, state = lines(dataset, state, 1, 1, 1)
    row += more
    assert (state["epoch"], state["position"]) == (0, 80)
    more, state = lines(dataset, state, 2, 20, 2, **options)
    assert row + more == whole
    assert (state["epoch"], state["position"]) == (1, 80)
    assert set(state["limits"]) <= {"64", "128"}


def test_fresh_worker_processes_open_the_models_themselves(dataset):
    alone = seeds_of(dataset(fields=("seed",), batch_size=32))
    loader = StreamLoader(dataset(fields=("seed",), batch_size=32), 1)
    assert seeds_of(loader) == alone
    loader.close()


def test_a_saved_run_brings_its_limits(dataset):
    stream = dataset(fields=("seed",), batch_size=10)
    given = seeds_of(itertools.islice(stream, 7))
    state = stream.state_dict()
    assert set(state["limits"]) == {"64"}
    again = dataset(fields=("seed",), batch_size=10)
    again.load_state_dict(state)
    assert again.pairs.limits == {64: state["limits"]["64"]}
    assert given + seeds_of(again) == seeds_of(dataset(fields=("seed",), batch_size=10))
    for other in ({"keep": False}, {"count": 81}, {"max_uncertainty": 1.0}, {"truncation": 0.5}):
        with pytest.raises(InputError, match="the saved state has"):
            dataset(**other).load_state_dict(state)
    with pytest.raises(InputError, match="not saved by a LiveDataset"):
        again.load_state_dict({"epoch": 0})


def test_open_models_serve_as_their_files_do(tiny_world, job, dataset):
    models = models_of(job)
    opened = live(models.generator, models.interpreter, count=40, seed=5, truncation=0.7, batch_size=20)
    named = dataset(count=40, batch_size=20)
    for a, b in zip(opened, named, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    loader = StreamLoader(opened, 1, multiprocessing_context="spawn")
    opened.seek(0)
    named.seek(0)
    assert torch.equal(next(iter(loader))["image"], next(iter(named))["image"])
    loader.close()
    with pytest.raises(InputError, match="open models for both"):
        live(models.generator, job.interpreter)
    stranger = StyleInterpreter.load(job.interpreter)
    stranger.generator_sha256 = "0" * 64
    with pytest.raises(InputError, match="interpreter: this interpreter reads generator"):
        live(models.generator, stranger)


def test_labels_train_the_interpreter_and_instances_come_along(tiny_world):
    stream = live(
        str(tiny_world.checkpoint), labels=str(tiny_world.labels), count=8, instances=True, device="cpu",
        fields=("instance", "mask"), batch_size=8, progress=False,
    )  # fmt: skip
    (batch,) = stream
    assert batch["instance"].dtype == torch.uint16
    assert batch["instance"].shape == batch["mask"].shape == (8, 16, 16)
    assert [info.name for info in stream.spec.classes] == ["background", "bright"]


def test_wrong_wishes_end_in_one_line(dataset, job):
    for wishes, words in (
        ({"fields": ("image", "depth")}, "no array 'depth': expected one of image, mask"),
        ({"count": 0}, "count is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"device": "tpu"}, "device"),
        ({"crop": "0:99"}, "crop"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            dataset(**wishes)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="either an interpreter file or a label set"):
        live(job.spec.generator)
    with pytest.raises(InputError, match=r"there are 2\*\*40 live pairs"):
        dataset().seek(2**40)
    with pytest.raises(WorkError, match="64 pairs in a row were more uncertain than 0 nats"):
        list(dataset(max_uncertainty=0.0, count=2))


def test_a_program_may_end_while_pairs_are_made(job):
    code = f"""
from labelfactory.factory import live
stream = iter(live({job.spec.generator!r}, {job.interpreter!r}, count=4000, device="cpu", batch_size=4))
print(len(next(stream)["mask"]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "4", "")


def test_neither_zarr_nor_prefect_is_needed(job):
    """Nor any other package than torch, NumPy, Pillow, safetensors and tqdm."""
    absent = "zarr fsspec numcodecs prefect typer pydantic scipy jaxtyping google_crc32c zstandard sklearn beartype"
    code = f"""
import sys
for name in {absent.split()!r}:
    sys.modules[name] = None
from labelfactory.factory import live
batch = next(iter(live({job.spec.generator!r}, {job.interpreter!r}, count=8, device="cpu", batch_size=4)))
print(tuple(batch["image"].shape))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(4, 1, 16, 16)"
