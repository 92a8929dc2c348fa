"""What a training of any family gives to the loop that runs it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.parallel import World
from labelfactory.factory.training.recipe import TrainingRecipe
from labelfactory.interpreters.array_types import UInt8


class Trainer(ABC):
    """Networks in training, and everything that a step changes. A family's constructor sets these attributes.

    made         name of the generator's file or folder in the run's folder
    ending       of the names of generators that are kept under a number of their own
    remedy       what helps where a loss is no longer finite, after "go on from it with"
    images_seen  so far, over all processes
    step         number of steps so far
    """

    made: ClassVar[str]
    ending: ClassVar[str]
    remedy: ClassVar[str]
    data: ImageDataset
    recipe: TrainingRecipe
    world: World
    images_seen: int
    step: int

    @property
    def batch(self) -> int:
        """Images of a step, over all processes."""
        return self.recipe.batch

    @abstractmethod
    def train_step(self) -> dict[str, Tensor]:
        """One update of all networks and of the moving average; means over this process's samples, by name."""

    @abstractmethod
    def networks(self) -> list[nn.Module]:
        """All networks, the moving average among them; the one that makes images first."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The whole state of the run, as tensors and plain values."""

    @abstractmethod
    def save_generator(self, path: Path, metadata: dict[str, Any]) -> None:
        """Writes the moving average as a checkpoint that ``open_generator`` opens, whole or not at all."""

    @abstractmethod
    def sheet(self) -> Image.Image:
        """Samples of the moving average in rows, of the same latents at each call."""

    @abstractmethod
    def compile(self) -> None:
        """From here on steps run compiled, the first of them for minutes."""

    @abstractmethod
    def numbers(self) -> str:
        """What the run follows: the preset's numbers, or the snapshot's, with the caller's wishes; for a person."""

    def shown(self, stats: dict[str, float]) -> dict[str, float]:
        """What a person looks at, from the means of some steps."""
        return stats


class Begun(NamedTuple):
    """A trainer at its first step or where a snapshot left off, and the thousand images of its preset."""

    trainer: Trainer
    kimg: float


def tiled(rows: Iterable[UInt8[Tensor, "columns channels height width"]]) -> Image.Image:
    """Images in rows, as one picture."""
    grid = torch.cat([torch.cat(list(row.cpu()), dim=2) for row in rows], dim=1)
    return Image.fromarray(grid[0].numpy() if grid.shape[0] == 1 else grid.permute(1, 2, 0).numpy())
