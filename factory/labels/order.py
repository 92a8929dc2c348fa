"""What somebody asks for on the way from pictures to labels: images to label, imports, inversion of photographs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from labelfactory.errors import InputError
from labelfactory.factory.amplify import TOLD
from labelfactory.factory.fields import CLASSES, CONDITIONS, CROP, DEVICE, GENERATOR, LABELS, PRECISION, TRUNCATION
from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.interpreters.formats.table import FORMATS, WRITERS

STRATEGIES = {"random": "", "kmeans": "diverse", "uncertain": "where an interpreter is unsure"}
LIGHTS = {"none": "", "one": "darker or in more contrast, taking turns", "all": "three times as many"}
NEW_SET = Parameter("Folder of the new label set.", place=True, writes="new folder")
MIN_FIDELITY = 0.8  # share of a photograph's variance that the generator's picture of it explains


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
    conditions: Annotated[tuple[int, ...], CONDITIONS] = ()
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
            spellings=PRECISION.spellings,
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
    ] = MIN_FIDELITY
    keep_poor: Annotated[bool, Parameter("Poor images are kept all the same.")] = False
    settings: InversionSettings = field(default_factory=InversionSettings)
    encoder_steps: Annotated[
        int, Parameter("Steps of training of the encoder that makes the first guess; 0: none.", at_least=0)
    ] = 400
    conditions: Annotated[tuple[int, ...], CONDITIONS] = ()
    crop: Annotated[str | None, CROP] = None
    truncation: Annotated[float | None, TRUNCATION] = None
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def scratch(self) -> Path:
        """Folder of finished latents, until the label set is written."""
        return self.out.with_name(f".{self.out.name}.latents")


@dataclass(frozen=True)
class LabellingOrder:
    """A label set to draw in; made where there is none."""

    labels: Annotated[Path, Parameter("Folder of the label set; a new one is made.", place=True, positional=True)]
    generator: Annotated[
        str | None,
        Parameter("Generator: builtin:NAME, or a path or URL of it.", place=True, default="the label set's"),
    ] = None
    classes: Annotated[str, CLASSES] = ""
    count: Annotated[int, Parameter("Number of images of a new label set.", at_least=1)] = 16
    interpreter: Annotated[
        Path | None, Parameter("Interpreter to go on from: it proposes before the first stroke.", place=True)
    ] = None
    restorer: Annotated[
        Path | None,
        Parameter("Restorer (of train-restorer) that proposes, in place of an interpreter that learns.", place=True),
    ] = None
    images: Annotated[
        Path | None,
        Parameter("Folder of photographs of the generator's size: inverted meanwhile, they join.", place=True),
    ] = None
    port: Annotated[
        int, Parameter("Port of the page on this machine; 0: any that is free.", at_least=0, at_most=65535)
    ] = 0
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ExportLabelsOrder:
    """A label set for a labelling tool, with masks to start from."""

    labels: Annotated[str, LABELS]
    out: Annotated[Path, Parameter("Folder to write, a new one.", place=True, writes="new folder")]
    format: Annotated[str, Parameter("Tool to write for.", choices=tuple(WRITERS))] = "label-studio"
    interpreter: Annotated[
        Path | None, Parameter("Interpreter whose masks are put where nobody has labelled yet.", place=True)
    ] = None
    generator: Annotated[
        str | None,
        Parameter("Generator: builtin:NAME, or a path or URL of it.", place=True, default="the label set's"),
    ] = None
    url_prefix: Annotated[
        str | None,
        Parameter("Address of the images' folder, for Label Studio.", default="pictures inside the tasks"),
    ] = None
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Imported:
    """Labels that are read into a label set: which set, and where the result goes."""

    labels: Annotated[Path, Parameter("Label set that the images came from.", place=True)]
    out: Annotated[
        Path | None,
        Parameter("New label set to write.", place=True, writes="new folder", default="the label set is updated"),
    ] = None
    skip_unmatched: Annotated[bool, Parameter("Labels of unknown images are left out.")] = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ImportOrder:
    """What a labelling tool wrote, into a label set."""

    target: Imported
    source: Annotated[Path, Parameter("File, folder or zip that the labelling tool wrote.", place=True)]
    format: Annotated[str, Parameter("Format of the labels.", choices=("auto", *FORMATS))] = "auto"
    mapping: Annotated[
        dict[str, str],
        Parameter(
            "Label and its class (or ignore), for names that differ; repeatable.", option="map", form="LABEL=CLASS"
        ),
    ] = field(default_factory=dict)
    unknown: Annotated[
        str,
        Parameter(
            "Labels without a class.",
            choices={"refuse": "", "ignore": "their pixels are not labelled", "add": "as new classes"},
        ),
    ] = "refuse"
    fill: Annotated[
        str | None, Parameter("Class (or ignore) of pixels that no shape covers.", default="the first class")
    ] = None
    drop_below: Annotated[
        int, Parameter("Size below which connected regions are not labelled, in pixels.", at_least=0)
    ] = 0
    empty: Annotated[
        str | None,
        Parameter(
            "Images in which nothing is drawn.",
            choices={"unlabelled": "", "background": "negative pictures"},
            default="unlabelled; those that the source merely lists keep their labels",
        ),
    ] = None
    restore: Annotated[
        Path | None,
        Parameter(
            "Restorer (of train-restorer) that completes drawings; what no shape covers is then not labelled.",
            place=True,
        ),
    ] = None
    device: Annotated[str, DEVICE] = "auto"
    preview: Annotated[
        Path | None,
        Parameter("Picture of the result.", place=True, writes="file", default="preview.png in the label set"),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ImportValuesOrder:
    """A number per pixel and channel, such as depth, into a label set."""

    target: Imported
    source: Annotated[
        Path, Parameter("Folder, zip or file of npy, 16-bit PNG or TIFF called like the images.", place=True)
    ]
    channel: Annotated[
        tuple[str, ...],
        Parameter("Channel: NAME, NAME:UNIT or NAME:UNIT:LOW:HIGH; repeatable. Without any, the label set's own."),
    ] = ()
    scale: Annotated[float, Parameter("Value of one step of the stored numbers.")] = 1.0
    offset: Annotated[float, Parameter("Value of a stored 0.")] = 0.0
    no_data: Annotated[
        float | None, Parameter("Number that means: not labelled (NaN always does).", default="NaN alone")
    ] = None
    valid: Annotated[
        Path | None, Parameter("Folder of 8-bit PNGs called like the images: not labelled where 0.", place=True)
    ] = None
    preview: Annotated[
        Path | None,
        Parameter("Picture of the result.", place=True, writes="file", default="values.png in the label set"),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)
