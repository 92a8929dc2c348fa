"""What the steps of any training have in common: which samples one sees, reading ahead, averaged weights."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

Read = TypeVar("Read")


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * model, for weights and running statistics alike.

    Singular vectors of spectral normalisation are taken over: the mean of two unit vectors is none.
    """
    mine, theirs = average.state_dict(), model.state_dict()
    for name, a in mine.items():
        if a.is_floating_point() and not name.endswith(("._u", "._v")):
            a.lerp_(theirs[name], 1 - decay)
        else:
            a.copy_(theirs[name])


def read_ahead(read: Callable[[int], Read], start: int, stop: int) -> Iterator[tuple[int, Read]]:
    """Each step and what ``read`` gives for it; the next step's is read while this one's is learned from."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read, start) if start < stop else None
        for step in range(start, stop):
            assert coming is not None
            some = coming.result()
            coming = reader.submit(read, step + 1) if step + 1 < stop else None
            yield step, some


class EpochOrder:
    """Which pairs a step sees: one permutation an epoch, from seed and epoch alone."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self._epoch, self._permutation = -1, np.empty(0, np.int64)

    def indices(self, step: int) -> list[int]:
        chosen = []
        for position in range(step * self.batch_size, (step + 1) * self.batch_size):
            epoch, offset = divmod(position, self.count)
            if epoch != self._epoch:
                rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch], counter=1 << 64))
                self._epoch, self._permutation = epoch, rng.permutation(self.count)
            chosen.append(int(self._permutation[offset]))
        return chosen
