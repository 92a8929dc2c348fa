"""What somebody asks for on the way from pictures to labels: images to label, inversion of photographs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from labelfactory.errors import InputError
from labelfactory.factory.amplify import TOLD
from labelfactory.factory.fields import CLASSES, CROP, DEVICE, GENERATOR, TRUNCATION
from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.interpreters.formats.table import FORMATS

STRATEGIES = {"random": "", "kmeans": "diverse", "uncertain": "where an interpreter is unsure"}
LIGHTS = {"none": "", "one": "darker or in more contrast, taking turns", "all": "three times as many"}
NEW_SET = Parameter("Folder of the new label set.", place=True, writes="new folder")


@dataclass(frozen=True)
class SampleOrder:
    """Images for a person to label, as a label set to fill in."""

    generator: Annotated[str, GENERATOR]
    out: Annotated[Path, NEW_SET]
    count: Annotated[int, Parameter("Number of images to label.", at_least=1)] = 16
    strategy: Annotated[str, Parameter("Way to choose them.", choices=STRATEGIES)] = "kmeans"
    classes: Annotated[str, CLASSES] = ""
    candidates: Annotated[int, Parameter("Number of images to choose from.", at_least=1)] = 512
    interpreter: Annotated[Path | None, Parameter("Trained interpreter, for strategy uncertain.", place=True)] = None
    labels: Annotated[str | None, Parameter("Label set to extend; its samples and classes are kept.", place=True)] = (
        None
    )
    seed: Annotated[
        int, Parameter("Seed of the choice; another seed gives other images.", at_least=0, at_most=2**63 - 1)
    ] = 0
    crop: Annotated[str | None, CROP] = None
    truncation: Annotated[float | None, TRUNCATION] = None
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.strategy != "random" and self.candidates < self.count:
            raise InputError(f"{self.candidates} candidates for {self.count} images: expected as many or more")


@dataclass(frozen=True)
class InversionSettings:
    """How to invert; the fidelity of what is found is always measured in float32."""

    steps: Annotated[int, Parameter("Optimisation steps an image, at most.", at_least=0)] = 200
    learning_rate: Annotated[float, Parameter("Learning rate of Adam, in standard deviations of w.", more_than=0)] = 0.1
    patience: Annotated[int, Parameter("Steps without 1 % less loss before an image counts as done.", at_least=1)] = 40
    perceptual: Annotated[
        float,
        Parameter(
            "Weight of the discriminator's features, where the generator's file has one; 0: pixels alone.", at_least=0
        ),
    ] = 0.1
    prior: Annotated[
        float,
        Parameter("Weight of staying where random latents are (mean square of w in standard deviations).", at_least=0),
    ] = 1e-3
    spread: Annotated[
        float, Parameter("Weight of the layers' styles staying alike, as those of random latents are.", at_least=0)
    ] = 1e-3
    batch: Annotated[int, Parameter("Images at a time.", at_least=1)] = 16
    precision: Annotated[
        str,
        Parameter(
            "Precision of convolutions.",
            choices={"auto": "bfloat16 where the device is faster in it", "bfloat16": "", "float32": ""},
            spellings={"bf16": "bfloat16", "fp32": "float32"},
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class InversionOrder:
    """Photographs, with their masks, as a label set of the generator's latents."""

    generator: Annotated[str, GENERATOR]
    images: Annotated[
        Path, Parameter("Folder of pictures of the generator's size; or a label set, to amplify it.", place=True)
    ]
    out: Annotated[Path, NEW_SET]
    masks: Annotated[Path | None, Parameter("Labels of the pictures, in any format of import-labels.", place=True)] = (
        None
    )
    format: Annotated[str, Parameter("Format of the masks.", choices=("auto", *FORMATS))] = "auto"
    classes: Annotated[str, CLASSES] = ""
    amplify: Annotated[str, Parameter("Views of each picture that are labelled too.", choices=TOLD)] = "none"
    light: Annotated[str, Parameter("Light of the views.", choices=LIGHTS)] = "none"
    min_fidelity: Annotated[
        float,
        Parameter(
            "Fidelity below which images are left out: the share of their variance that is explained.", at_most=1
        ),
    ] = 0.8
    keep_poor: Annotated[bool, Parameter("Poor images are kept all the same.")] = False
    settings: InversionSettings = field(default_factory=InversionSettings)
    encoder_steps: Annotated[
        int, Parameter("Steps of training of the encoder that makes the first guess; 0: none.", at_least=0)
    ] = 400
    crop: Annotated[str | None, CROP] = None
    truncation: Annotated[float | None, TRUNCATION] = None
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def scratch(self) -> Path:
        """Folder of finished latents, until the label set is written."""
        return self.out.with_name(f".{self.out.name}.latents")
