"""A loader over a stream: worker processes that stay, and a place in the data that any other loader can go on from."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.elastic_stream import ElasticStream

PATIENCE_S = 60.0  # beyond ``stall_s`` that a worker may say nothing: its own watchdog, which knows more, speaks first

KILLED_S = 10.0  # in which the system takes a killed process away, on a machine with much else to do


class _Failed:
    """What a worker could not do, as it travels to the loader."""

    def __init__(self, error: InputError | WorkError) -> None:
        self.kind, self.text = type(error), str(error)


class _Endless(IterableDataset):
    """One worker's part of a run, epoch after epoch, from where the loader stood when it asked for an iterator."""

    def __init__(self, stream: ElasticStream, workers: int) -> None:
        self.stream = stream
        # Epoch and position to start from, and every worker's process: seen by all of them.
        self.start = torch.zeros(2, dtype=torch.int64).share_memory_()
        self.processes = torch.zeros(max(1, workers), dtype=torch.int64).share_memory_()

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        if info is not None:
            self.processes[worker] = os.getpid()
        epoch, position = self.start.tolist()
        try:
            for _, item in self.stream.read(self.stream.steps.walk(epoch, position, worker, workers)):
                yield item
        except (InputError, WorkError) as error:
            yield _Failed(error)


class StreamLoader:
    """``DataLoader`` over an elastic stream (``StreamDataset``, ``factory.live``) that can stop after any batch and go
    on from there in another process, with any other numbers of ranks and workers.

    Each iteration is one epoch, or the rest of one after ``load_state_dict`` or a break; the next has the next epoch's
    order. Workers stay from epoch to epoch and read ahead into the next one; ``close`` ends them. ``options`` go to
    DataLoader. Workers are started with ``forkserver`` unless told otherwise, which every backend takes (local stores
    also take ``fork``).
    """

    def __init__(self, stream: ElasticStream, num_workers: int = 0, **options: Any) -> None:
        refused = {"batch_size", "shuffle", "sampler", "batch_sampler", "drop_last", "collate_fn"} & set(options)
        if refused:
            raise InputError(f"StreamLoader takes no {sorted(refused)[0]}: the stream has the order and the batches")
        self.stream, self.num_workers = stream, num_workers
        if num_workers > 0:
            if options.setdefault("multiprocessing_context", "forkserver") == "forkserver":
                # The server imports torch once, and its workers are there at once; __main__ is what it imports anyway.
                multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__", __name__])
            options.setdefault("persistent_workers", True)
            options.setdefault("timeout", stream.stall_s + PATIENCE_S)
        self._options = options
        self._running: tuple[_Endless, DataLoader, Iterator[Any]] | None = None
        self._stands = (-1, -1)  # where the stream stood after the last batch that was given

    def __len__(self) -> int:
        """Batches that this rank gets in a whole epoch."""
        return len(self.stream)

    def __iter__(self) -> Iterator[Any]:
        stream = self.stream
        while stream.steps.left(stream.position) > 0:
            step = stream.steps.step(stream.epoch, stream.position, 0)
            item = self._next()
            stream.position = step.end
            self._stands = stream.epoch, stream.position
            yield item
        in_step = self._stands == (stream.epoch, stream.position)
        stream.seek(stream.epoch + 1)
        if in_step:  # the workers have gone on into the next epoch
            self._stands = stream.epoch, stream.position

    def _next(self) -> Any:
        """The next batch of this rank, from workers that stand where the stream stands."""
        try:
            item = next(self._started())
        except RuntimeError as error:
            self.close()
            if str(error).startswith(("DataLoader worker", "DataLoader timed out")):
                raise WorkError(self._explained(error)) from error
            raise
        except BaseException:
            self.close()
            raise
        if isinstance(item, _Failed):
            self.close()
            raise item.kind(item.text)
        return item

    def _started(self) -> Iterator[Any]:
        stands = self.stream.epoch, self.stream.position
        if self._running is None:
            endless = _Endless(self.stream, self.num_workers)
            loader = DataLoader(endless, batch_size=None, num_workers=self.num_workers, **self._options)
        else:
            endless, loader, batches = self._running
            if stands == self._stands:
                return batches
        endless.start.copy_(torch.tensor(stands))
        self._running = endless, loader, iter(loader)
        self._stands = stands
        return self._running[2]

    def _explained(self, error: RuntimeError) -> str:
        stream = self.stream
        place = stream.place_of(stream.steps.step(stream.epoch, stream.position, 0))
        return (
            f"{str(error).splitlines()[0].rstrip('. ')}: the batch that was asked for starts {place}; "
            "nothing is lost, iterating again goes on with it"
        )

    def close(self) -> None:
        """Ends the worker processes; iterating again starts others, which go on where this stood."""
        if self._running is None:
            return
        endless, _, batches = self._running
        self._running = None
        # Without this DataLoader would end them when nobody refers to it, which an error's traceback may do for long.
        if hasattr(batches, "_shutdown_workers"):
            with suppress(RuntimeError):  # that one of them was killed is known by now
                batches._shutdown_workers()
        mine = set(endless.processes.tolist())
        for process in multiprocessing.active_children():
            if process.pid in mine:  # stopped, or waiting for a disk: it hears nothing else
                process.kill()
                process.join(timeout=KILLED_S)

    def state_dict(self) -> dict[str, Any]:
        """Where this loader stands, counting the batches that it has handed out: a position in an epoch."""
        return self.stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there; see ``ElasticStream.load_state_dict``."""
        self.stream.load_state_dict(state)
