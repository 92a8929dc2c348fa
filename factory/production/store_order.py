"""What somebody asks for that has a store: an export, pictures of it, whether it is sound."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelfactory.factory.fields import DEVICE
from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.storage.exports import FORMATS, MASKS

STORE = Parameter("Path or URL of a finished store.", place=True, positional=True)


VIEWS = {"none": "each mask once", "mirror": "and mirrored", "dihedral": "in all symmetries that its size has"}


@dataclass(frozen=True)
class SynthesiseOrder:
    """Pairs whose pictures a synthesis model makes from masks."""

    model: Annotated[str, Parameter("File that train-synthesis wrote.", place=True)]
    masks: Annotated[str, Parameter("Store, or folder or zip of masks (masks/ or all of it).", place=True)]
    count: Annotated[int, Parameter("Number of pairs.", at_least=1)]
    out: Annotated[
        str,
        Parameter("Path or URL of the store; an unfinished or smaller one is continued.", place=True, writes="folder"),
    ]
    views: Annotated[str, Parameter("Views of each mask, one after another.", choices=VIEWS)] = "none"
    judge: Annotated[
        Path | None,
        Parameter(
            "Segmenter whose disagreement with the mask is the pairs' uncertainty.", place=True, default="not measured"
        ),
    ] = None
    seed: Annotated[
        int, Parameter("Seed of the data set, which its samples' seeds follow.", at_least=0, at_most=2**64 - 1)
    ] = 0
    shard_size: Annotated[int | None, Parameter("Samples in a shard.", at_least=1, default="about 50 MB")] = None
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


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
    exclude: Annotated[
        Path | None, Parameter("List of samples to leave out: suspects.json of `factory audit`.", place=True)
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


@dataclass(frozen=True)
class StatusOrder:
    """What there is of a store that is being made."""

    store: Annotated[str, Parameter("Path or URL of a store, finished or not.", place=True, positional=True)]
    as_json: Annotated[bool, Parameter("JSON in place of lines.", option="json")] = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class VerifyOrder:
    """Whether every byte of a store is as it was committed; with ``repair``, until it is."""

    store: Annotated[str, Parameter("Path or URL of a store.", place=True, positional=True)]
    workers: Annotated[int, Parameter("Threads that read, hash and decode.", at_least=1, at_most=64)] = 4
    report: Annotated[
        Path | None, Parameter("File for the report as JSON.", place=True, writes="file", option="json")
    ] = None
    repair: Annotated[bool, Parameter("Repair: what is damaged is made again and proved equal.")] = False
    generator: Annotated[
        str | None,
        Parameter("Generator for the repair, where it has moved.", place=True, default="where the store says"),
    ] = None
    model: Annotated[
        tuple[Path, ...],
        Parameter(
            "File of the interpreter or another model, for the repair; repeatable. Others are looked for in the cache.",
            place=True,
        ),
    ] = ()
    interpreter: Annotated[Path | None, Parameter("File of the interpreter: an older name of a model.", place=True)] = (
        None
    )
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
