"""The random choices of a training step, drawn for the whole batch from (seed, step) alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from labelfactory.factory.amplify import AMPLIFY
from labelfactory.factory.stylegan2_ada.presets import Recipe
from labelfactory.factory.training.adaptive_augment import AugmentPipe, Draws
from labelfactory.factory.training.draws import real_indices, seed_of
from labelfactory.interpreters.array_types import Float, Int


@dataclass(frozen=True)
class FakeChoices:
    """What a batch of generated images comes from."""

    z: Float[Tensor, "batch z_dim"]
    z_mix: Float[Tensor, "batch z_dim"]  # a second latent for the layers from mix_from on (num_ws: none)
    mix_from: int
    labels: Float[Tensor, "batch classes"]
    draws: Draws


@dataclass(frozen=True)
class Choices:
    """Everything random in a step but the noise inside the generator; rows are samples of the whole batch."""

    reals: list[int]
    flip: Int[Tensor, " batch"]
    turns: Int[Tensor, " batch"]
    draws: Draws
    fakes_d: FakeChoices
    fakes_g: FakeChoices
    z_path: Float[Tensor, "few z_dim"]
    labels_path: Float[Tensor, "few classes"]


def draw_choices(
    recipe: Recipe,
    step: int,
    position: int,
    labels: Float[Tensor, "images classes"],
    pipe: AugmentPipe,
    p: float,
    z_dim: int,
    num_ws: int,
) -> Choices:
    """Choices of step number ``step``, after ``position`` images, with augmentation of strength p."""
    n = recipe.batch
    rng = torch.Generator().manual_seed(seed_of(recipe.seed, step, 0))

    def some_labels(count: int) -> Tensor:
        return labels[torch.randint(0, len(labels), (count,), generator=rng)]

    def fakes() -> FakeChoices:
        z, z_mix = torch.randn(2, n, z_dim, generator=rng)
        cut = int(torch.randint(1, num_ws, (), generator=rng))
        mixed = bool(torch.rand((), generator=rng) < recipe.style_mixing)
        return FakeChoices(z, z_mix, cut if mixed else num_ws, some_labels(n), pipe.draw(n, p, rng))

    flip, turns = (torch.randint(0, many, (n,), generator=rng) for many in AMPLIFY[recipe.amplify])
    few = max(n // recipe.pl_shrink, 1)
    return Choices(
        reals=real_indices(len(labels), position, n, recipe.seed),
        flip=flip,
        turns=turns,
        draws=pipe.draw(n, p, rng),
        fakes_d=fakes(),
        fakes_g=fakes(),
        z_path=torch.randn(few, z_dim, generator=rng),
        labels_path=some_labels(few),
    )
