"""What somebody asks for that has a finished store: an export, pictures of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.storage.exports import FORMATS, MASKS

STORE = Parameter("Path or URL of a finished store.", place=True, positional=True)


@dataclass(frozen=True)
class ExportOrder:
    """A data set in the format that another tool expects."""

    store: Annotated[str, STORE]
    format: Annotated[str, Parameter("Format to write.", choices=tuple(FORMATS))]
    out: Annotated[
        Path, Parameter("Folder to write; an interrupted export there is resumed.", place=True, writes="folder")
    ]
    all: Annotated[bool, Parameter("All samples, those too that the uncertainty filter would drop.")] = False
    max_uncertainty: Annotated[
        float | None, Parameter("Largest uncertainty score of a sample, in nats.", at_least=0, default="any")
    ] = None
    masks: Annotated[str | None, Parameter("Style of mask pictures.", choices=MASKS, default="grey")] = None
    check: Annotated[bool, Parameter("Check: everything that was written is read again.")] = True

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ShowOrder:
    """Pictures of a data set."""

    store: Annotated[str, STORE]
    out: Annotated[
        Path | None,
        Parameter("Contact sheet to write (.png).", place=True, writes="file", default="STORE_contact_sheet.png here"),
    ] = None
    html: Annotated[
        Path | None, Parameter("Self-contained report to write too (.html).", place=True, writes="file")
    ] = None
    n: Annotated[int, Parameter("Number of samples in each section.", at_least=1, option="n")] = 16

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def sheet(self) -> Path:
        """Where the contact sheet goes."""
        name = self.store.rstrip("/").rsplit("/", 1)[-1]
        return self.out or Path(f"{name.removesuffix('.zarr')}_contact_sheet.png")
