"""What somebody asks for: pairs in another style, and the network that gives it to them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from labelfactory.errors import InputError
from labelfactory.factory.fields import DEVICE, PRECISION
from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.factory.restyle.methods import CHOICES, TOLD, TRAINED
from labelfactory.factory.translation.settings import SIZE, LearningSettings

WEIGHTS = Parameter("File of VGG16's weights with torchvision's names (.pth or .safetensors).", place=True)
STYLE = Parameter("Folder or zip of style pictures.", place=True)
REPAIRS = {"warp": "the mask is bent towards the picture's edges", "none": "masks stay as they are"}


@dataclass(frozen=True)
class RestyleOrder:
    """Labelled pairs whose pictures get another style."""

    pairs: Annotated[str, Parameter("Store, or folder or zip with images/ and masks/.", place=True)]
    method: Annotated[str, Parameter("Method.", choices=TOLD)]
    out: Annotated[
        str,
        Parameter("Path or URL of the store; an unfinished or smaller one is continued.", place=True, writes="folder"),
    ]
    style: Annotated[Path | None, STYLE] = None
    model: Annotated[
        Path | None, Parameter("File that train-restyler (cyclegan: train-synthesis) wrote.", place=True)
    ] = None
    perceptual_weights: Annotated[Path | None, WEIGHTS] = None
    strength: Annotated[
        float, Parameter("Strength: 0 leaves the picture as it is, 1 is the whole style.", at_least=0, at_most=1)
    ] = 1.0
    choice: Annotated[str, Parameter("Choice of each pair's style picture.", choices=CHOICES)] = "random"
    count: Annotated[
        int | None,
        Parameter("Number of pairs; beyond the given ones each gets a further style.", at_least=1, default="each once"),
    ] = None
    seed: Annotated[
        int, Parameter("Seed of the data set, which the random choice follows.", at_least=0, at_most=2**63 - 1)
    ] = 0
    size: Annotated[str | None, SIZE] = None
    iterations: Annotated[int, Parameter("Iterations of optimise.", at_least=1, at_most=5000)] = 200
    repair: Annotated[str, Parameter("Repair of masks that no longer fit.", choices=REPAIRS)] = "warp"
    restorer: Annotated[
        Path | None,
        Parameter("File that train-restorer --image wrote, for masks that warping does not repair.", place=True),
    ] = None
    max_drift: Annotated[
        float,
        Parameter("Drift in pixels beyond which a repaired pair is marked and not kept.", more_than=0, at_most=64),
    ] = 2.0
    precision: Annotated[str, PRECISION] = "auto"
    shard_size: Annotated[int | None, Parameter("Samples in a shard.", at_least=1, default="about 50 MB")] = None
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.method == "cyclegan") == (self.style is not None):
            told = "makes the kind of pictures that it has learned: leave style out"
            raise InputError(f"{self.method} {told if self.style else 'needs style pictures: name them by style'}")
        if (self.method == "optimise") == (self.model is not None):
            told = "needs no model: leave it out" if self.model else "needs a model: name it by model"
            raise InputError(f"{self.method} {told}")
        if self.method == "optimise" and self.perceptual_weights is None:
            raise InputError("optimise needs VGG16's weights: name them by perceptual-weights")
        if self.choice == "nearest" and self.method in ("perceptual",) and self.perceptual_weights is None:
            raise InputError("choice nearest compares VGG16's features: name its weights by perceptual-weights")


@dataclass(frozen=True)
class RestylerOrder:
    """A network that gives pictures another style."""

    pictures: Annotated[tuple[str, ...], Parameter("Pictures to restyle (folder, zip, store); repeatable.", place=True)]
    style: Annotated[Path, STYLE]
    perceptual_weights: Annotated[Path, WEIGHTS]
    out: Annotated[Path, Parameter("File to write (.safetensors).", place=True, writes="file")]
    method: Annotated[str, Parameter("Method.", choices=TRAINED)] = "adain"
    options: Annotated[
        dict[str, Any],
        Parameter("Option of the method, like width=0.5; repeatable.", option="option", form="NAME=VALUE"),
    ] = field(default_factory=dict)
    size: Annotated[str | None, SIZE] = None
    settings: LearningSettings = field(default_factory=lambda: LearningSettings(kimg=40.0))
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.pictures:
            raise InputError("nothing to restyle: name a folder, zip or store of pictures")
