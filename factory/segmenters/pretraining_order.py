"""What somebody asks for when a segmenter is to be pretrained on pictures without labels."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from labelfactory.errors import InputError
from labelfactory.factory.fields import (
    AVERAGE,
    BACKBONE_WEIGHTS,
    DEVICE,
    NETWORK_OPTIONS,
    PRECISION,
    SEED,
    SNAPSHOT_MINUTES,
    SQUARES,
)
from labelfactory.factory.pairs.augmentation import PRESETS
from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.factory.segmenters.architectures import serving


@dataclass(frozen=True)
class PretrainingOrder:
    """Which network, on which pictures, how long."""

    images: Annotated[
        tuple[str, ...], Parameter("Pictures (folder, zip, store) without labels; repeatable.", place=True)
    ]
    out: Annotated[Path, Parameter("File to write (.safetensors).", place=True, writes="file")]
    architecture: Annotated[str, Parameter("Network.", choices=tuple(serving("semantic")))] = "unet-small"
    options: Annotated[dict[str, Any], NETWORK_OPTIONS] = field(default_factory=dict)
    backbone_weights: Annotated[Path | None, BACKBONE_WEIGHTS] = None
    patch: Annotated[int, Parameter("Side of the hidden squares, in pixels.", at_least=1, at_most=1024)] = 8
    hidden: Annotated[float, Parameter("Fraction of the squares that are hidden.", more_than=0, at_most=0.95)] = 0.5
    kimg: Annotated[float, Parameter("Thousand pictures to train for in all.", more_than=0)] = 128.0
    batch_size: Annotated[int, Parameter("Pictures in a step.", at_least=1)] = 32
    learning_rate: Annotated[float, Parameter("Learning rate of Adam.", more_than=0)] = 1e-3
    crop: Annotated[int | None, SQUARES] = None
    augmentation: Annotated[str, Parameter("Variations of the pictures.", choices=tuple(PRESETS))] = "dihedral"
    average: Annotated[float, AVERAGE] = 0.999
    precision: Annotated[str, PRECISION] = "auto"
    seed: Annotated[int, SEED] = 0
    snapshot_minutes: Annotated[float, SNAPSHOT_MINUTES] = 5.0
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.images:
            raise InputError("nothing to train on: name a folder, zip or store of pictures")
