"""The numbers of a training run as one table, and the recipe that a run follows."""

from dataclasses import dataclass
from typing import Annotated

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.training.pipes import PIPES
from labelfactory.factory.training.recipe import TrainingRecipe

ALL = 16  # more resolutions than any network has


@dataclass(frozen=True)
class Recipe(TrainingRecipe):
    """Every number that decides a run's arithmetic; both networks learn at the same rate, with betas 0 and 0.99.

    augment_p           None: adaptive
    precision           half_resolutions of the highest resolutions use it
    """

    mbstd_group: Annotated[int, Parameter("Group of the minibatch standard deviation.", at_least=1, at_most=2**16)] = 4
    r1_gamma: Annotated[float, Parameter("Weight of R1.", at_least=0, at_most=1e6, option="gamma")] = 10.0
    r1_interval: Annotated[int, Parameter("Steps between two applications of R1.", at_least=1, at_most=10**6)] = 16
    pl_weight: Annotated[
        float, Parameter("Weight of path length regularisation; 0: none.", at_least=0, at_most=1e6)
    ] = 2.0
    pl_interval: Annotated[
        int, Parameter("Steps between two applications of path length regularisation.", at_least=1, at_most=10**6)
    ] = 4
    pl_decay: Annotated[float, Parameter("Step of the moving mean of path lengths.", at_least=0, at_most=1)] = 0.01
    pl_shrink: Annotated[int, Parameter("Divisor of the batch for path lengths.", at_least=1, at_most=2**16)] = 2
    style_mixing: Annotated[float, Parameter("Probability that a batch mixes two styles.", at_least=0, at_most=1)] = 0.9
    augment: Annotated[str, Parameter("Adaptive augmentation.", choices=tuple(PIPES))] = "bgc"
    augment_p: Annotated[
        float | None, Parameter("Strength of augmentation, fixed instead of adaptive.", at_least=0, at_most=1)
    ] = None
    ada_target: Annotated[float, Parameter("Overfitting r_t that the strength aims at.", at_least=-1, at_most=1)] = 0.6
    ada_kimg: Annotated[
        float,
        Parameter("Thousand images in which the strength can go from 0 to 1.", at_least=0.001, at_most=1e9),
    ] = 500.0
    noise: Annotated[
        bool, Parameter("Noise inputs of the generator; without them an image follows its latent alone.")
    ] = True
    half_resolutions: int = 4
    freeze_d: Annotated[
        int,
        Parameter("First layers of the discriminator that keep their weights, for transfer.", at_least=0, at_most=100),
    ] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pl_shrink > self.batch:
            raise InputError(f"pl_shrink is {self.pl_shrink}: expected 1 to {self.batch}, the batch")
        if self.batch % min(self.mbstd_group, self.batch):
            raise InputError(f"batch {self.batch}: expected a multiple of the minibatch-std group {self.mbstd_group}")


# StyleGAN2-ADA, appendix C, table "Hyperparameters"; "stylegan2" is StyleGAN2's config F. ``fmaps`` multiplies the
# channels of the full network (channel_base 32768). cifar has neither path length nor mixing there; its discriminator
# is of an older kind in the paper, here it is the residual one. tiny is ours: 64 px on a CPU.
#                kimg   batch mbstd fmaps  max   z=w  map  lr      gamma  ema  rampup pl mixing
Row = tuple[int, int, int, float, int, int, int, float, float, float, float | None, float, float]
TABLE: dict[str, Row] = {
    "stylegan2":  (25000, 32,   4,  1.0,   512,  512,  8,  0.0020, 10.0,  10,  None,  2, 0.9),
    "paper256":   (25000, 64,   8,  0.5,   512,  512,  8,  0.0025,  1.0,  20,  None,  2, 0.9),
    "paper512":   (25000, 64,   8,  1.0,   512,  512,  8,  0.0025,  0.5,  20,  None,  2, 0.9),
    "paper1024":  (25000, 32,   4,  1.0,   512,  512,  8,  0.0020,  2.0,  10,  None,  2, 0.9),
    "cifar":      (100000, 64, 32,  1.0,   512,  512,  2,  0.0025,  0.01, 500, 0.05,  0, 0.0),
    "tiny":       (5000,  16,   4,  1 / 16, 128, 128,  2,  0.0025, 0.0512, 10, 0.05,  0, 0.0),
}  # fmt: skip
PRESETS = {"auto": "by resolution", **dict.fromkeys(TABLE, ""), "tiny": "64 px on a CPU"}
"""Names, with what a person is told of them."""


@dataclass(frozen=True)
class Preset:
    """A row of the table: length of the run, sizes of the networks, recipe."""

    kimg: float
    network: dict[str, int]
    recipe: Recipe


def preset(name: str, resolution: int, processes: int = 1) -> Preset:
    """The preset's numbers at this resolution; "auto" derives them from resolution and number of processes.

    Raises ``InputError`` for an unknown name.
    """
    if name == "auto":
        batch = max(min(processes * min(4096 // resolution, 32), 64), processes)
        fmaps = 1.0 if resolution >= 512 else 0.5
        rate = 0.002 if resolution >= 1024 else 0.0025
        gamma = 0.0002 * resolution**2 / batch
        group = min(max(batch // processes, 1), 4)
        row: Row = (25000, batch, group, fmaps, 512, 512, 2, rate, gamma, batch * 10 / 32, 0.05, 2, 0.9)
    elif name in TABLE:
        row = TABLE[name]
    else:
        raise InputError(f"preset {name!r}: expected one of {', '.join(PRESETS)}")
    kimg, batch, group, fmaps, widest, latent, mapping, rate, gamma, ema, rampup, pl, mixing = row
    network = {"z_dim": latent, "w_dim": latent, "mapping_layers": mapping}
    network |= {"channel_base": max(int(fmaps * 32768), resolution), "channel_max": widest}
    recipe = Recipe(
        batch=batch,
        mbstd_group=group,
        learning_rate=rate,
        r1_gamma=gamma,
        ema_kimg=float(ema),
        ema_rampup=rampup,
        pl_weight=float(pl),
        style_mixing=mixing,
        half_resolutions=ALL if name == "tiny" else 4,
    )
    return Preset(float(kimg), network, recipe)
