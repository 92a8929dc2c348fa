"""PyTorch loops over a store: right tensors, right shares, and stopping anywhere loses and repeats nothing."""

import itertools
import os
import threading

import numpy as np
import pytest
import torch
from storage_data import fill, make_spec
from streamed import run_on, seeds_of
from torch.utils.data import DataLoader

from labelfactory.storage import InputError, create_store, open_dataset
from labelfactory.storage.shuffle import Shuffle
from labelfactory.storage.torch_dataset import MapDataset, StreamDataset, StreamLoader

SHUFFLE = Shuffle(seed=3, block=2, shards_in_flight=2, window=3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch") / "set"
    fill(create_store(str(folder), make_spec(count=40, shard_size=8)))
    return open_dataset(str(folder), fields=("image", "mask", "seed"))


def all_seeds(dataset):
    return sorted(dataset.read("seed", dataset.samples).tolist())


def test_map_style_samples_are_channel_first_tensors(dataset):
    tensors = MapDataset(dataset)
    assert len(tensors) == 36
    sample, truth = tensors[4], dataset[4]
    assert (sample["image"].shape, sample["image"].dtype) == ((3, 8, 6), torch.uint8)
    assert np.array_equal(sample["image"].movedim(0, -1), truth["image"])
    assert np.array_equal(sample["mask"], truth["mask"])
    loader = DataLoader(tensors, batch_size=5, shuffle=True)
    assert sorted(seeds_of(loader)) == all_seeds(dataset)
    means = MapDataset(dataset, transform=lambda sample: sample["image"].float().mean())
    assert means[4] == pytest.approx(truth["image"].mean(), rel=1e-5)


def test_streaming_gives_every_kept_sample_once(dataset):
    for batch_size in (None, 1, 5, 7, 36, 100):
        got = seeds_of(StreamDataset(dataset, SHUFFLE, batch_size=batch_size))
        assert sorted(got) == all_seeds(dataset)
        assert got == seeds_of(StreamDataset(dataset, SHUFFLE))
    shapes = [batch["image"].shape[0] for batch in StreamDataset(dataset, SHUFFLE, batch_size=7)]
    assert shapes == [7, 7, 7, 7, 7, 1]
    values = list(StreamDataset(dataset, SHUFFLE, batch_size=7, transform=lambda sample: sample["mask"].float().mean()))
    assert values[0].shape == (7,)


def test_images_and_masks_stay_together(dataset):
    truth = dict(zip(dataset.read("seed", range(40)).tolist(), dataset.read("mask", range(40)), strict=True))
    for sample in StreamDataset(dataset, SHUFFLE):
        assert np.array_equal(sample["mask"], truth[int(sample["seed"].numpy().view(np.uint64))])


def test_ranks_share_equally_and_epochs_differ(dataset):
    ranks = [StreamDataset(dataset, SHUFFLE, rank=rank, ranks=5) for rank in range(5)]
    shares = [seeds_of(rank) for rank in ranks]
    assert [len(share) for share in shares] == [7] * 5
    assert len({seed for share in shares for seed in share}) == 35
    ranks[0].set_epoch(1)
    assert seeds_of(ranks[0]) != shares[0]


def lines(dataset, state, ranks, batch_size, steps, workers=0):
    """What ``ranks`` loaders give in so many steps from a state on, one list a step, and the state after that."""
    loaders = [
        StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size, rank=rank, ranks=ranks), workers)
        for rank in range(ranks)
    ]
    given, states = run_on(loaders, state, steps)
    assert all(state == states[0] for state in states)
    return given, states[0]


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on a machine with one core
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on_with_other_numbers_of_ranks_and_workers(dataset, workers):
    whole, _ = lines(dataset, None, 1, 4, 9)  # an epoch of 36
    assert sorted(whole) == all_seeds(dataset)
    row, state = lines(dataset, None, 3, 2, 2)
    more, state = lines(dataset, state, 1, 5, 2, workers)
    row += more
    more, state = lines(dataset, state, 7, 2, 1)
    assert row + more == whole
    assert (state["epoch"], state["position"]) == (0, 36)
    again, state = lines(dataset, state, 2, 9, 2, workers)
    assert state["epoch"] == 1
    assert sorted(again) == all_seeds(dataset)
    assert again != whole


def test_a_run_that_broke_off_in_this_process_goes_on(dataset):
    whole = [seeds_of([batch]) for batch in StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size=4))]
    loader = StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size=4))
    assert len(loader) == len(whole) == 9
    head = []
    for batch in loader:
        head.append(seeds_of([batch]))
        if len(head) == 3:
            break
    assert loader.state_dict()["position"] == 12
    assert head + [seeds_of([batch]) for batch in loader] == whole
    assert (loader.stream.epoch, loader.stream.position) == (1, 0)
    loader.stream.set_epoch(1)  # it is there already: nothing changes
    second = [seeds_of([batch]) for batch in loader]
    loader.stream.seek(1)
    assert [seeds_of([batch]) for batch in loader] == second != whole


def test_a_stream_alone_resumes_too(dataset):
    whole = [seeds_of([batch]) for batch in StreamDataset(dataset, SHUFFLE, batch_size=4)]
    first = StreamDataset(dataset, SHUFFLE, batch_size=4)
    head = [seeds_of([batch]) for batch in itertools.islice(first, 3)]
    second = StreamDataset(dataset, SHUFFLE, batch_size=4)
    second.load_state_dict(first.state_dict())
    assert head + [seeds_of([batch]) for batch in second] == whole
    assert seeds_of(second) == seeds_of(_at_epoch(dataset, 1))


def _at_epoch(dataset, epoch):
    stream = StreamDataset(dataset, SHUFFLE, batch_size=4)
    stream.set_epoch(epoch)
    return stream


def test_stores_are_mixed_by_weight(dataset, tmp_path):
    fill(create_store(str(tmp_path / "other"), make_spec(count=20, shard_size=8, seed=99)))
    other = open_dataset(str(tmp_path / "other"), fields=dataset.fields)
    plain = StreamDataset([dataset, other], SHUFFLE, batch_size=4)
    assert sorted(seeds_of(plain)) == sorted(all_seeds(dataset) + all_seeds(other))
    weighted = StreamDataset([dataset, other], SHUFFLE, 4, weights=[1, 3])
    found = seeds_of(weighted)
    assert len(found) == 54
    assert abs(sum(seed in all_seeds(other) for seed in found) - 41) <= 2
    with pytest.raises(InputError, match="weights"):
        plain.load_state_dict(weighted.state_dict())


def test_threads_decode_the_same(dataset):
    assert seeds_of(StreamDataset(dataset, SHUFFLE, 8, threads=3)) == seeds_of(StreamDataset(dataset, SHUFFLE, 8))
    one, three = (list(StreamDataset(dataset, SHUFFLE, 8, threads=threads)) for threads in (1, 3))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(one, three, strict=True))


def test_batches_stay_as_they_are_while_they_are_used(dataset):
    kept = list(StreamDataset(dataset, SHUFFLE, batch_size=4))
    again = [{name: values.clone() for name, values in b.items()} for b in StreamDataset(dataset, SHUFFLE, 4)]
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(kept, again, strict=True))


def test_a_state_of_something_else_is_refused(dataset):
    stream = StreamDataset(dataset, SHUFFLE, batch_size=4)
    state = stream.state_dict()
    with pytest.raises(InputError, match="shuffle"):
        StreamDataset(dataset, Shuffle(4), batch_size=4).load_state_dict(state)
    old = {"spec_hash": "0", "samples": 36, "batch_size": 4, "ranks": 1, "epoch": 2, "taken": [8], "turn": 0}
    with pytest.raises(InputError, match=r"saved by a version before 0\.2, in epoch 2, whose order was another"):
        stream.load_state_dict(old)
    with pytest.raises(InputError, match="not saved by a StreamDataset"):
        stream.load_state_dict({"epoch": 1})
    with pytest.raises(InputError, match="position 99"):
        stream.load_state_dict({**state, "position": 99})
    with pytest.raises(InputError, match="takes no batch_size"):
        StreamLoader(stream, batch_size=3)
    with pytest.raises(InputError, match="threads is 0"):
        StreamDataset(dataset, threads=0)


def test_breaking_off_leaves_no_thread_behind(dataset):
    before = set(threading.enumerate())  # those of other tests may end meanwhile
    for _ in StreamDataset(dataset, SHUFFLE, batch_size=4):
        break
    assert not set(threading.enumerate()) - before


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_fresh_worker_processes_read_the_same(dataset, method):
    stream = StreamDataset(dataset, SHUFFLE, batch_size=4)
    got = seeds_of(StreamLoader(stream, 1, multiprocessing_context=method))
    assert got == seeds_of(StreamDataset(dataset, SHUFFLE, batch_size=4))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_remote_client_says_that_it_does_not_survive_a_fork():
    from labelfactory.storage.backends.remote import RemoteBackend

    backend = RemoteBackend("http://localhost:9/none")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            backend.read("zarr.json")
        except BaseException as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert b'multiprocessing_context="spawn"' in os.read(reader, 1000)
