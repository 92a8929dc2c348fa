"""PyTorch over a dataset store: a map-style set, an iterable one, a loader that resumes in mid-epoch."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from labelfactory.errors import InputError
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.shuffle import Plan, Shuffle, plan_epoch

CHANNELED = ("image", "value", "value_uncertainty")

Sample = dict[str, Any]
Transform = Callable[[Sample], Any]


def to_tensors(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """NumPy to torch without a copy; images and values become channel-first views.

    dtypes stay (seeds: int64 of equal bits).
    """
    tensors = {}
    for name, values in batch.items():
        if values.dtype == np.uint64:
            values = values.view(np.int64)
        tensor = torch.from_numpy(values)
        tensors[name] = tensor.movedim(-1, -3) if name in CHANNELED and tensor.ndim == 4 else tensor
    return tensors


class MapDataset(TorchDataset):
    """Random access for ``DataLoader``: batches come through ``__getitems__``, which reads neighbours at once.

    A sample is a dict of tensors (``image`` uint8 [channel, y, x], ``mask`` uint8 [y, x], ...), or what ``transform``
    makes of one.
    """

    def __init__(self, dataset: Dataset, transform: Transform | None = None) -> None:
        self.dataset, self.transform = dataset, transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: int) -> Any:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        return _samples(to_tensors(self.dataset.batch(places)), len(places), self.transform)


class StreamDataset(IterableDataset):
    """Sequential access at full speed: shuffled blocks, read ahead in a thread, split by rank and by worker.

    With ``batch_size`` it yields whole batches (dicts of stacked tensors; use ``DataLoader(..., batch_size=None)``),
    else single samples. ``transform`` is applied to each sample. ``rank`` and ``ranks`` default to torch.distributed's.
    """

    def __init__(
        self,
        dataset: Dataset,
        shuffle: Shuffle | None = None,
        batch_size: int | None = None,
        transform: Transform | None = None,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size is {batch_size}: expected 1 or more")
        self.dataset, self.shuffle = dataset, shuffle or Shuffle()
        self.batch_size, self.transform = batch_size, transform
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = rank if rank is not None else torch.distributed.get_rank() if distributed else 0
        self.ranks = ranks if ranks is not None else torch.distributed.get_world_size() if distributed else 1
        self.epoch = 0
        self.taken: list[int] = []  # samples that each worker's share has already given in this epoch
        self.turn = 0  # the share that gives the next batch

    def set_epoch(self, epoch: int) -> None:
        """Starts another epoch: another order, from its beginning."""
        self.epoch, self.taken, self.turn = epoch, [], 0

    def __iter__(self) -> Iterator[Any]:
        for _, taken, item in self.tagged():
            if get_worker_info() is None:
                self.taken = [taken]
            yield item

    def plan(self, worker: int, workers: int) -> Plan:
        """The order in which one worker's share is read in this epoch."""
        return plan_epoch(
            self.dataset.samples,
            self.dataset.spec.samples_per_shard,
            self.shuffle,
            self.epoch,
            self.rank,
            self.ranks,
            worker,
            workers,
        )

    def tagged(self) -> Iterator[tuple[int, int, Any]]:
        """What iteration yields, with its share's number and how many samples that share has given so far."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        share = (worker + self.turn) % workers
        plan = self.plan(share, workers)
        taken = self.taken[share] if self.taken else 0
        step = self.batch_size or 1
        held: dict[str, torch.Tensor] = {}
        for batch in self._windows(plan, taken):
            held = {name: torch.cat([held[name], batch[name]]) if held else batch[name] for name in batch}
            size, used = len(next(iter(held.values()))), 0
            last = taken + size == len(plan.places)
            while size - used >= step or (last and size > used):
                piece = {name: values[used : used + step] for name, values in held.items()}
                used = min(used + step, size)
                yield share, taken + used, self._item(piece)
            taken += used
            held = {name: values[used:] for name, values in held.items()} if used < size else {}

    def _item(self, piece: dict[str, torch.Tensor]) -> Any:
        count = len(next(iter(piece.values())))
        if self.batch_size is None:
            return _samples(piece, count, self.transform)[0]
        if self.transform is None:
            # A copy of its own, or a batch would keep its whole window alive; images stay channels-last in memory,
            # which is how they are stored and how convolutions like them.
            return {name: values.clone() for name, values in piece.items()}
        return torch.utils.data.default_collate(_samples(piece, count, self.transform))

    def _windows(self, plan: Plan, taken: int) -> Iterator[dict[str, torch.Tensor]]:
        """Each window's samples, the next one being read while this one is used."""
        starts = np.concatenate([[0], plan.window_ends[:-1]]) if len(plan.window_ends) else np.zeros(0, np.int64)
        ranges = [
            (max(int(start), taken), int(end))
            for start, end in zip(starts, plan.window_ends, strict=True)
            if end > taken
        ]
        with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
            coming = None
            for start, end in ranges:
                ready, coming = coming, pool.submit(self.dataset.batch, plan.places[start:end])
                if ready is not None:
                    yield to_tensors(ready.result())
            if coming is not None:
                yield to_tensors(coming.result())

    def state_dict(self) -> dict[str, Any]:
        """Where a run without worker processes (or one worker of a stateful loader) stands."""
        return {**self._identity(), "epoch": self.epoch, "taken": list(self.taken), "turn": self.turn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there; InputError where the state is of another dataset, shuffle, batch size or split."""
        mine = self._identity()
        other = {name: state.get(name) for name in mine if state.get(name) != mine[name]}
        if other:
            raise InputError(f"the saved state has {other}, this dataset has { {name: mine[name] for name in other} }")
        self.epoch, self.taken, self.turn = state["epoch"], list(state["taken"]), state["turn"]

    def _identity(self) -> dict[str, Any]:
        shuffle = self.shuffle
        return {
            "spec_hash": self.dataset.spec.hash,
            "samples": len(self.dataset),
            "shuffle": [shuffle.seed, shuffle.block, shuffle.shards_in_flight, shuffle.window, shuffle.enabled],
            "batch_size": self.batch_size,
            "ranks": self.ranks,
        }


class _Tagged(IterableDataset):
    def __init__(self, stream: StreamDataset) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[tuple[int, int, Any]]:
        return self.stream.tagged()


class StreamLoader:
    """``DataLoader`` over a ``StreamDataset`` that can stop after any batch and go on from there in another process.

    Each iteration is one epoch, or the rest of one after ``load_state_dict``; the next has the next epoch's order.
    ``options`` go to DataLoader. Workers are started with ``forkserver`` unless told otherwise, which every backend
    takes (local stores also take ``fork``).
    """

    def __init__(self, stream: StreamDataset, num_workers: int = 0, **options: Any) -> None:
        self.stream, self.num_workers = stream, num_workers
        if num_workers > 0:
            options.setdefault("multiprocessing_context", "forkserver")
        self.options = options

    def __iter__(self) -> Iterator[Any]:
        stream, shares = self.stream, max(1, self.num_workers)
        if not stream.taken:
            stream.taken = [0] * shares
        if len(stream.taken) != shares:
            raise InputError(f"the saved state has {len(stream.taken)} shares: use as many workers, not {shares}")
        loader = DataLoader(_Tagged(stream), batch_size=None, num_workers=self.num_workers, **self.options)
        # The workers have their own copies of the stream from here on; this one keeps account.
        for share, taken, item in loader:
            stream.taken[share], stream.turn = taken, (share + 1) % shares
            yield item
        stream.set_epoch(stream.epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Where this loader stands, counting the batches that it has handed out."""
        return self.stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stream.load_state_dict(state)


def _samples(tensors: dict[str, torch.Tensor], count: int, transform: Transform | None) -> list[Any]:
    samples = [{name: values[i] for name, values in tensors.items()} for i in range(count)]
    return samples if transform is None else [transform(sample) for sample in samples]
