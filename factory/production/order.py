"""What somebody asks the factory for. Command line, deployed flow and plan take their parameters from these fields."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from labelfactory.errors import InputError
from labelfactory.factory.fields import CONDITIONS, CROP, DEVICE, GENERATOR, PRECISION, TRUNCATION
from labelfactory.factory.heads.table import HEADS
from labelfactory.factory.parameter import Parameter, Part, check_fields
from labelfactory.factory.production.fleet import Fleet
from labelfactory.storage.spec import MOST_DEGREES

MAX_SEED = 2**64 - 1
NOWHERE = "live"  # the place of a store that is never made
WALK_DEGREES = 90.0

Class = TypeVar("Class", bound=type)


def with_heads(order: Class) -> Class:
    """Adds a field for each label kind: the file of its model."""
    for name, entry in HEADS.items():
        order.__annotations__[name] = Annotated[str | None, Parameter(entry.help, place=True)]
        setattr(order, name, None)
    return order


@dataclass(frozen=True)
@with_heads
class Order:
    """Pairs for the factory to make. InputError where a number is out of range or what belongs together is missing.

    A new field becomes a parameter everywhere by its ``Parameter``; one without is for callers from Python alone.
    The label kinds (``factory.heads.table``) add a field each: ``keypoints``, ``values``, ``centres`` ...
    """

    generator: Annotated[str, GENERATOR]
    out: Annotated[
        str,
        Parameter("Path or URL of the store; an unfinished or smaller one is continued.", place=True, writes="folder"),
    ]
    count: Annotated[int, Parameter("Number of pairs.", at_least=1)]
    interpreter: Annotated[
        str | None, Parameter("File of a trained interpreter; give this or labels, not both.", place=True)
    ] = None
    labels: Annotated[
        str | None,
        Parameter(
            "Label set (or builtin:NAME) to train an interpreter from.",
            place=True,
            default="that of a bundled generator",
        ),
    ] = None
    seed: Annotated[
        int, Parameter("Seed of the data set; another seed gives other pairs.", at_least=0, at_most=MAX_SEED)
    ] = 0
    truncation: Annotated[float | None, TRUNCATION] = None
    shard_size: Annotated[int | None, Parameter("Samples in a shard.", at_least=1, default="about 50 MB")] = None
    device: Annotated[str, DEVICE] = "auto"
    precision: Annotated[
        str,
        Parameter(
            "Precision of the labels' products.",
            choices={"auto": "float32 on a CPU, float16 on a GPU", "float32": "", "bfloat16": "", "float16": ""},
            spellings=PRECISION.spellings,
        ),
    ] = "auto"
    storage_options: dict[str, Any] = field(default_factory=dict)
    instances: Annotated[
        bool,
        Parameter(
            "Numbers for the objects of thing classes (array instance); a class boundary keeps touching ones apart."
        ),
    ] = False
    conditions: Annotated[tuple[int, ...], CONDITIONS] = ()
    crop: Annotated[str | None, CROP] = None
    walk: Annotated[
        int | None,
        Parameter(
            "Walk through latent space: frames of each sequence; objects keep their number from frame to frame. "
            "The number of pairs is a multiple of it.",
            at_least=2,
            at_most=2**16 - 1,
            default="no sequences",
        ),
    ] = None
    walk_degrees: Annotated[
        float | None,
        Parameter(
            "Degrees that a walk turns through: 90 leads to another picture, 360 back to the first.",
            more_than=0,
            at_most=MOST_DEGREES,
            default=f"{WALK_DEGREES:g}",
        ),
    ] = None
    siblings: Annotated[
        int,
        Parameter(
            "Siblings of each picture, of the same coarse styles and other fine ones: pixels of which the interpreter "
            "says something else there are left unlabelled. 0: none; each takes as long as the picture.",
            at_least=0,
            at_most=64,
        ),
    ] = 0
    sibling_styles: Annotated[
        float,
        Parameter(
            "Share of the style layers, from the finest on, that are a sibling's own.", more_than=0, at_most=0.99
        ),
    ] = 0.3
    sibling_agreement: Annotated[
        float,
        Parameter("Share of the siblings that have to agree with a pixel's label.", more_than=0, at_most=1),
    ] = 1.0
    packing: Annotated[
        str,
        Parameter(
            "Packing of the pictures on disk.",
            choices={
                "zstd": "every Zarr reader has it",
                "fast": "the same, read in two thirds of the time, pictures 2 to 11 % larger",
                "raw": "as they are with a checksum, every Zarr reader has it, read in half the time",
                "rows": "photographs a fifth to a quarter smaller, for our readers and zarr-python with labelfactory",
            },
        ),
    ] = "zstd"
    shards: Annotated[
        str | None,
        Parameter(
            "Shards to make, as a backfill; the store is finished once none is missing.",
            pattern=r"missing|failed|stale|\d+(:\d+)?(,\d+(:\d+)?)*",
            form="numbers and ranges such as 3,7,10:20 (20 left out), or missing, failed or stale",
            default="all",
        ),
    ] = None  # no part of what the data set is

    def __post_init__(self) -> None:
        if self.interpreter is None and self.labels is None and self.generator.startswith("builtin:"):
            object.__setattr__(self, "labels", self.generator)
        check_fields(self)
        if (self.interpreter is None) == (self.labels is None):
            raise InputError("give either an interpreter file or a label set, not both and not neither")
        if self.walk is None and self.walk_degrees is not None:
            raise InputError("walk_degrees says how far a walk goes: give walk, its number of frames, too")

    @property
    def heads(self) -> dict[str, str]:
        """The label kinds that are wanted, each with the file of its model ("" for one that goes without)."""
        files = {name: str(file) for name in HEADS if (file := getattr(self, name, None)) is not None}
        return ({"centres": ""} if self.instances else {}) | files


@dataclass(frozen=True)
class PlanOrder:
    """What ``wanted`` takes on a fleet of workers."""

    wanted: Annotated[Order, Part({"out": "plan", "seed": 0, "shards": None})]
    fleet: Fleet = field(default_factory=Fleet)
    speedup: Annotated[
        float, Parameter("Speed of a worker against this machine's, which is measured.", at_least=0.001)
    ] = 1.0
    price_worker_hour: Annotated[float | None, Parameter("Price of a worker's hour.", at_least=0)] = None
    price_gb_month: Annotated[float | None, Parameter("Price of a GB stored for a month.", at_least=0)] = None
    price_1000_puts: Annotated[float | None, Parameter("Price of 1,000 writing requests.", at_least=0)] = None
    simulations: Annotated[int, Parameter("Simulated runs.", at_least=1, at_most=1000)] = 20
    json: Annotated[Path | None, Parameter("File for all numbers as JSON.", place=True, writes="file")] = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class DemoOrder:
    """The whole way on the bundled model."""

    out: Annotated[Path, Parameter("Folder for the store and the contact sheet.", place=True, writes="folder")] = Path(
        "demo"
    )
    count: Annotated[int, Parameter("Number of pairs.", at_least=1)] = 1000

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def store(self) -> str:
        return str(self.out / "nuclei.zarr")
