"""The numbers of a training run as one table, and the recipe that a run follows."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from labelfactory.errors import InputError
from labelfactory.factory.amplify import AMPLIFY


@dataclass(frozen=True)
class Recipe:
    """Every number that decides a run's arithmetic. Two runs with equal recipe and data are equal on the same CPU.

    batch, mbstd_group  images per step over all processes; group of the minibatch standard deviation
    learning_rate       of both networks (Adam, betas 0 and 0.99)
    r1_gamma            weight of R1, applied every r1_interval steps
    ema_kimg            half-life of the generator's moving average, thousand images; ema_rampup limits it to that
                        share of the images seen so far (None: no limit)
    pl_weight           weight of path length regularisation (0: off), applied every pl_interval steps to
                        1 / pl_shrink of a batch; pl_decay of its moving mean
    style_mixing        probability that a batch mixes two styles
    augment, augment_p  transforms of ``adaptive_augment.PIPES``; a fixed probability (None: adaptive)
    ada_target, ada_kimg
                        r_t that p aims at; thousand images in which p can cross [0, 1]
    amplify             what every real image is multiplied by: "none", "mirror" (2) or "dihedral" (8: turns too)
    noise               random noise inputs of the generator; without them an image is a function of its latent alone
    precision           "float32", "bfloat16" or "float16"; half_resolutions of the highest resolutions use it
    freeze_d            number of the discriminator's first layers that keep their weights (Freeze-D)
    """

    batch: int = 32
    mbstd_group: int = 4
    learning_rate: float = 0.002
    r1_gamma: float = 10.0
    r1_interval: int = 16
    ema_kimg: float = 10.0
    ema_rampup: float | None = 0.05
    pl_weight: float = 2.0
    pl_interval: int = 4
    pl_decay: float = 0.01
    pl_shrink: int = 2
    style_mixing: float = 0.9
    augment: str = "bgc"
    augment_p: float | None = None
    ada_target: float = 0.6
    ada_kimg: float = 500.0
    amplify: str = "none"
    noise: bool = True
    precision: str = "float32"
    half_resolutions: int = 4
    freeze_d: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "batch": (1, 2**16),
            "mbstd_group": (1, 2**16),
            "learning_rate": (1e-8, 1),
            "r1_gamma": (0, 1e6),
            "r1_interval": (1, 1e6),
            "ema_kimg": (0, 1e6),
            "pl_weight": (0, 1e6),
            "pl_interval": (1, 1e6),
            "pl_shrink": (1, self.batch),
            "style_mixing": (0, 1),
            "ada_target": (-1, 1),
            "ada_kimg": (0.001, 1e9),
            "freeze_d": (0, 100),
            "seed": (0, 2**63),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} {getattr(self, name)}: expected {low:g} to {high:g}")
        if self.augment_p is not None and not 0 <= self.augment_p <= 1:
            raise InputError(f"augment_p {self.augment_p}: expected 0 to 1")
        if self.batch % min(self.mbstd_group, self.batch):
            raise InputError(f"batch {self.batch}: expected a multiple of the minibatch-std group {self.mbstd_group}")
        choices = {"amplify": tuple(AMPLIFY), "precision": ("float32", "bfloat16", "float16")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r}: expected one of {', '.join(known)}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def changed(self, **wishes: Any) -> "Recipe":
        """With the wishes that are not None."""
        return replace(self, **{name: value for name, value in wishes.items() if value is not None})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """Of a snapshot; names of another release are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


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
PRESETS = ("auto", *TABLE)


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
        # A CPU with half-precision units is slow in everything else: all resolutions go through them.
        half_resolutions=16 if name == "tiny" else 4,
    )
    return Preset(float(kimg), network, recipe)
