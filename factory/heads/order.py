"""What somebody asks for when an interpreter, or the regressor of another label kind, is to be trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from labelfactory.errors import InputError
from labelfactory.factory.fields import DEVICE, GENERATOR, LABELS, MEMBERS, SEED
from labelfactory.factory.parameter import Parameter, check_fields

OUT = Parameter("File to write (.safetensors).", place=True, writes="file")


@dataclass(frozen=True)
class Ensemble:
    """Networks of equal shape that learn from other starts and other images, and are asked together."""

    members: Annotated[int, MEMBERS] = 10
    seed: Annotated[int, SEED] = 0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class InterpreterOrder:
    """An interpreter of classes, or with ``values`` a regressor of continuous labels."""

    out: Annotated[Path, OUT]
    generator: Annotated[str | None, GENERATOR] = None
    labels: Annotated[str | None, LABELS] = None
    features: Annotated[
        Path | None, Parameter("Recording of --record: trains without generator and label set.", place=True)
    ] = None
    record: Annotated[
        Path | None,
        Parameter("Recording to keep of the labelled feature maps (Zarr).", place=True, writes="new folder"),
    ] = None
    values: Annotated[
        bool, Parameter("Values: learn the continuous labels of import-values, for generate --values.")
    ] = False
    consistent_masks: Annotated[
        bool,
        Parameter(
            "Consistent masks: each picture's outlines are moved by up to 2 pixels to where interpreters of the other "
            "pictures have them; says how far. Takes about twice as long again."
        ),
    ] = False
    ensemble: Ensemble = field(default_factory=Ensemble)
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.consistent_masks and (self.features or self.values):
            raise InputError("consistent masks are found in a label set of classes: leave features and values out")
        if self.features is not None and (self.generator or self.labels or self.record or self.values):
            raise InputError("features stands alone: a recording knows its labels and generator")
        if self.values and self.record:
            raise InputError("values are learned without a recording: leave record out")
        if self.features is None and (self.generator is None or self.labels is None):
            raise InputError("give --generator and --labels, or --features")


@dataclass(frozen=True)
class KeypointOrder:
    """A regressor of keypoints."""

    generator: Annotated[str, GENERATOR]
    labels: Annotated[str, Parameter("Label set with keypoints: its folder, or builtin:NAME.", place=True)]
    out: Annotated[Path, OUT]
    axis_of: Annotated[
        str | None,
        Parameter(
            "Class whose pixels give the points: centre and ends of their major axis.", default="the labelled points"
        ),
    ] = None
    sigma: Annotated[float, Parameter("Standard deviation of the heatmaps' peaks, in pixels.", more_than=0)] = 2.0
    ensemble: Ensemble = field(default_factory=Ensemble)
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class CentreOrder:
    """A regressor of objects' centres, which keeps apart those that touch."""

    generator: Annotated[str, GENERATOR]
    labels: Annotated[str, LABELS]
    out: Annotated[Path, OUT]
    objects: Annotated[
        Path | None,
        Parameter(
            "Folder of PNGs with the objects' numbers, called like the images.",
            place=True,
            default="connected regions of the masks",
        ),
    ] = None
    sigma: Annotated[float, Parameter("Standard deviation of the heatmap's peaks, in pixels.", more_than=0)] = 3.0
    ensemble: Ensemble = field(default_factory=Ensemble)
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
