"""What a format of ``benchmarks/storage.py`` has to do, and what those have in common that are read pair by pair."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

SHARD, BATCH, CLASSES = 256, 32, 6
Pair = tuple[np.ndarray, np.ndarray]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


class Again:
    """Something that can be iterated over as often as one likes."""

    def __init__(self, make: Callable[[], Batches]) -> None:
        self._make = make

    def __iter__(self) -> Batches:
        return self._make()


class Format(ABC):
    """One way to keep image-mask pairs. ``batches`` are (image, mask) of ``BATCH`` pairs, uint8, in a full epoch."""

    title: ClassVar[str]
    needs: ClassVar[str] = ""  # the module without which it cannot run

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def write(self, data: dict[str, np.ndarray]) -> None: ...

    @abstractmethod
    def batches(self, shuffled: bool) -> Again:
        """Opens the set; each iteration is an epoch in this process."""

    @abstractmethod
    def getter(self) -> Callable[[int], Pair]:
        """Random access to single pairs."""

    @abstractmethod
    def loader(self, workers: int) -> Any:
        """What its makers would have one use for shuffled batches with worker processes; iterable epoch by epoch."""

    def fresh(self) -> None:
        """Undoes what reading has left behind, before each epoch that is measured."""
        return


def persistent(workers: int) -> dict[str, Any]:
    return {"num_workers": workers, "persistent_workers": workers > 0, "multiprocessing_context": "forkserver"}


class _Random(TorchDataset):
    """Map-style access for a format whose makers leave batches to DataLoader."""

    def __init__(self, form: Format, count: int) -> None:
        self.form, self.count, self.get = form, count, None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Pair:
        self.get = self.get or self.form.getter()
        return self.get(i)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "get": None}


class MapFormat(Format):
    """A format that is read one pair at a time, in any order."""

    @abstractmethod
    def count(self) -> int: ...

    def batches(self, shuffled: bool) -> Again:
        get, count = self.getter(), self.count()
        return Again(lambda: self._epoch(get, count, shuffled))

    def _epoch(self, get: Any, count: int, shuffled: bool) -> Batches:
        order = np.random.default_rng(0).permutation(count) if shuffled else np.arange(count)
        for start in range(0, count, BATCH):
            images, masks = zip(*(get(int(i)) for i in order[start : start + BATCH]), strict=True)
            yield torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))

    def loader(self, workers: int) -> Any:
        return DataLoader(_Random(self, self.count()), BATCH, shuffle=True, **persistent(workers))
