"""The numbers of a diffusion training as one table, and the recipe that a run follows."""

from dataclasses import dataclass
from typing import Annotated, Any

from labelfactory.factory.parameter import Parameter
from labelfactory.factory.training.recipe import TrainingRecipe

STEPS = 1000  # of noise, as in every published model of the kind
SMALLEST = 4  # pixels a side of the lowest resolution, at least


@dataclass(frozen=True)
class Recipe(TrainingRecipe):
    """Every number that decides a run's arithmetic. Adam has betas 0.9 and 0.999."""

    schedule: Annotated[
        str,
        Parameter("Schedule of the noise.", choices={"cosine": "arXiv 2102.09672", "linear": "arXiv 2006.11239"}),
    ] = "cosine"
    prediction: Annotated[
        str,
        Parameter("Prediction of the network.", choices={"epsilon": "the noise", "v": "velocity, arXiv 2202.00512"}),
    ] = "epsilon"
    warmup_kimg: Annotated[
        float, Parameter("Thousand images in which the learning rate rises.", at_least=0, at_most=1e6)
    ] = 10.0
    clip: Annotated[float, Parameter("Limit of the gradient's length.", more_than=0, at_most=1e6)] = 1.0


@dataclass(frozen=True)
class Preset:
    """A row of the table: length of the run, sizes of the network, recipe."""

    kimg: float
    network: dict[str, Any]
    recipe: Recipe


# Channels of the levels, highest resolution first, as multiples of the first number.
#   auto: 64 px as in improved DDPM (arXiv 2102.09672), above as in ADM (2105.05233); ddpm*: Ho et al. (2006.11239),
#   appendix B, whose average keeps 0.9999 a step: a half-life of 6,931 steps. tiny is ours: 64 px on a CPU; it predicts
#   velocity, whose samples have the images' brightness after far fewer steps.
LEVELS = {32: (1, 2, 2, 2), 64: (1, 2, 3, 4), 128: (1, 1, 2, 3, 4), 256: (1, 1, 2, 2, 4, 4)}
LARGEST = (0.5, 1, 1, 2, 2, 4, 4)
#           kimg   batch base levels               blocks attention dropout lr    warm-up EMA  schedule, prediction
Row = tuple[int, int, int, tuple[float, ...] | None, int, tuple[int, ...], float, float, float, float, str, str]
TABLE: dict[str, Row] = {
    "auto":    (50000,  64, 128, None,                2, (16, 8),  0.0, 1e-4, 10,  300, "cosine", "epsilon"),
    "ddpm32":  (102400, 128, 128, (1, 2, 2, 2),       2, (16,),    0.1, 2e-4, 640, 887, "linear", "epsilon"),
    "ddpm256": (32000,  64, 128, (1, 1, 2, 2, 4, 4),  2, (16,),    0.0, 2e-5, 320, 444, "linear", "epsilon"),
    "tiny":    (500,    8,  16,  (1, 2, 4, 8),        1, (8,),     0.0, 8e-4, 2,   10,  "cosine", "v"),
}  # fmt: skip
PRESETS = {"auto": "by resolution", "ddpm32": "diffusion", "ddpm256": "diffusion", "tiny": "64 px on a CPU"}
"""Names, with what a person is told of them."""


def preset(name: str, resolution: int) -> Preset:
    """The preset's numbers at this resolution; levels that would be smaller than 4 pixels are left out."""
    kimg, batch, base, levels, blocks, attention, dropout, rate, warmup, ema, schedule, prediction = TABLE[name]
    if levels is None:
        levels = LEVELS.get(max(resolution, 32), LARGEST)
    levels = tuple(level for i, level in enumerate(levels) if resolution >> i >= SMALLEST)
    seen = [resolution >> i in attention for i in range(len(levels))]
    channels = tuple(int(base * level) for level in levels)
    groups, head = (8, 32) if base < 64 else (32, 64)
    network = {
        "sample_size": resolution,
        "layers_per_block": blocks,
        "block_out_channels": channels,
        "down_block_types": tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in seen),
        "up_block_types": tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(seen)),
        "attention_head_dim": min(head, *(c for c, here in zip(channels, [*seen[:-1], True], strict=True) if here)),
        "norm_num_groups": groups,
        "dropout": dropout,
    }
    noise = {"schedule": schedule, "prediction": prediction}
    recipe = Recipe(batch=batch, learning_rate=rate, warmup_kimg=float(warmup), ema_kimg=float(ema)).changed(**noise)
    return Preset(float(kimg), network, recipe)
