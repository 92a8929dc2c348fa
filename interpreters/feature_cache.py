"""Feature vectors of training pixels in float16: in memory up to a budget, beyond it in a temporary file."""

import tempfile
from collections.abc import Iterator
from typing import IO

import torch
from torch import Tensor

from interpreters.shapes import Float


class FeatureCache:
    """Append blocks, then go through all of them as often as needed, in order."""

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
            block = torch.empty(rows, columns, dtype=torch.float16)
            block.view(-1).copy_(torch.frombuffer(bytearray(self._file.read(block.nbytes)), dtype=torch.float16))
            yield block.float()

    def close(self) -> None:
        self._blocks.clear()
        if self._file is not None:
            self._file.close()
