"""PyTorch loops over a store: right tensors, right shares, and stopping anywhere loses and repeats nothing."""

import json
import os
import threading

import numpy as np
import pytest
import torch
from storage_data import fill, make_spec
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


def seeds_of(batches):
    return [seed for batch in batches for seed in np.atleast_1d(np.asarray(batch["seed"]).view(np.uint64)).tolist()]


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


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on a machine with one core
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_resumes_after_any_batch(dataset, workers):
    def loader():
        return StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size=4), workers)

    whole = [seeds_of([batch]) for batch in loader()]
    assert sorted(seed for batch in whole for seed in batch) == all_seeds(dataset)
    for stop in (0, 1, 3, len(whole) - 1) if workers == 0 else (3,):
        first = loader()
        iterator = iter(first)
        head = [seeds_of([next(iterator)]) for _ in range(stop)]
        state = json.loads(json.dumps(first.state_dict()))
        del iterator
        second = loader()
        second.load_state_dict(state)
        assert head + [seeds_of([batch]) for batch in second] == whole
        assert second.state_dict()["epoch"] == 1


def test_a_state_of_another_set_up_is_refused(dataset):
    state = StreamDataset(dataset, SHUFFLE, batch_size=4).state_dict()
    with pytest.raises(InputError, match="batch_size"):
        StreamDataset(dataset, SHUFFLE, batch_size=5).load_state_dict(state)
    with pytest.raises(InputError, match="ranks"):
        StreamDataset(dataset, SHUFFLE, batch_size=4, rank=0, ranks=2).load_state_dict(state)
    loader = StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size=4), 0)
    loader.load_state_dict({**state, "taken": [4, 4]})
    with pytest.raises(InputError, match="2 shares"):
        next(iter(loader))


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
