"""What somebody asks for when a generator is to be trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from labelfactory.factory.parameter import Parameter, Wishes, check_fields
from labelfactory.factory.training.trained import PRESETS, RECIPES, TRAINED

SNAPSHOT = "snapshot.pt"
DATA = Parameter("Folder, zip or URL of images (PNG, JPEG, BMP, TIFF, WebP, GIF).", place=True)


@dataclass(frozen=True)
class GeneratorOrder:
    """A generator of somebody's images. ``wishes`` change single numbers of the preset."""

    data: Annotated[str, DATA]
    out: Annotated[
        Path, Parameter("Folder of the run; a run that was stopped there goes on.", place=True, writes="folder")
    ]
    family: Annotated[
        str,
        Parameter("Family of the generator.", choices={name: trained.told for name, trained in TRAINED.items()}),
    ] = "stylegan2"
    preset: Annotated[
        str,
        Parameter("Preset of all numbers.", choices=PRESETS),
    ] = "auto"
    kimg: Annotated[
        float | None, Parameter("Thousand images to train for in all.", more_than=0, default="the preset's")
    ] = None
    resume: Annotated[
        str | None,
        Parameter(
            "Snapshot to go on from (snapshot.pt), or checkpoint to start from (.pkl, .safetensors, folder).",
            place=True,
        ),
    ] = None
    resolution: Annotated[
        int | None, Parameter("Pixels a side, a power of two.", at_least=8, default="as the images allow")
    ] = None
    fit: Annotated[
        str,
        Parameter(
            "Fit of images that are not square.",
            choices={"crop": "centre square", "pad": "whole image in a black square"},
        ),
    ] = "crop"
    channels: Annotated[
        int | None,
        Parameter("Channels: 1 grey, 3 colour.", at_least=1, at_most=3, default="as the images are"),
    ] = None
    conditional: Annotated[bool, Parameter("Conditional: trained on the class labels of dataset.json.")] = False
    wishes: Annotated[
        Mapping[str, Any], Wishes(RECIPES, without=("precision",), default="the preset's or the snapshot's")
    ] = field(default_factory=dict)
    micro: Annotated[
        int, Parameter("Parts that each process's batch is split into, where memory is short.", at_least=1)
    ] = 1
    precision: Annotated[
        str,
        Parameter(
            "Precision.",
            choices={"auto": "what the device is fastest in", "float32": "", "bfloat16": "", "float16": ""},
        ),
    ] = "auto"
    snapshot_minutes: Annotated[float, Parameter("Minutes between two snapshots.", at_least=0)] = 5.0
    keep_kimg: Annotated[
        float | None,
        Parameter("Thousand images between two generators that are kept.", more_than=0, default="only the last"),
    ] = None
    compiled: Annotated[
        bool, Parameter("Compilation of the networks first (minutes); measure whether it pays.", option="compile")
    ] = False
    device: Annotated[
        str,
        Parameter("Device.", choices={"auto": "", "cpu": "", "cuda": "several GPUs: start with torchrun"}),
    ] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        TRAINED[self.family].check(self.family, self.preset, self.wishes)
