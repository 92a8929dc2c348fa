"""A row of samples as PyTorch wants it: a run may stop anywhere and go on with other numbers of ranks and workers.

What stands at a position of an epoch is the subclass's; nothing here knows where samples come from.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch.utils.data import IterableDataset, get_worker_info

from labelfactory.errors import InputError
from labelfactory.storage.read_ahead import LOOK_S, ReadAhead
from labelfactory.storage.steps import Step, Steps
from labelfactory.storage.tensors import Transform, split

AHEAD = 2  # batches that are ready before they are asked for


class ElasticStream(IterableDataset):
    """Batches by position: what an epoch of ``count`` samples gives at a position follows from that alone.

    With ``batch_size`` it yields whole batches (dicts of stacked tensors; use ``DataLoader(..., batch_size=None)``),
    else single samples. ``transform`` is applied to each sample. ``rank`` and ``ranks`` default to torch.distributed's;
    all ranks get equally many batches of equal sizes, and ``drop_last`` leaves an epoch's shorter last batch out.

    ``epoch`` and ``position`` say where the run stands: the first ``position`` samples of the epoch's order have been
    given, by all ranks together. Iterating gives the rest of the epoch; then the next one begins.
    """

    kind: ClassVar[str]  # what its saved states are called
    name: ClassVar[str]  # what a person calls it
    ends_s: ClassVar[float] = LOOK_S  # within which a batch that is under way should be there

    def __init__(
        self,
        count: int,
        batch_size: int | None,
        transform: Transform | None,
        rank: int | None,
        ranks: int | None,
        drop_last: bool,
        stall_s: float,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size is {batch_size}: expected 1 or more")
        if stall_s <= 0:
            raise InputError(f"stall_s is {stall_s}: expected seconds above 0")
        self.batch_size, self.transform, self.stall_s = batch_size, transform, stall_s
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = rank if rank is not None else torch.distributed.get_rank() if distributed else 0
        ranks = ranks if ranks is not None else torch.distributed.get_world_size() if distributed else 1
        self.steps = Steps(count, batch_size or 1, ranks, rank, drop_last)
        self.seek(0)

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What a saved position means something in: plain values for JSON."""

    @abstractmethod
    def batches(self, steps: Iterator[Step]) -> Iterator[tuple[Step, dict[str, torch.Tensor]]]:
        """Each step's samples as a batch, in their order."""

    @abstractmethod
    def place_of(self, step: Step) -> str:
        """Where a step's batch starts, for a message: "in shard 3 of x"."""

    def stuck(self) -> str | None:
        """What has been waited for longer than ``stall_s``, None where nothing has."""
        return None

    def __len__(self) -> int:
        """Batches (or samples) that this rank gets in a whole epoch."""
        return self.steps.per_epoch

    def seek(self, epoch: int, position: int = 0) -> None:
        """Goes to a position of an epoch: 0 to the number of samples."""
        count = self.steps.count
        if epoch < 0 or not 0 <= position <= count:
            raise InputError(f"epoch {epoch}, position {position}: expected 0 or more, and 0 to {count}")
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
        ahead = ReadAhead(self.batches(steps), AHEAD, self.stuck, self.ends_s)
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

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, in plain values; in a worker of torchdata's StatefulDataLoader also how far it is."""
        state = {"kind": self.kind, "version": 1, **self.identity()}
        state |= {"epoch": self.epoch, "position": self.position}
        info = get_worker_info()
        if info is not None:
            state["worker"] = self._split(info.num_workers)
            state["done"] = self._done
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there, whatever the numbers of ranks and workers and the batch size were.

        InputError where the state is of another row of samples, or of an earlier version.
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
        if state.get("kind") != self.kind or state.get("version") != 1:
            raise InputError(f"the state was not saved by a {self.name} or StreamLoader of this version")
        mine = self.identity()
        other = {name: state.get(name) for name in mine if state.get(name) != mine[name]}
        if other:
            raise InputError(f"the saved state has {other}, this run has { {name: mine[name] for name in other} }")
        return int(state["epoch"]), int(state["position"])
