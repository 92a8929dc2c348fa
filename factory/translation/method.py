"""What a way of learning is: its networks, and what each step tells them. ``methods`` has the table."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labelfactory.array_types import Float, Int


class Batch(NamedTuple):
    """What the networks see of one step.

    source   what pictures are made from: a condition (``condition.condition_of``), pictures, an incomplete mask
    picture  pictures in [-1, 1]: those of the source, or others where a method needs no pairs
    truth    the whole masks, 255 where nothing is known; None where a method needs none
    """

    source: Float[Tensor, "batch source height width"]
    picture: Float[Tensor, "batch channels height width"]
    truth: Int[Tensor, "batch height width"] | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        truth = None if self.truth is None else self.truth.to(device)
        return Batch(self.source.to(device), self.picture.to(device), truth)


Stats = dict[str, Tensor]
Made = dict[str, Tensor]


class Method(nn.Module, ABC):
    """Networks that learn together. Those parameters of ``__init__`` that are ``Annotated`` are its options.

    makers  trained to make; their moving average is what is used in the end
    judges  trained to tell made from real; none where nothing is adversarial
    rates   Adam's learning rates of makers and judges, and its betas, as the paper has them
    batch   pictures in a step, as the paper has it
    """

    rates: ClassVar[tuple[float, float]]
    betas: ClassVar[tuple[float, float]]
    batch: ClassVar[int] = 1
    makers: nn.ModuleDict
    judges: nn.ModuleDict

    @abstractmethod
    def generator_loss(self, batch: Batch, rng: torch.Generator) -> tuple[Float[Tensor, ""], Stats, Made]:
        """The makers' loss, its parts by name, and what they made, for the judges."""

    def discriminator_loss(self, batch: Batch, made: Made, rng: torch.Generator) -> Float[Tensor, ""]:
        """The judges' loss."""
        raise NotImplementedError(f"{type(self).__name__} has no judges")

    @abstractmethod
    def panels(self, makers: nn.ModuleDict, batch: Batch) -> list[Tensor]:
        """Pictures in [-1, 1] to look at, beside each other: what was given, what is made, what there is."""

    def memory(self) -> dict[str, Any]:
        """What a resumed run has to know beside the weights."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:
        """The inverse of ``memory``."""


def plain(network: nn.Module) -> nn.Module:
    """A network that was just built, without spectral normalisation: to be filled with ``plain_state``. In place."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return network.eval()


@torch.no_grad()
def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Weights and statistics for use: spectral normalisation is worked into the weights. The network stays as it is."""
    training = network.training
    network.eval()  # else asking for a weight would take a step of the power iteration
    normalised = {
        f"{name}.weight" if name else "weight": module.weight.detach().clone()
        for name, module in network.named_modules()
        if parametrize.is_parametrized(module, "weight")
    }
    network.train(training)
    return {k: v for k, v in network.state_dict().items() if ".parametrizations." not in f".{k}"} | normalised
