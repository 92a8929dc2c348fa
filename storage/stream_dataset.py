"""PyTorch over dataset stores, one after another at full speed, in an order that knows no ranks and no workers."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from labelfactory.errors import InputError
from labelfactory.storage.course import Course
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.read_ahead import Buffers, ReadAhead
from labelfactory.storage.reader import Fetched
from labelfactory.storage.shards import dtype_of
from labelfactory.storage.shuffle import Shuffle
from labelfactory.storage.steps import Step, Steps
from labelfactory.storage.tensors import Transform, split, to_tensors

STATE_KIND = "labelfactory.stream"
AHEAD = 2  # batches that are ready before they are asked for
UNIT_BYTES = 64 * 2**20  # decoded size of the samples that are read at once, at most


class StreamDataset(IterableDataset):
    """Sequential access at full speed, by position: what an epoch gives at a position follows from the seed alone.

    ``datasets`` is one data set, or several that are mixed by ``weights`` (default: each sample once an epoch).
    With ``batch_size`` it yields whole batches (dicts of stacked tensors; use ``DataLoader(..., batch_size=None)``),
    else single samples. ``transform`` is applied to each sample. ``rank`` and ``ranks`` default to torch.distributed's;
    all ranks get equally many batches of equal sizes, and ``drop_last`` leaves an epoch's shorter last batch out.
    ``threads`` decode side by side. A read that takes longer than ``stall_s`` seconds is an error that names the shard.

    ``epoch`` and ``position`` say where the run stands: the first ``position`` samples of the epoch's order have been
    given, by all ranks together. Iterating gives the rest of the epoch; then the next one begins.
    """

    def __init__(
        self,
        datasets: Dataset | Sequence[Dataset],
        shuffle: Shuffle | None = None,
        batch_size: int | None = None,
        transform: Transform | None = None,
        rank: int | None = None,
        ranks: int | None = None,
        *,
        weights: Sequence[float | int] | None = None,
        drop_last: bool = False,
        threads: int = 1,
        stall_s: float = 300.0,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size is {batch_size}: expected 1 or more")
        if threads < 1 or stall_s <= 0:
            raise InputError(f"threads {threads} and stall_s {stall_s}: expected 1 or more and seconds above 0")
        self.shuffle = shuffle or Shuffle()
        self.course = Course([datasets] if isinstance(datasets, Dataset) else list(datasets), self.shuffle, weights)
        self.batch_size, self.transform = batch_size, transform
        self.threads, self.stall_s = threads, stall_s
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = rank if rank is not None else torch.distributed.get_rank() if distributed else 0
        ranks = ranks if ranks is not None else torch.distributed.get_world_size() if distributed else 1
        self.steps = Steps(self.course.count, batch_size or 1, ranks, rank, drop_last)
        self.seek(0)

    def __len__(self) -> int:
        """Batches (or samples) that this rank gets in a whole epoch."""
        return self.steps.per_epoch

    def seek(self, epoch: int, position: int = 0) -> None:
        """Goes to a position of an epoch: 0 to the number of samples."""
        if epoch < 0 or not 0 <= position <= self.course.count:
            raise InputError(f"epoch {epoch}, position {position}: expected 0 or more, and 0 to {self.course.count}")
        self.epoch, self.position = epoch, position
        self._done = 0  # steps that this worker of several has made since

    def set_epoch(self, epoch: int) -> None:
        """Goes to the beginning of another epoch; in the one that runs already it stays where it is."""
        if epoch != self.epoch:
            self.seek(epoch)

    def __iter__(self) -> Iterator[Any]:
        """The rest of this epoch, or this worker's part of it."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        epoch, position = self.epoch, self.position
        numbers = range(worker + self._done * workers, self.steps.left(position), workers)
        for step, item in self.read(self.steps.step(epoch, position, number) for number in numbers):
            if info is None:
                self.position = step.end
            else:
                self._done += 1
            yield item
        self.seek(epoch + 1)

    def read(self, steps: Iterator[Step]) -> Iterator[tuple[Step, Any]]:
        """What iteration gives for these steps, read ahead in a thread."""
        ahead = ReadAhead(self._batches(steps), AHEAD, self._stuck)
        try:
            for step, batch in ahead:
                yield step, self._item(batch)
                del batch  # or its memory would stay in use until the next one is there
        finally:
            ahead.close()

    def _item(self, batch: dict[str, torch.Tensor]) -> Any:
        if self.batch_size is None:
            return split(batch, 1, self.transform)[0]
        if self.transform is None:
            return batch
        size = len(next(iter(batch.values())))
        return torch.utils.data.default_collate(split(batch, size, self.transform))

    def _batches(self, steps: Iterator[Step]) -> Iterator[tuple[Step, dict[str, torch.Tensor]]]:
        """Each step's batch. The bytes of a window's worth of samples are read at once, where neighbours are joined."""
        buffers, first_store = Buffers(), self.course.datasets[0]
        with ThreadPoolExecutor(self.threads, thread_name_prefix="decode") as pool:
            for group in _grouped(steps, self._unit_samples()):
                unit, first = _Unit(self.course, group), 0
                for step in group:
                    size, batch = step.stop - step.start, {}
                    for name in first_store.fields:
                        array = first_store.reader.array(name)
                        batch[name] = buffers.take((size, *array.sample_shape), dtype_of(array))
                        jobs = unit.decoding(name, first, batch[name], self.threads)
                        if self.threads == 1:
                            for job in jobs:
                                job()
                        else:
                            for done in [pool.submit(job) for job in jobs]:
                                done.result()
                    first += size
                    yield step, to_tensors(batch)
                del unit  # before the next one's bytes come

    def _unit_samples(self) -> int:
        """Samples whose bytes are read at once: a window's, or fewer where they are large."""
        arrays = [self.course.datasets[0].reader.array(name) for name in self.course.datasets[0].fields]
        return max(1, min(self.shuffle.window_samples, UNIT_BYTES // sum(array.sample_bytes for array in arrays)))

    def _stuck(self) -> str | None:
        for dataset in self.course.datasets:
            if (what := dataset.reader.stuck(self.stall_s)) is not None:
                return f"{what} has not been read within {self.stall_s:.0f} s; the saved state stays good to go on from"
        return None

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, in plain values; in a worker of torchdata's StatefulDataLoader also how far it is."""
        state = {"kind": STATE_KIND, "version": 1, **self.course.identity()}
        state |= {"epoch": self.epoch, "position": self.position}
        info = get_worker_info()
        if info is not None:
            state["worker"] = self._split(info.num_workers)
            state["done"] = self._done
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there, whatever the numbers of ranks and workers and the batch size were.

        InputError where the state is of other stores, another shuffle or weights, or of an earlier version.
        """
        self.seek(*self._place(state))
        if state.get("done"):
            info = get_worker_info()
            mine = self._split(info.num_workers if info else 0)
            if state["worker"] != mine:
                raise InputError(
                    f"the state is of one worker of a StatefulDataLoader with {state['worker']}, here are {mine}: only "
                    "StreamLoader's states fit any number"
                )
            self._done = state["done"]

    def _split(self, workers: int) -> dict[str, int]:
        return {"workers": workers, "ranks": self.steps.ranks, "batch_size": self.steps.batch}

    def _place(self, state: dict[str, Any]) -> tuple[int, int]:
        """Epoch and position of a state; InputError where it is none of this row of samples."""
        if "taken" in state and "kind" not in state:
            raise InputError(
                f"the state was saved by a version before 0.2, in epoch {state.get('epoch')}, whose order was another: "
                "go on at the beginning of an epoch with set_epoch"
            )
        if state.get("kind") != STATE_KIND or state.get("version") != 1:
            raise InputError("the state was not saved by a StreamDataset or StreamLoader of this version")
        mine = self.course.identity()
        other = {name: state.get(name) for name in mine if state.get(name) != mine[name]}
        if other:
            raise InputError(f"the saved state has {other}, this run has { {name: mine[name] for name in other} }")
        return int(state["epoch"]), int(state["position"])


class _Unit:
    """The bytes of some steps' samples, from every store, each in the place where it is wanted."""

    def __init__(self, course: Course, steps: Sequence[Step]) -> None:
        which, samples = course.samples([(step.epoch, step.start, step.stop) for step in steps])
        self._parts: list[tuple[np.ndarray, dict[str, Fetched]]] = []
        for store, dataset in enumerate(course.datasets):
            places = np.flatnonzero(which == store)
            fetched = {name: dataset.reader.fetch(name, samples[places]) for name in dataset.fields}
            self._parts.append((places, fetched))

    def decoding(self, name: str, first: int, out: np.ndarray, parts: int) -> Iterator[Callable[[], None]]:
        """What fills ``out`` with the samples from place ``first`` on, in as many parts as may run side by side."""
        for places, fetched in self._parts:
            a, b = np.searchsorted(places, [first, first + len(out)])
            for items in np.array_split(np.arange(a, b), parts):
                yield partial(fetched[name].decode, items, out, places[items] - first)


def _grouped(steps: Iterator[Step], samples: int) -> Iterator[list[Step]]:
    """Steps whose samples are read together: as few as have this many samples."""
    group: list[Step] = []
    held = 0
    for step in steps:
        group.append(step)
        held += step.stop - step.start
        if held >= samples:
            yield group
            group, held = [], 0
    if group:
        yield group
