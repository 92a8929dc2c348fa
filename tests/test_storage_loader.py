"""A loader among others' loaders, and when something dies or hangs: an error with a name, never a wait without end."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
from storage_data import fill, make_spec
from storage_histories import run

from labelfactory.storage import WorkError, create_store, open_dataset
from labelfactory.storage.backends.local import LocalBackend
from labelfactory.storage.reader import SampleReader
from labelfactory.storage.shuffle import Shuffle
from labelfactory.storage.torch_dataset import StreamDataset, StreamLoader

SHUFFLE = Shuffle(seed=3, block=2, shards_in_flight=2, window=3)
WORKERS = {"num_workers": 2, "multiprocessing_context": "fork"}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture
def dataset(tmp_path):
    fill(create_store(str(tmp_path / "set"), make_spec(count=40, shard_size=8)))
    return open_dataset(str(tmp_path / "set"), fields=("image", "seed"))


def seeds_of(batch):
    return batch["seed"].numpy().view(np.uint64).tolist()


class Hanging(LocalBackend):
    """A disk that never gives one shard's images."""

    def read_ranges(self, path, ranges):
        if path == "image/c/2/0/0/0":
            threading.Event().wait(60)
        return super().read_ranges(path, ranges)


@pytest.mark.parametrize("options", [{}, WORKERS])
def test_a_disk_that_does_not_answer_is_named(dataset, options):
    dataset.reader = SampleReader(Hanging(dataset.uri), dataset.spec)
    loader = StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size=4, stall_s=0.3), **options)
    began = time.monotonic()
    with pytest.raises(WorkError, match=r"shard 2 of .*image/c/2/0/0/0 has not been read within 0 s"):
        list(loader)
    assert time.monotonic() - began < 20


def test_a_worker_that_is_killed_is_said_and_the_run_goes_on(dataset):
    whole = [seeds_of(batch) for batch in StreamDataset(dataset, SHUFFLE, batch_size=4)]
    loader = StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size=4), **WORKERS)
    got = []

    def read():
        for batch in loader:
            got.append(seeds_of(batch))
            if len(got) == 2:
                for child in multiprocessing.active_children():
                    os.kill(child.pid, signal.SIGKILL)

    ended = r"(exited unexpectedly|killed by signal: Killed).*"  # which torch says depends on who looks first
    with pytest.raises(WorkError, match=ended + r": the batch .* in shard \d of .*set; nothing is lost"):
        read()
    got += [seeds_of(batch) for batch in loader]
    assert got == whole
    loader.close()


def test_a_worker_that_says_nothing_is_ended(dataset):
    stream = StreamDataset(dataset, SHUFFLE, batch_size=4, transform=_sleepy)
    loader = StreamLoader(stream, timeout=1, **WORKERS)
    with pytest.raises(WorkError, match="timed out after 1 seconds: the batch that was asked for starts in shard"):
        list(loader)
    assert not multiprocessing.active_children()


def _sleepy(sample):
    os.kill(os.getpid(), signal.SIGSTOP)
    return sample


def test_an_error_of_the_transform_stays_what_it_is(dataset):
    for options in ({}, WORKERS):
        with pytest.raises(ZeroDivisionError):
            list(StreamLoader(StreamDataset(dataset, SHUFFLE, 4, transform=lambda sample: 1 // 0), **options))


def test_workers_stay_over_epochs(dataset):
    loader = StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size=4), **WORKERS)
    children = []
    for epoch in range(3):
        truth = StreamDataset(dataset, SHUFFLE, batch_size=4)
        truth.set_epoch(epoch)
        assert [seeds_of(batch) for batch in loader] == [seeds_of(batch) for batch in truth]
        children.append({child.pid for child in multiprocessing.active_children()})
    assert len(children[0]) == 2
    assert children[0] == children[1] == children[2]
    loader.load_state_dict(loader.state_dict() | {"epoch": 7, "position": 20})
    truth = StreamDataset(dataset, SHUFFLE, batch_size=4)
    truth.seek(7, 20)
    assert [seeds_of(batch) for batch in loader] == [seeds_of(batch) for batch in truth]
    loader.close()


def test_histories_lose_and_double_nothing():
    happened = run(histories=20, seed=int(time.time()) % 1000)
    assert happened["starts"] >= 40


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata 0.11 under torch 2.13
@pytest.mark.parametrize("workers", [0, 2])
def test_torchdata_s_stateful_loader_resumes(dataset, workers):
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader

    def loader():
        options = {"multiprocessing_context": "forkserver"} if workers else {}
        stream = StreamDataset(dataset, SHUFFLE, batch_size=4)
        return stateful(stream, batch_size=None, num_workers=workers, **options)

    whole = [seeds_of(batch) for batch in loader()]
    assert whole == [seeds_of(batch) for batch in StreamDataset(dataset, SHUFFLE, batch_size=4)]
    for stop in (1, 4, 8):
        first, head = loader(), []
        for batch in first:
            head.append(seeds_of(batch))
            if len(head) == stop:
                state = first.state_dict()
                break
        second = loader()
        second.load_state_dict(state)
        assert head + [seeds_of(batch) for batch in second] == whole


@pytest.mark.filterwarnings("ignore")  # of Lightning's own
def test_lightning_resumes_in_mid_epoch(dataset, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    import torch

    seen = []

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, number):
            seen.append(seeds_of(batch))
            return self.layer(torch.ones(1, 1)).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def train(steps, **options):
        trainer = lightning.Trainer(
            max_steps=steps, logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
            enable_checkpointing=False, default_root_dir=tmp_path,
        )  # fmt: skip
        loader = StreamLoader(StreamDataset(dataset, SHUFFLE, batch_size=4))
        trainer.fit(Module(), loader, **options)
        trainer.save_checkpoint(tmp_path / "state.ckpt")

    train(20)
    whole, seen[:] = list(seen), []
    train(5)
    train(20, ckpt_path=str(tmp_path / "state.ckpt"))
    assert seen == whole
