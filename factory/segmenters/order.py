"""What somebody asks for when a segmenter is to be trained, used or judged."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from labelfactory.errors import InputError
from labelfactory.factory.fields import BACKBONE_WEIGHTS, DEVICE, NETWORK_OPTIONS, PRECISION
from labelfactory.factory.heads.table import HEADS
from labelfactory.factory.pairs.augmentation import PRESETS
from labelfactory.factory.parameter import Parameter, Part, Wishes, check_fields
from labelfactory.factory.production.order import MAX_SEED, NOWHERE, Order
from labelfactory.factory.segmenters.architectures import SEGMENTERS
from labelfactory.factory.segmenters.settings import MeanTeacherConfig, TrainingConfig
from labelfactory.factory.segmenters.tasks import TASKS

# What generate takes and live pairs have no use for, or another parameter says.
NOT_LIVE = (
    *("out", "count", "seed", "shard_size", "device", "precision", "instances", "packing", "crop"),
    *("walk", "walk_degrees", *HEADS),
)
CLASS_WEIGHTS = ("none", "median-frequency")
MAX_TEACHERS = 8  # one for each of the square's symmetries
SEGMENTER = Parameter("File that train-segmenter wrote.", place=True)
TILE = Parameter("Side of the tiles that larger pictures are cut into, in pixels.", at_least=1)


@dataclass(frozen=True)
class SegmenterOrder:
    """What to train and on what. Several sources of pairs are joined."""

    pairs: Annotated[
        tuple[str, ...],
        Parameter(
            "Store, or folder or zip with images/ and masks/; repeatable.", place=True, default="live pairs alone"
        ),
    ] = ()
    out: Annotated[Path, Parameter("File to write (.safetensors).", place=True, writes="file")] = field(kw_only=True)
    live: Annotated[
        int | None,
        Parameter(
            "Live: number of pairs to learn from that are made when they are needed and stored nowhere, those of "
            "`generate --count`; needs a generator.",
            at_least=1,
            default="none",
        ),
    ] = None
    live_seed: Annotated[
        int, Parameter("Seed of the live pairs; another seed gives other pairs.", at_least=0, at_most=MAX_SEED)
    ] = 0
    made: Annotated[dict[str, Any], Wishes(Order, NOT_LIVE, "as in generate")] = field(default_factory=dict)
    task: Annotated[str, Parameter("Task.", choices={name: task.help for name, task in TASKS.items()})] = "semantic"
    architecture: Annotated[str, Parameter("Network.", choices=tuple(SEGMENTERS))] = "unet-small"
    options: Annotated[dict[str, Any], NETWORK_OPTIONS] = field(default_factory=dict)
    backbone_weights: Annotated[Path | None, BACKBONE_WEIGHTS] = None
    start: Annotated[
        Path | None,
        Parameter(
            "File of a trained or pretrained network of the same architecture to begin with; a head for other classes "
            "begins anew.",
            place=True,
            option="from",
            default="random weights",
        ),
    ] = None
    freeze: Annotated[
        str | None,
        Parameter(
            "Stages of the backbone, from the picture on, that stay as they are.",
            pattern=r"backbone:\d{1,3}",
            form="backbone:N, like backbone:4",
            default="none",
        ),
    ] = None
    validation: Annotated[
        str | None, Parameter("Labelled folder, zip or store to choose the best weights on.", place=True)
    ] = None
    training: TrainingConfig = field(default_factory=TrainingConfig)
    class_weights: Annotated[str, Parameter("Weights of the classes in the loss.", choices=CLASS_WEIGHTS)] = "none"
    border: Annotated[bool, Parameter("U-Net's weight map: gaps between objects count more.")] = False
    augmentation: Annotated[
        str | None,
        Parameter("Variations of the pictures.", choices=tuple(PRESETS), default="dihedral; for key points upright"),
    ] = None
    sensor: Annotated[
        Path | None,
        Parameter(
            "File that measure-sensor wrote: generated pictures get grain, blur, light, colours and JPEG of real ones.",
            place=True,
            default="none",
        ),
    ] = None
    uncertainty_temperature: Annotated[
        float | None,
        Parameter(
            "Temperature, in nats: pixels of a store weigh exp(-uncertainty / temperature).",
            more_than=0,
            default="all alike",
        ),
    ] = None
    keep: Annotated[bool, Parameter("Keep to the pairs that the store's uncertainty filter keeps.")] = True
    exclude: Annotated[
        Path | None, Parameter("List of pairs to leave out: suspects.json of `factory audit`.", place=True)
    ] = None
    limit: Annotated[
        int | None, Parameter("Number of pairs to use of each store, from its first on.", at_least=1, default="all")
    ] = None
    like: Annotated[
        str | None,
        Parameter(
            "Store, folder or zip of real pictures with masks (people's, or those of pseudo-label): the stores' pairs "
            "are seen in numbers such that classes, sizes and touching objects are as there.",
            place=True,
            default="all alike",
        ),
    ] = None
    rare: Annotated[
        float | None,
        Parameter(
            "Share of a store's pairs below which a class is rare: pairs that show it are repeated.",
            more_than=0,
            at_most=1,
            default="none",
        ),
    ] = None
    balance: Annotated[bool, Parameter("Balance: smaller sources are repeated until each is seen about equally.")] = (
        False
    )
    unlabelled: Annotated[
        tuple[str, ...],
        Parameter(
            "Pictures (folder, zip, store) to learn from without labels: mean teacher; repeatable.",
            place=True,
        ),
    ] = ()
    mean_teacher: MeanTeacherConfig = field(default_factory=MeanTeacherConfig)
    rounds: Annotated[
        int, Parameter("Rounds; after each but the last the segmenter labels the stores anew.", at_least=1)
    ] = 1
    teachers: Annotated[
        int,
        Parameter("Segmenters that label the stores together in those rounds.", at_least=1, at_most=MAX_TEACHERS),
    ] = 1
    self_training: Annotated[
        bool, Parameter("Self-training: the unlabelled pictures get labels too, for the last round.")
    ] = False
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        wished = [name for name, value in self.made.items() if value not in (None, (), [])]
        if self.live is None and wished:
            raise InputError(f"{wished[0]} is of pairs that are made while training: say how many with live")
        if self.live is not None and "generator" not in wished:
            raise InputError("live: pairs are made by a generator; name it")
        if self.live is not None:
            self.live_order()  # what is missing or out of range is said before anything is opened

    def live_order(self) -> Order | None:
        """The live pairs as ``generate`` would be asked for them; None where there are none."""
        if self.live is None:
            return None
        made: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in self.made.items()}
        return Order(out=NOWHERE, count=self.live, seed=self.live_seed, device=self.device, **made)


@dataclass(frozen=True)
class PredictionOrder:
    """Masks for pictures: of any size by a segmenter, of a generator's size by an interpreter on its features."""

    images: Annotated[Path, Parameter("Picture, or a folder or zip of pictures.", place=True)]
    out: Annotated[
        Path, Parameter("Folder for masks/, instances/ or found/ and overlays/.", place=True, writes="folder")
    ]
    segmenter: Annotated[Path | None, SEGMENTER] = None
    interpreter: Annotated[
        Path | None, Parameter("Trained interpreter, in place of a segmenter; needs the generator.", place=True)
    ] = None
    generator: Annotated[
        str | None,
        Parameter(
            "Generator of the interpreter; one that does not look at photographs makes them again (seconds each).",
            place=True,
        ),
    ] = None
    overlays: Annotated[bool, Parameter("Overlays: the classes drawn over the pictures.")] = True
    overview: Annotated[bool, Parameter("Overview: contact_sheet.png and report.json of all pictures.")] = True
    tile: Annotated[int, TILE] = 512
    precision: Annotated[str, PRECISION] = "auto"
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.segmenter is None) == (self.interpreter is None):
            raise InputError("give either a segmenter or an interpreter, not both and not neither")
        if self.interpreter is not None and self.generator is None:
            raise InputError("generator: an interpreter reads the features of one; name it")


@dataclass(frozen=True)
class HumanLabels:
    """What people labelled: what segmenters are judged by."""

    images: Annotated[
        Path, Parameter("Folder or zip with images/ and masks/ that people labelled (or of images alone).", place=True)
    ]
    masks: Annotated[
        Path | None, Parameter("Folder or zip of the masks.", place=True, default="those beside the images")
    ] = None
    map_values: Annotated[
        str | None,
        Parameter(
            "Mask values to classes, like 0:0,1:1,2-254:2; other values do not count.",
            option="map",
            default="values are classes",
        ),
    ] = None
    numbered: Annotated[bool, Parameter("Numbered masks: every value is one object (needs a map of values).")] = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class EvaluationOrder:
    """A segmenter's scores on what people labelled, as a report in a folder."""

    segmenter: Annotated[Path, SEGMENTER]
    labels: HumanLabels
    out: Annotated[Path, Parameter("Folder for report.html, report.json and pictures.", place=True, writes="folder")]
    tile: Annotated[int, TILE] = 512
    precision: Annotated[str, PRECISION] = "auto"
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TrialOrder:
    """A data set put to the test: a segmenter is trained on it and scored on what people labelled."""

    learning: Annotated[SegmenterOrder, Part({"out": Path("segmenter.safetensors")})]
    labels: HumanLabels
    out: Annotated[Path, Parameter("Folder for the segmenter and its report.", place=True, writes="folder")]
    tile: Annotated[int, TILE] = 512

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def training(self) -> SegmenterOrder:
        """The first half: the segmenter into the folder."""
        return replace(self.learning, out=self.out / self.learning.out)

    @property
    def evaluation(self) -> EvaluationOrder:
        """The second half: that segmenter's scores."""
        precision, device = self.learning.training.precision, self.learning.device
        return EvaluationOrder(self.training.out, self.labels, self.out, self.tile, precision, device)


@dataclass(frozen=True)
class ModelExportOrder:
    """A trained network for other runtimes."""

    model: Annotated[Path, Parameter(SEGMENTER.help, place=True, positional=True)]
    out: Annotated[Path, Parameter("File to write (.onnx).", place=True, writes="file")]
    size: Annotated[int, Parameter("Side of the pictures that it takes, in pixels.", at_least=8)] = 256

    def __post_init__(self) -> None:
        check_fields(self)
