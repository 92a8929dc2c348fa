"""Random lives of a training run: killed with SIGKILL, resumed with other numbers of ranks, workers and batch size.

    python tests/storage_histories.py [--histories 10000] [--first 0] [--seed 0]

A history is two to six starts of one run over one store, two mixed by weight, or pairs made live. Every start ends with
SIGKILL in the middle of something. Runs start together: a process that is killed is one start of each of ``TOGETHER``
runs, whose ranks and workers are iterators that take turns; one start in ``REAL`` is alone and has real loaders with
their worker processes. Each history must give exactly the samples of the order, position after position, over the ends
of epochs: none lost, none doubled.
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
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelfactory.factory.production.endless import EndlessPairs
from labelfactory.factory.production.live import LiveDataset
from labelfactory.storage import Dataset, create_store, open_dataset
from labelfactory.storage.course import Course
from labelfactory.storage.elastic_stream import ElasticStream
from labelfactory.storage.shuffle import Shuffle
from labelfactory.storage.torch_dataset import StreamDataset, StreamLoader

FIELDS = ("mask", "seed")
TOGETHER = 20  # runs of one process
REAL = 200  # one start in so many has real loaders and their processes
LIVE, LIVE_COUNT = 50, 45  # one history in so many is of live pairs, that many an epoch
MOST_STEPS = 12
PATIENCE_S = 120.0

Row = Callable[[int, int, int], list[int]]  # the seeds of an epoch's positions from start to stop


class Life:
    """One history: what the run reads, and how far it has come."""

    def __init__(self, number: int, stores: list[Dataset], live: EndlessPairs, random_: random.Random) -> None:
        self.number, self.random = number, random_
        self.live = live if random_.randrange(LIVE) == 0 else None
        self.stores = stores if random_.random() < 0.5 else [random_.choice(stores)]
        # Weights that divide no epoch evenly, beside the plain mixture of everything.
        self.weights = [random_.choice([1, 2.5, 0.1]) for _ in self.stores] if random_.random() < 0.5 else None
        self.shuffle = Shuffle(
            random_.randrange(1000), random_.randint(1, 4), random_.randint(1, 3), random_.randint(1, 4),
            random_.random() < 0.9,
        )  # fmt: skip
        self.count, self.row = (LIVE_COUNT, live_row(live)) if self.live else self._stored()
        self.state: dict[str, Any] | None = None
        self.epoch = self.position = 0
        self.starts = random_.randint(2, 6)

    def _stored(self) -> tuple[int, Row]:
        course = Course(self.stores, self.shuffle, self.weights)
        seeds = [store.read("seed", range(store.spec.count)) for store in self.stores]

        def row(epoch: int, start: int, stop: int) -> list[int]:
            which, samples = course.samples([(epoch, start, stop)])
            return [int(seeds[w][s]) for w, s in zip(which, samples, strict=True)]

        return course.count, row

    def stream(self, rank: int, ranks: int, batch: int) -> ElasticStream:
        stream: ElasticStream
        if self.live:
            stream = LiveDataset(self.live, LIVE_COUNT, ("seed",), batch, None, rank, ranks)
        else:
            stream = StreamDataset(self.stores, self.shuffle, batch, None, rank, ranks, weights=self.weights)
        if self.state is not None:
            stream.load_state_dict(json.loads(json.dumps(self.state)))
        return stream

    def draw(self) -> tuple[int, int, int]:
        """Ranks, batch size and workers of the next start."""
        ranks, workers = self.random.randint(1, 8), self.random.randint(0, 4)
        if self.live:  # computed: fewer at once
            ranks, workers = min(ranks, 2), min(workers, 2)
        return ranks, self.random.randint(1, 6), workers

    def check(self, epoch: int, seeds: list[int], state: dict[str, Any], ranks: int) -> None:
        """One step of all ranks must be the next positions of the order, and the state must say so."""
        if epoch != self.epoch:
            unread = self.count - self.position
            assert epoch == self.epoch + 1, (epoch, self.epoch)
            assert unread < ranks, f"{unread} samples lost by {ranks} ranks at the end of epoch {self.epoch}"
            self.epoch, self.position = epoch, 0
        stop = self.position + len(seeds)
        wanted = self.row(epoch, self.position, stop)
        assert seeds == wanted, (epoch, self.position, seeds, wanted)
        assert (state["epoch"], state["position"]) == (epoch, stop), (state, epoch, stop)
        self.position, self.state = stop, state


_LIVE_SEEDS: dict[int, int] = {}


def live_row(live: EndlessPairs) -> Row:
    """Seeds of live pairs, made one after another by a process that is not killed."""

    def row(epoch: int, start: int, stop: int) -> list[int]:
        numbers = range(epoch * LIVE_COUNT + start, epoch * LIVE_COUNT + stop)
        while len(_LIVE_SEEDS) < numbers.stop:
            next_ones = np.arange(len(_LIVE_SEEDS), len(_LIVE_SEEDS) + live.size, dtype=np.uint64)
            (made,) = live.make([next_ones])
            _LIVE_SEEDS.update(zip(next_ones.tolist(), made["seed"].tolist(), strict=True))
        return [_LIVE_SEEDS[number] for number in numbers]

    return row


def seeds_of(batch: dict[str, Any]) -> list[int]:
    return batch["seed"].numpy().view(np.uint64).tolist()


Steps = Iterator[tuple[int, list[int], dict[str, Any]]]  # epoch, seeds of all ranks, state after it


def taking_turns(life: Life, ranks: int, batch: int, workers: int) -> Steps:
    """Ranks and workers are iterators of one process."""
    streams = [life.stream(rank, ranks, batch) for rank in range(ranks)]
    turns = [
        [
            stream.batches(stream.steps.walk(stream.epoch, stream.position, worker, max(1, workers)))
            for worker in range(max(1, workers))
        ]
        for stream in streams
    ]
    for number in range(MOST_STEPS):
        given = [next(turn[number % len(turn)]) for turn in turns]
        step = given[0][0]
        for stream in streams:
            stream.seek(step.epoch, step.end)
        assert len({len(batch["seed"]) for _, batch in given}) == 1
        yield step.epoch, [seed for _, batch in given for seed in seeds_of(batch)], streams[0].state_dict()


def loading(life: Life, ranks: int, batch: int, workers: int) -> Steps:
    """Every rank has a loader with worker processes."""
    options = {"multiprocessing_context": "fork"} if workers else {}
    loaders = [StreamLoader(life.stream(rank, ranks, batch), workers, **options) for rank in range(ranks)]
    while True:
        epoch = loaders[0].stream.epoch
        for batches in zip(*loaders, strict=True):
            yield epoch, [seed for batch in batches for seed in seeds_of(batch)], loaders[0].state_dict()


def start_alone(life: Life, log: Path, told: Counter[str]) -> None:
    """One start with real loaders."""
    ranks, batch, workers = life.draw()
    ranks = min(ranks, 3)
    life.starts -= 1
    wanted = life.random.randint(0, MOST_STEPS)

    def work() -> Iterator[tuple[int, tuple[int, list[int], dict[str, Any]]]]:
        return ((0, step) for step in loading(life, ranks, batch, workers))

    _check(_killed(work, wanted, log), {0: (life, ranks)}, told)
    told.update(processes=1, with_workers=1)


def start_together(lives: list[Life], log: Path, told: Counter[str]) -> None:
    """One start of each of several runs, in one process."""
    drawn = [(life, *life.draw()) for life in lives]
    for life in lives:
        life.starts -= 1
    random_ = lives[0].random
    wanted, order = random_.randint(0, MOST_STEPS * len(lives) // 2), random.Random(random_.random())

    def work() -> Iterator[tuple[int, tuple[int, list[int], dict[str, Any]]]]:
        turns = {i: taking_turns(*one) for i, one in enumerate(drawn)}
        while turns:
            i = order.choice(list(turns))
            for step in turns[i]:
                yield i, step
                break
            else:
                del turns[i]

    _check(_killed(work, wanted, log), {i: (life, ranks) for i, (life, ranks, _, _) in enumerate(drawn)}, told)
    told.update(processes=1)


def _killed(work: Callable[[], Iterator[tuple[int, Any]]], wanted: int, log: Path) -> list[tuple[int, Any]]:
    """The steps that a process writes down before it is killed, in the middle of the one after ``wanted`` or later."""
    log.write_bytes(b"")
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setpgid(0, 0)
            with log.open("a") as file:
                for i, step in work():
                    file.write(json.dumps([i, step]) + "\n")
                    file.flush()
        os._exit(0)
    with contextlib.suppress(OSError):  # whoever comes first; a child that is over already has none
        os.setpgid(child, child)
    deadline = time.monotonic() + PATIENCE_S
    while log.read_bytes().count(b"\n") < wanted and time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert len(lines) >= wanted, f"{len(lines)} of {wanted} steps"
    return [(i, step) for i, step in map(json.loads, lines)]


def _check(steps: list[tuple[int, Any]], lives: dict[int, tuple[Life, int]], told: Counter[str]) -> None:
    for i, (epoch, seeds, state) in steps:
        life, ranks = lives[i]
        try:
            life.check(epoch, seeds, state, ranks)
        except AssertionError as error:
            raise AssertionError(f"history {life.number}: {error}") from error
        told.update(steps=1, samples=len(seeds))
    told.update(starts=len(lives))


def make_stores(folder: Path) -> list[Dataset]:
    from storage_data import fill, make_spec

    stores = []
    for name, changes in (("a", {"count": 53, "seed": 1}), ("b", {"count": 30, "seed": 2})):
        fill(create_store(str(folder / name), make_spec(shard_size=8, **changes)))
        stores.append(open_dataset(str(folder / name), fields=FIELDS, keep=name == "a"))
    return stores


def make_live(folder: Path) -> EndlessPairs:
    from tiny_world import make_tiny_world

    from labelfactory.factory import live
    from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
    from labelfactory.factory.labels.feature_maps import load_labels
    from labelfactory.interpreters import Recipe

    world = make_tiny_world(folder)
    settings = InterpreterSettings(members=2, recipe=Recipe(max_epochs=1))
    interpreter = train_interpreter(world.generator, load_labels(world.labels), settings, progress=False)
    return live(world.generator, interpreter, count=LIVE_COUNT).pairs


def run(histories: int, seed: int, first: int = 0, told: bool = False, until: float = float("inf")) -> Counter[str]:
    """Histories ``first`` to ``histories - 1``, until a time of day; the first that goes wrong raises, naming its
    number. Returns what happened.
    """
    torch.set_num_threads(1)  # a process that has more cannot be copied
    folder, happened = Path(tempfile.mkdtemp()), Counter[str]()
    try:
        stores, live = make_stores(folder), make_live(folder)
        live_row(live)(0, 0, LIVE_COUNT)  # before any process is a copy of this one
        for start in range(first, histories, TOGETHER):
            if time.time() > until:
                break
            numbers = range(start, min(start + TOGETHER, histories))
            lives = [Life(number, stores, live, random.Random(seed * 1_000_003 + number)) for number in numbers]
            while running := [life for life in lives if life.starts]:
                alone = [life for life in running if life.random.randrange(REAL) == 0]
                for life in alone:
                    start_alone(life, folder / "log", happened)
                if others := [life for life in running if life not in alone]:
                    start_together(others, folder / "log", happened)
            for life in lives:
                happened.update(histories=1, epochs=life.epoch, live=int(life.live is not None))
                happened.update(mixed=int(life.live is None and len(life.stores) == 2))
            if told and numbers.stop % 200 < TOGETHER:
                print(numbers.stop, "histories", flush=True)
    finally:
        shutil.rmtree(folder)
    return happened


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number to go on with")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    happened = run(asked.histories, asked.seed, asked.first, told=True, until=time.time() + 60 * asked.minutes)
    print(json.dumps({"first": asked.first, "next": asked.first + happened["histories"], **happened}))
    counts = f"{happened['histories']} histories of {happened['starts']} starts"
    print(f"{counts}, all killed: none lost, none doubled, same order")
    sys.exit(0)
