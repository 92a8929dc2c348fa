"""What somebody asks for when labels are to be audited."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelfactory.factory.fields import DEVICE, PRECISION, SEED
from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.factory.segmenters.architectures import SEGMENTERS

LIST = "suspects.json"  # beside the page: what readers leave out


@dataclass(frozen=True)
class AuditOrder:
    """Likely label errors of a set of pairs, ranked, with a page to look through and a list for readers."""

    pairs: Annotated[str, Parameter("Store, or folder or zip with images/ and masks/.", place=True, positional=True)]
    out: Annotated[Path, Parameter("Folder for audit.html, suspects.json and scores.", place=True, writes="folder")]
    share: Annotated[float, Parameter("Share of the pairs that somebody will look at.", more_than=0, at_most=1)] = 0.01
    architecture: Annotated[str, Parameter("Segmenter that judges.", choices=tuple(SEGMENTERS))] = "unet-small"
    steps: Annotated[int, Parameter("Training steps of each of the two judges.", at_least=1)] = 600
    batch_size: Annotated[int, Parameter("Images in a step.", at_least=1)] = 32
    keep: Annotated[bool, Parameter("Keep to the pairs that the store's uncertainty filter keeps.")] = True
    precision: Annotated[str, PRECISION] = "auto"
    seed: Annotated[int, SEED] = 0
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class CorrectionOrder:
    """Suspects of a store join the label set that it was made from, to be corrected there."""

    labels: Annotated[Path, Parameter("Folder of the label set; the samples are added.", place=True, positional=True)]
    pairs: Annotated[str, Parameter("Store that was audited.", place=True)]
    suspects: Annotated[Path, Parameter("List: suspects.json of `factory audit`.", place=True)]
    most: Annotated[int, Parameter("Number of samples to add, the worst ones.", at_least=1, at_most=1000)] = 4

    def __post_init__(self) -> None:
        check_fields(self)
