"""One training for all methods: makers, judges, the makers' moving average; what ``long_run`` drives.

A run is a function of its settings, its data and the step: what is random in a step comes from (seed, step).
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.training.parallel import World
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.factory.training.steps import read_ahead, update_average
from labelfactory.factory.translation.examples import Examples
from labelfactory.factory.translation.method import Batch, Method
from labelfactory.factory.translation.settings import LearningSettings

FORMAT = 1


class TranslationTrainer:
    """A method that learns from examples, step by step."""

    def __init__(self, method: Method, examples: Examples, settings: LearningSettings, device: torch.device) -> None:
        self.method, self.examples, self.settings = method, examples, settings
        self.world = World(0, 1, device)
        method.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(method.makers).eval().requires_grad_(False)
        self.bf16 = uses_bf16(settings.precision, device)
        rates = list(method.rates)
        if settings.learning_rate is not None:
            rates = [settings.learning_rate * rate / rates[0] for rate in rates]
        self.rates = rates
        self.total = max(1, round(settings.kimg * 1000 / self.batch))
        self.optimisers = [
            torch.optim.Adam(network.parameters(), lr=rate, betas=method.betas)
            for network, rate in zip((method.makers, method.judges), rates, strict=True)
            if len(network)
        ]
        self.step = self.images_seen = 0
        self._batches: Iterator[tuple[int, Batch]] | None = None

    @property
    def batch(self) -> int:
        """Pictures in a step."""
        return self.examples.batch_size

    def shown(self, stats: dict[str, float]) -> dict[str, float]:
        """All losses."""
        return stats

    def train_step(self) -> dict[str, Tensor]:
        """One update of the makers, one of the judges, then the moving average; the losses."""
        method, judges = self.method, self.method.judges
        batch = self._next()
        word = int(np.random.Philox(key=[self.settings.seed, self.step]).random_raw())
        torch.manual_seed(word % 2**63)  # dropout
        rng = torch.Generator().manual_seed((word + 1) % 2**63)
        for optimiser, rate in zip(self.optimisers, self.rates, strict=False):
            for group in optimiser.param_groups:
                group["lr"] = rate * falling(self.step, self.total)
        method.makers.train()
        judges.train().requires_grad_(False)
        with self._precision():
            loss, stats, made = method.generator_loss(batch, rng)
        self._update(0, loss)
        if len(judges):
            judges.requires_grad_(True)
            with self._precision():
                of_judges = method.discriminator_loss(batch, made, rng)
            self._update(1, of_judges)
            stats["d"] = of_judges.detach()
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        for name, network in method.makers.items():
            update_average(self.average[name], network, decay)
        self.step += 1
        self.images_seen += self.batch
        return stats

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.bf16)

    def _update(self, which: int, loss: Tensor) -> None:
        self.optimisers[which].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[which].step()

    def _next(self) -> Batch:
        if self._batches is None:
            self._batches = read_ahead(self.examples.fetch, self.step, max(self.total, self.step + 1))
        return next(self._batches)[1].to(self.world.device)

    def networks(self) -> list[nn.Module]:
        """All whose weights have to be finite."""
        return [self.method.makers, self.method.judges, self.average]

    def state_dict(self) -> dict[str, Any]:
        """The whole state of the run."""
        return {
            "format": FORMAT,
            "makers": self.method.makers.state_dict(),
            "judges": self.method.judges.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "memory": self.method.memory(),
            "step": self.step,
            "images_seen": self.images_seen,
        }

    def load_state_dict(self, state: dict[str, Any], where: str) -> None:
        """Goes on where ``state`` was taken. InputError, begun by ``where``, where it is of other networks."""
        try:
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']}")
            self.method.makers.load_state_dict(state["makers"])
            self.method.judges.load_state_dict(state["judges"])
            self.average.load_state_dict(state["average"])
            for optimiser, values in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(values)
            self.method.recall(state["memory"])
            self.step, self.images_seen = state["step"], state["images_seen"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            detail = " ".join(str(error).split())[:120]
            raise InputError(f"{where}: belongs to another run ({detail}); remove it, or choose another out") from None
        self._batches = None


def falling(step: int, total: int) -> float:
    """1 over the first half, then linearly to nothing: what all three papers do."""
    return min(1.0, 2 * (total - step) / total)
