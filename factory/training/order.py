"""What somebody asks for when generators are to be measured, or a run's curves drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter, check_fields


@dataclass(frozen=True)
class QualityOrder:
    """Figures of generators, beside those of real images."""

    data: Annotated[str, Parameter("Folder, zip or URL of the images that they were trained on.", place=True)]
    generator: Annotated[
        tuple[str, ...],
        Parameter("Checkpoint (.safetensors, official .pkl) or builtin:NAME; repeatable.", place=True),
    ] = ()
    run: Annotated[
        Path | None, Parameter("Folder of a training run: every generator that it kept, as a curve.", place=True)
    ] = None
    reference: Annotated[
        str | None,
        Parameter(
            "Folder, zip or URL of images that they were not trained on.",
            place=True,
            default="every fourth image of the data",
        ),
    ] = None
    encoder: Annotated[
        Path | None,
        Parameter(
            "Encoder: TorchScript .pt or domain encoder .safetensors; trained on the data and kept here if missing.",
            place=True,
            writes="missing file",
            default="one that is trained and not kept",
        ),
    ] = None
    count: Annotated[int, Parameter("Number of images to generate from each.", at_least=16)] = 5000
    psi: Annotated[tuple[float, ...], Parameter("Truncation; repeatable.", at_least=0, at_most=2)] = (1.0,)
    seed: Annotated[int, Parameter("Seed of the samples and of the split.", at_least=0, at_most=2**63 - 1)] = 0
    out: Annotated[
        Path | None,
        Parameter(
            "File for the figures as JSON.", place=True, writes="missing file", default="quality.json of the run"
        ),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.generator and self.run is None:
            raise InputError("give --generator (once or several times) or --run: the generators to evaluate")


@dataclass(frozen=True)
class CurvesOrder:
    """The logs of a training run as one picture."""

    out: Annotated[Path, Parameter("File of the picture (PNG).", place=True, writes="file")]
    log: Annotated[
        tuple[Path, ...],
        Parameter("Log of a run (log.jsonl); several of one training, oldest first, are joined.", place=True),
    ] = ()
    quality: Annotated[
        Path | None, Parameter("Report of evaluate-generator on several generators of the run.", place=True)
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.quality is not None and not self.quality.exists():
            raise InputError(f"{self.quality}: no such file; expected a report of evaluate-generator")
