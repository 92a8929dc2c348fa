"""Feature vectors of training pixels in float16: in memory up to a budget, beyond it in a temporary file."""

import tempfile
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float


class FeatureCache:
    """Append blocks of rows, go through all of them as often as needed, at last turn them into one table."""

    def __init__(self, budget: int):
        self._budget, self._bytes = budget, 0
        self._blocks: list[Tensor] = []
        self._file: IO[bytes] | None = None
        self._shapes: list[tuple[int, int]] = []

    @property
    def on_disk(self) -> bool:
        return self._file is not None

    def append(self, block: Float[Tensor, "pixels channels"]) -> None:
        block = block.to("cpu", torch.float16).contiguous()
        self._shapes.append((block.shape[0], block.shape[1]))
        self._bytes += block.nbytes
        self._blocks.append(block)
        if self._file is None and self._bytes > self._budget:
            self._file = tempfile.TemporaryFile(prefix="features-")  # noqa: SIM115 - closed by close()
        if self._file is not None:
            for b in self._blocks:
                self._file.write(b.numpy().data)
            self._blocks.clear()

    def __iter__(self) -> Iterator[Float[Tensor, "pixels channels"]]:
        """The blocks as they were appended, as float32."""
        if self._file is None:
            yield from (block.float() for block in self._blocks)
            return
        self._file.seek(0)
        for rows, columns in self._shapes:
            content = bytearray(self._file.read(2 * rows * columns))
            yield torch.frombuffer(content, dtype=torch.float16).view(rows, columns).float()

    def table(self, columns: int, transform: Callable[[Tensor], Tensor]) -> Float[Tensor, "pixels columns"]:
        """All rows, transformed, as one float16 table that is kept where the blocks were; empties the cache."""
        rows = sum(r for r, _ in self._shapes)
        if self._file is None:
            table = torch.empty(rows, columns, dtype=torch.float16)
        else:
            with tempfile.TemporaryFile(prefix="features-") as file:  # the mapping keeps it alive
                file.truncate(2 * rows * columns)
                table = torch.from_numpy(np.memmap(file, np.float16, "r+", shape=(rows, columns)))
        start = 0
        for i, block in enumerate(self):
            table[start : start + len(block)] = transform(block)
            start += len(block)
            if self._file is None:
                self._blocks[i] = block[:0]  # never two copies of everything
        self.close()
        return table

    def close(self) -> None:
        self._blocks.clear()
        self._shapes.clear()
        if self._file is not None:
            self._file.close()
