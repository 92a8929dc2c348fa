"""PyTorch's door to the stores: random access here, streams and their loader in files of their own."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset as TorchDataset

from labelfactory.storage.dataset import Dataset
from labelfactory.storage.stream_dataset import StreamDataset
from labelfactory.storage.stream_loader import StreamLoader
from labelfactory.storage.tensors import Transform, split, to_tensors

__all__ = ["MapDataset", "StreamDataset", "StreamLoader", "to_tensors"]


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
        return split(to_tensors(self.dataset.batch(places)), len(places), self.transform)
