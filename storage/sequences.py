"""The sequences of a store of walks, one after another."""

from typing import Any

import numpy as np
from jaxtyping import Shaped

from labelfactory.errors import InputError
from labelfactory.storage.dataset import Dataset, open_dataset


class Sequences:
    """Sequences of frames, each a dict of arrays whose first axis is the frame.

    All frames are there, those too that the uncertainty filter would drop, so that none is missing in the middle of a
    sequence; the field ``keep`` says which they are. Object numbers (``instance``) stay from frame to frame.

    Raises InputError for a store without sequences.
    """

    def __init__(self, dataset: Dataset) -> None:
        if not dataset.spec.walk:
            raise InputError(f"{dataset.uri}: has no sequences; `factory generate --walk` makes a store that has")
        self.dataset, self.frames = dataset, dataset.spec.walk

    def __len__(self) -> int:
        return self.dataset.spec.count // self.frames

    def __getitem__(self, number: int) -> dict[str, Shaped[np.ndarray, "frames ..."]]:
        """The dataset's fields of one sequence; IndexError for a number that is not there."""
        if not 0 <= number < len(self):
            raise IndexError(f"sequence {number}: expected 0 to {len(self) - 1}")
        samples = np.arange(number * self.frames, (number + 1) * self.frames)
        return {name: self.dataset.read(name, samples) for name in self.dataset.fields}


def open_sequences(uri: str, fields: tuple[str, ...] = ("image", "mask"), **options: Any) -> Sequences:
    """The sequences of a finished store; ``options`` are those of ``open_dataset`` that say how it is reached.

    Raises what ``open_dataset`` does, and InputError for a store without sequences.
    """
    return Sequences(open_dataset(uri, fields=fields, keep=False, **options))
