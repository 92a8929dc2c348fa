"""PyTorch over dataset stores, one after another at full speed, in an order that knows no ranks and no workers."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch

from labelfactory.errors import InputError
from labelfactory.storage.course import Course
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.elastic_stream import ElasticStream
from labelfactory.storage.read_ahead import Buffers
from labelfactory.storage.reader import Fetched
from labelfactory.storage.shards import dtype_of
from labelfactory.storage.shuffle import Shuffle
from labelfactory.storage.steps import Step
from labelfactory.storage.tensors import Transform, to_tensors

UNIT_BYTES = 64 * 2**20  # decoded size of the samples that are read at once, at most


class StreamDataset(ElasticStream):
    """Sequential access at full speed, by position: what an epoch gives at a position follows from the seed alone.

    ``datasets`` is one data set, or several that are mixed by ``weights`` (default: each sample once an epoch).
    ``threads`` decode side by side. A read that takes longer than ``stall_s`` seconds is an error that names the shard.
    The other arguments, ``epoch`` and ``position`` are those of ``ElasticStream``.
    """

    kind, name = "labelfactory.stream", "StreamDataset"

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
        if threads < 1:
            raise InputError(f"threads is {threads}: expected 1 or more")
        self.threads, self.shuffle = threads, shuffle or Shuffle()
        self.course = Course([datasets] if isinstance(datasets, Dataset) else list(datasets), self.shuffle, weights)
        super().__init__(self.course.count, batch_size, transform, rank, ranks, drop_last, stall_s)

    def identity(self) -> dict[str, Any]:
        return self.course.identity()

    def batches(self, steps: Iterator[Step]) -> Iterator[tuple[Step, dict[str, torch.Tensor]]]:
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

    def stuck(self) -> str | None:
        for dataset in self.course.datasets:
            if (what := dataset.reader.stuck(self.stall_s)) is not None:
                return f"{what} has not been read within {self.stall_s:.0f} s; the saved state stays good to go on from"
        return None

    def place_of(self, step: Step) -> str:
        stores, samples = self.course.samples([(step.epoch, step.start, step.stop)])
        dataset = self.course.datasets[int(stores[0])]
        return f"in shard {int(samples[0]) // dataset.spec.samples_per_shard} of {dataset.uri}"


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
