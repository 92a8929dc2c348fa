"""What a store gives, as PyTorch wants it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

CHANNELED = ("image", "value", "value_uncertainty")

Transform = Callable[[dict[str, Any]], Any]


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


def split(tensors: dict[str, torch.Tensor], count: int, transform: Transform | None) -> list[Any]:
    """A batch's ``count`` samples one by one, or what ``transform`` makes of each."""
    samples = [{name: values[i] for name, values in tensors.items()} for i in range(count)]
    return samples if transform is None else [transform(sample) for sample in samples]
