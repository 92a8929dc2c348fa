"""Random lives of a training run: killed, resumed with other numbers of ranks, workers and batch size, over epochs.

    python tests/storage_histories.py [--histories 10000] [--killed 100] [--seed 0]

Each history must give exactly the samples of the order, position after position: none lost, none doubled. Most run in
this process (ranks and workers take turns); the killed ones are processes with real worker processes that get SIGKILL.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.storage import Dataset, create_store, open_dataset
from labelfactory.storage.course import Course
from labelfactory.storage.shuffle import Shuffle
from labelfactory.storage.torch_dataset import StreamDataset, StreamLoader

FIELDS = ("mask", "seed")


class Life:
    """One history: its stores, shuffle and weights, and what it has read so far."""

    def __init__(self, stores: list[Dataset], random_: random.Random) -> None:
        self.random = random_
        self.stores = stores if random_.random() < 0.5 else [random_.choice(stores)]
        # Weights that divide no epoch evenly, beside the plain mixture of everything.
        self.weights = [random_.choice([1, 2.5, 0.1]) for _ in self.stores] if random_.random() < 0.5 else None
        self.shuffle = Shuffle(
            random_.randrange(1000), random_.randint(1, 4), random_.randint(1, 3), random_.randint(1, 4),
            random_.random() < 0.9,
        )  # fmt: skip
        self.course = Course(self.stores, self.shuffle, self.weights)
        self.seeds = [store.read("seed", range(store.spec.count)) for store in self.stores]
        self.state: dict[str, Any] | None = None
        self.epoch = self.position = 0

    def stream(self, rank: int, ranks: int, batch: int) -> StreamDataset:
        stream = StreamDataset(self.stores, self.shuffle, batch, None, rank, ranks, weights=self.weights)
        if self.state is not None:
            stream.load_state_dict(json.loads(json.dumps(self.state)))
        return stream

    def draw(self) -> tuple[int, int, int]:
        """Ranks, batch size and workers of the next start."""
        ranks = self.random.randint(1, 8)
        return ranks, self.random.randint(1, 6), self.random.randint(0, 4)

    def check(self, epoch: int, seeds: list[int], state: dict[str, Any], ranks: int) -> None:
        """One step of all ranks must be the next positions of the order, and the state must say so."""
        if epoch != self.epoch:
            unread = self.course.count - self.position
            assert epoch == self.epoch + 1, (epoch, self.epoch)
            assert unread < ranks, f"{unread} samples lost by {ranks} ranks at the end of epoch {self.epoch}"
            self.epoch, self.position = epoch, 0
        stop = self.position + len(seeds)
        which, samples = self.course.samples([(epoch, self.position, stop)])
        wanted = [int(self.seeds[w][s]) for w, s in zip(which, samples, strict=True)]
        assert seeds == wanted, (epoch, self.position, seeds, wanted)
        assert (state["epoch"], state["position"]) == (epoch, stop), (state, epoch, stop)
        self.position, self.state = stop, state


def seeds_of(batch: dict[str, Any]) -> list[int]:
    return batch["seed"].numpy().view(np.uint64).tolist()


def taking_turns(life: Life) -> None:
    """One to five starts; ranks and workers are iterators of this process."""
    for _ in range(life.random.randint(2, 6)):
        ranks, batch, workers = life.draw()
        streams = [life.stream(rank, ranks, batch) for rank in range(ranks)]
        first = streams[0]
        turns = [
            [
                stream.read(stream.steps.walk(stream.epoch, stream.position, worker, max(1, workers)))
                for worker in range(max(1, workers))
            ]
            for stream in streams
        ]
        steps = life.random.randint(0, 2 * first.steps.per_epoch)
        for number in range(min(steps, 12)):
            given = [next(turn[number % len(turn)]) for turn in turns]
            step = given[0][0]
            for stream in streams:
                stream.seek(step.epoch, step.end)
            assert len({len(batch["seed"]) for _, batch in given}) == 1
            life.check(step.epoch, [seed for _, batch in given for seed in seeds_of(batch)], first.state_dict(), ranks)
        for turn in turns:
            for iterator in turn:
                iterator.close()


def killed(life: Life, folder: Path) -> None:
    """Starts that are processes of their own, with loaders and their workers, killed in the middle of something."""
    for _ in range(life.random.randint(2, 6)):
        ranks, batch, workers = life.draw()
        ranks = min(ranks, 3) if workers else ranks
        log = folder / "log"
        log.write_text("")
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.setpgid(0, 0)
                _train(life, ranks, batch, workers, log)
            os._exit(0)
        os.setpgid(child, child)  # whoever comes first
        deadline = time.monotonic() + 20
        wanted = life.random.randint(0, 12)
        while len(log.read_bytes().splitlines()) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        assert len(lines) >= wanted, f"{len(lines)} of {wanted} steps within 20 s"
        for line in lines:
            step = json.loads(line)
            life.check(step["epoch"], step["seeds"], step["state"], ranks)


def _train(life: Life, ranks: int, batch: int, workers: int, log: Path) -> None:
    """What the killed process does: a step of all ranks, then one line with what it got and where it stands."""
    loaders = [
        StreamLoader(
            life.stream(rank, ranks, batch), workers, **({"multiprocessing_context": "fork"} if workers else {})
        )
        for rank in range(ranks)
    ]
    with log.open("a") as file:
        while True:
            epoch = loaders[0].stream.epoch
            for batches in zip(*loaders, strict=True):
                seeds = [seed for batch in batches for seed in seeds_of(batch)]
                file.write(json.dumps({"epoch": epoch, "seeds": seeds, "state": loaders[0].state_dict()}) + "\n")
                file.flush()


def make_stores(folder: Path) -> list[Dataset]:
    from storage_data import fill, make_spec

    stores = []
    for name, changes in (("a", {"count": 53, "seed": 1}), ("b", {"count": 30, "seed": 2})):
        fill(create_store(str(folder / name), make_spec(shard_size=8, **changes)))
        stores.append(open_dataset(str(folder / name), fields=FIELDS, keep=name == "a"))
    return stores


def run(histories: int, kills: int, seed: int, told: bool = False) -> None:
    """Runs them all; the first one that goes wrong raises, naming its number."""
    folder = Path(tempfile.mkdtemp())
    try:
        stores = make_stores(folder)
        for number in range(histories + kills):
            life = Life(stores, random.Random(seed * 1_000_003 + number))
            try:
                if number < histories:
                    taking_turns(life)
                else:
                    killed(life, folder)
            except AssertionError as error:
                raise AssertionError(f"history {number} of seed {seed}: {error}") from error
            if told and (number + 1) % 500 == 0:
                print(number + 1, "histories", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--killed", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    run(asked.histories, asked.killed, asked.seed, told=True)
    print(f"{asked.histories} histories and {asked.killed} with killed processes: none lost, none doubled, same order")
    sys.exit(0)
