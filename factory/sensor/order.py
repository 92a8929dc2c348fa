"""What somebody asks for when a sensor is to be measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelfactory.factory.fields import DEVICE, GENERATOR, SEED, TRUNCATION
from labelfactory.factory.parameter import Parameter, check_fields


@dataclass(frozen=True)
class SensorOrder:
    """What real pictures have over a generator's: grain, blur, light, colour cast, JPEG."""

    images: Annotated[Path, Parameter("Folder or zip of real pictures; no labels are needed.", place=True)]
    generator: Annotated[str, GENERATOR]
    out: Annotated[Path, Parameter("File to write (.json).", place=True, writes="file")]
    count: Annotated[int, Parameter("Pictures to compare, at most, of either kind.", at_least=8, at_most=100_000)] = 512
    truncation: Annotated[float | None, TRUNCATION] = None
    seed: Annotated[int, SEED] = 0
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
