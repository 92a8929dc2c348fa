"""What somebody asks for between masks and pictures: a synthesis model, pairs of it, a restorer, restored masks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from labelfactory.errors import InputError
from labelfactory.factory.fields import DEVICE, PRECISION
from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.factory.translation.methods import TOLD, UNPAIRED
from labelfactory.factory.translation.settings import PERCEPTUAL_WEIGHTS, SIZE, LearningSettings

SYNTHESIS = Parameter("File that train-synthesis wrote.", place=True)


@dataclass(frozen=True)
class SynthesisOrder:
    """A model that makes pictures: from masks, or from pictures of another kind."""

    pairs: Annotated[
        tuple[str, ...],
        Parameter("Store, or folder or zip with images/ and masks/ (cyclegan: of pictures); repeatable.", place=True),
    ]
    out: Annotated[Path, Parameter("File to write (.safetensors).", place=True, writes="file")]
    method: Annotated[str, Parameter("Method.", choices=TOLD)] = "spade"
    pictures: Annotated[
        str | None, Parameter("Pictures of the other kind (folder, zip, store), for cyclegan.", place=True)
    ] = None
    options: Annotated[
        dict[str, Any],
        Parameter("Option of the method, like width=16; repeatable.", option="option", form="NAME=VALUE"),
    ] = field(default_factory=dict)
    size: Annotated[str | None, SIZE] = None
    edges: Annotated[bool, Parameter("Edges of the objects' numbers (instances) as a further input.")] = False
    perceptual_weights: Annotated[Path | None, PERCEPTUAL_WEIGHTS] = None
    settings: LearningSettings = field(default_factory=LearningSettings)
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.pairs:
            raise InputError("nothing to train on: name a store, or a folder with images/ and masks/")
        if (self.method in UNPAIRED) != (self.pictures is not None):
            wanted = "needs pictures of the other kind: name them by pictures"
            told = wanted if self.pictures is None else "takes pairs alone: leave pictures out"
            raise InputError(f"{self.method} {told}")


@dataclass(frozen=True)
class RestorerOrder:
    """A network that completes masks, taught by a frozen synthesis model."""

    pairs: Annotated[
        tuple[str, ...], Parameter("Store, or folder or zip with images/ and masks/; repeatable.", place=True)
    ]
    degrade: Annotated[
        str,
        Parameter(
            "Way in which masks are incomplete.",
            pattern=r"sparse|coarse|scribble|downsample:\d{1,3}",
            form="sparse, coarse, scribble or downsample:N, like downsample:8",
        ),
    ]
    out: Annotated[Path, Parameter("File to write (.safetensors).", place=True, writes="file")]
    synthesis: Annotated[
        Path | None,
        Parameter(
            "File that train-synthesis wrote; it stays as it is.", place=True, default="none: the loss is ce alone"
        ),
    ] = None
    losses: Annotated[
        str | None,
        Parameter(
            "Losses, separated by commas: ce of masks; vgg and l1 of pictures synthesised from them.",
            pattern=r"(ce|vgg|l1)(,(ce|vgg|l1))*",
            form="ce, vgg, l1 or several, like ce,l1",
            default="all of them; without a synthesis model ce",
        ),
    ] = None
    image: Annotated[bool, Parameter("Image: the restorer sees the picture beside the mask.")] = False
    options: Annotated[
        dict[str, Any],
        Parameter("Option of the restorer, like width=32; repeatable.", option="option", form="NAME=VALUE"),
    ] = field(default_factory=dict)
    validation: Annotated[
        str | None,
        Parameter("Labelled folder, zip or store to calibrate on.", place=True, default="one pair in twelve"),
    ] = None
    size: Annotated[str | None, SIZE] = None
    perceptual_weights: Annotated[Path | None, PERCEPTUAL_WEIGHTS] = None
    settings: LearningSettings = field(default_factory=lambda: LearningSettings(kimg=40.0))
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.pairs:
            raise InputError("nothing to train on: name a store, or a folder with images/ and masks/")
        if self.synthesis is None and set(self.chosen) != {"ce"}:
            raise InputError(f"losses {','.join(self.chosen)}: vgg and l1 need a synthesis model; name it, or take ce")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The losses, each once."""
        if self.losses is None:
            return ("ce",) if self.synthesis is None else ("ce", "vgg", "l1")
        return tuple(dict.fromkeys(self.losses.split(",")))


@dataclass(frozen=True)
class RestoringOrder:
    """Incomplete masks, completed."""

    model: Annotated[Path, Parameter("File that train-restorer wrote.", place=True)]
    masks: Annotated[Path, Parameter("Folder or zip of incomplete masks, 255 where nothing is labelled.", place=True)]
    out: Annotated[Path, Parameter("Folder for masks/, uncertainty/ and overlays/.", place=True, writes="folder")]
    images: Annotated[
        Path | None,
        Parameter("Folder or zip of the pictures, called like the masks, for a restorer that sees them.", place=True),
    ] = None
    tile: Annotated[int, Parameter("Side of the tiles that larger masks are cut into, in pixels.", at_least=1)] = 512
    precision: Annotated[str, PRECISION] = "auto"
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
