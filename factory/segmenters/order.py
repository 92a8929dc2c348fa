"""What somebody asks for when a segmenter is to be trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labelfactory.factory.segmenters.training import TrainingConfig


@dataclass(frozen=True)
class SegmenterOrder:
    """What to train and on what.

    pairs            stores of ours, or folders or zips with images/ and masks/; several are joined
    balance          repeat smaller sources so that each is seen about equally often
    validation       a labelled folder, zip or store for early stopping and the choice of the best weights
    temperature      nats; weighs each pixel of a store by exp(-uncertainty / temperature); None: all alike
    keep             leave out what a store's uncertainty filter drops
    border           U-Net's border weight map
    unlabelled       folders or zips of pictures, or stores: the last round learns from them by mean teacher
    consistency      largest weight of what they add to the loss
    rounds           after each but the last the segmenter labels the stores anew, and a new one learns from that
    teachers         segmenters of each round but the last, of different seeds: they label together
    self_training    they label the unlabelled pictures too, and the last round learns from those labels as well
    """

    pairs: tuple[str, ...]
    out: Path
    architecture: str = "unet-small"
    options: dict[str, Any] = field(default_factory=dict)
    backbone_weights: Path | None = None
    validation: str | None = None
    balance: bool = False
    limit: int | None = None
    keep: bool = True
    temperature: float | None = None
    border: bool = False
    class_weights: str = "none"
    augmentation: str = "dihedral"
    unlabelled: tuple[str, ...] = ()
    consistency: float = 5.0
    rounds: int = 1
    teachers: int = 1
    self_training: bool = False
    training: TrainingConfig = field(default_factory=TrainingConfig)
    device: str = "auto"


CLASS_WEIGHTS = ("none", "median-frequency")
