"""An export format of one file: a line of text for each sample."""

from typing import Any, ClassVar

import numpy as np

from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.exports.engine import Export


class Listing(Export):
    layout: ClassVar[int] = 1

    def holds(self, array: ArraySpec) -> bool:
        return array.role == "seed"

    def _text(self, samples: np.ndarray) -> bytes:
        return "".join(
            f"{n} {seed}\n" for n, seed in zip(samples, self.dataset.read("seed", samples), strict=True)
        ).encode()

    def write(self, shard: int, samples: np.ndarray) -> tuple[list[str], dict[str, Any]]:
        return [self.save(f"{shard}.txt", self._text(samples))], {}

    def check(self, shard: int, samples: np.ndarray) -> None:
        self.same("line", samples[0], (self.out / f"{shard}.txt").read_text(), self._text(samples).decode())
