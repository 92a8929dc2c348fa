"""What decides how networks of translation are trained, whatever they are."""

import math
from dataclasses import dataclass
from typing import Annotated

from labelfactory.factory.fields import AVERAGE, PRECISION, SEED, SNAPSHOT_MINUTES, SQUARES
from labelfactory.factory.parameter import Parameter, check_fields

SIZE = Parameter(
    "Size of the pictures, which are resized to it.",
    pattern=r"\d+x\d+",
    form="HEIGHTxWIDTH in pixels, like 180x240",
    default="that of the pairs",
)
PERCEPTUAL_WEIGHTS = Parameter(
    "File of VGG16's weights with torchvision's names (.pth or .safetensors), for the perceptual loss.",
    place=True,
    default="no VGG16; the discriminator's own features",
)


@dataclass(frozen=True)
class LearningSettings:
    """How long, on how much at a time, how fast."""

    kimg: Annotated[float, Parameter("Thousand pictures to train for in all.", more_than=0, at_most=math.inf)] = 200.0
    batch_size: Annotated[
        int | None, Parameter("Pictures in a step.", at_least=1, default="the paper's: 32 of spade, else 1")
    ] = None
    learning_rate: Annotated[
        float | None,
        Parameter(
            "Learning rate of what makes pictures; the discriminator's keeps its ratio.",
            more_than=0,
            default="the paper's",
        ),
    ] = None
    crop: Annotated[int | None, SQUARES] = None
    mirror: Annotated[bool, Parameter("Mirrored pictures: half of them, left to right.")] = True
    average: Annotated[float, AVERAGE] = 0.999
    precision: Annotated[str, PRECISION] = "auto"
    seed: Annotated[int, SEED] = 0
    snapshot_minutes: Annotated[float, SNAPSHOT_MINUTES] = 5.0

    def __post_init__(self) -> None:
        check_fields(self)
