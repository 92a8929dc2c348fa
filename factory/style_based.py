"""What the StyleGANs share behind the contract: a mapping network, a synthesis network, and a discriminator perhaps."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from labelfactory.errors import InputError
from labelfactory.factory.cuda_graph import Replay
from labelfactory.factory.generator import Invertible
from labelfactory.factory.training.precision import best_precision
from labelfactory.interpreters.array_types import Float

AnyStyleBased = TypeVar("AnyStyleBased", bound="StyleBased")


class StyleBased(Invertible):
    """A family says what its networks are called and how they are set to a precision; all else is here."""

    _run: Callable[[Tensor], tuple[Tensor, list[Tensor]]]

    def __init__(
        self, network: nn.Module, discriminator: nn.Module | None, device: torch.device, precision: str = "float32"
    ) -> None:
        if precision not in ("float32", "bfloat16", "float16"):
            raise InputError(f"precision {precision!r}: expected float32, bfloat16 or float16")
        self._network: Any = network.to(device).eval().requires_grad_(False)
        self._discriminator: Any = discriminator  # moved to the device when somebody asks what it sees
        self.device = device
        self.set_precision(self._network, getattr(torch, precision))
        self._run = self._synthesis

    def save(self, path: Path, family: str, metadata: Mapping[str, Any]) -> None:
        """Writes the networks as a file of ours of this family's name."""
        from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors

        save_safetensors(path, self._network, self._discriminator, metadata, family=family)

    def set_precision(self, network: nn.Module, dtype: torch.dtype) -> None:
        """Puts the generator or the discriminator into a precision of its convolutions."""

    def seen_by(self, discriminator: Any, images: Tensor) -> list[Tensor]:
        """What the discriminator's blocks make of pictures."""
        return discriminator.block_outputs(images)

    def _synthesis(self, ws: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        return self._network.synthesis(ws, noise_mode="const", features=features), features

    def render(
        self, latent: Float[Tensor, "batch ..."], truncation: float, classes: Tensor | None
    ) -> tuple[Float[Tensor, "batch channels height width"], list[Tensor]]:
        return self._run(self.styles(latent, truncation, classes) if latent.ndim == 2 else latent)

    def styles(
        self, z: Float[Tensor, "batch z_dim"], truncation: float, classes: Tensor | None
    ) -> Float[Tensor, "batch layers w_dim"]:
        c = None if classes is None else one_hot(classes, self.num_classes).float()
        return self._network.mapping(z, c, truncation_psi=truncation)

    def replayed(self: AnyStyleBased) -> AnyStyleBased:
        view = copy.copy(self)
        view._run = Replay(view._synthesis)
        return view

    def synthesise(self, ws: Float[Tensor, "batch layers w_dim"]) -> Float[Tensor, "batch channels height width"]:
        return self._network.synthesis(ws, noise_mode="const").float()

    @property
    def perceptive(self) -> bool:
        return self._discriminator is not None

    def perceive(self, images: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        return [x.float() for x in self.seen_by(self._on_device(), images)] if self.perceptive else []

    def _on_device(self) -> Any:
        self._discriminator = self._discriminator.to(self.device).eval().requires_grad_(False)
        return self._discriminator

    @contextmanager
    def computing_in(self, precision: str) -> Iterator[None]:
        dtype = getattr(torch, best_precision(precision, self.device))
        networks = [self._network, *([self._discriminator] if self.perceptive else [])]
        for network in networks:
            self.set_precision(network, dtype)
        try:
            yield
        finally:
            for network in networks:
                self.set_precision(network, torch.float32)
