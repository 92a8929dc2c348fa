"""Everything that decides how a segmenter is trained, besides the network and the pairs."""

from dataclasses import dataclass
from typing import Annotated

from labelfactory.factory.fields import PRECISION
from labelfactory.factory.pairs.augmentation import DIHEDRAL, Augmentation
from labelfactory.factory.parameter import Parameter, check_fields

LOSSES = {"ce": "cross-entropy", "dice": "soft Dice", "ce+dice": "their sum"}


@dataclass(frozen=True)
class TrainingConfig:
    """How the weights are found. ``InputError`` where a number is out of range.

    class_weights  how much the pixels of each class count in the loss; None: all alike
    average        what is evaluated and returned are these averaged weights
    """

    steps: Annotated[int, Parameter("Training steps.", at_least=1)] = 2000
    batch_size: Annotated[int, Parameter("Images in a step.", at_least=1)] = 32
    learning_rate: Annotated[float, Parameter("Peak learning rate of AdamW.", at_least=0)] = 2e-3
    weight_decay: Annotated[float, Parameter("Weight decay of AdamW.", at_least=0)] = 0.05
    warmup: Annotated[
        float,
        Parameter("Fraction of the steps with a rising rate, before it falls to zero.", at_least=0, at_most=1),
    ] = 0.05
    loss: Annotated[str, Parameter("Loss.", choices=LOSSES)] = "ce"
    class_weights: tuple[float, ...] | None = None
    augmentation: Augmentation = DIHEDRAL
    crop: Annotated[
        int | None, Parameter("Side of random squares to train on, in pixels.", at_least=1, default="whole pictures")
    ] = None
    average: Annotated[
        float, Parameter("Decay of the weights' moving average, below 1.", at_least=0, at_most=1 - 1e-9)
    ] = 0.998
    precision: Annotated[str, PRECISION] = "auto"
    seed: Annotated[
        int, Parameter("Seed of the weights, the order and the augmentation.", at_least=0, at_most=2**63 - 1)
    ] = 0
    validate_every: Annotated[int, Parameter("Steps between validations, and between checkpoints.", at_least=1)] = 250
    patience: Annotated[
        int | None, Parameter("Validations without a better mIoU until training stops.", at_least=1, default="no stop")
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class MeanTeacherConfig:
    """How the unlabelled images count; ``batch_size`` of them a step."""

    consistency: Annotated[
        float, Parameter("Weight of the unlabelled pictures: the largest that their loss gets.", at_least=0)
    ] = 5.0
    ramp: Annotated[float, Parameter("Fraction of the steps over which that weight rises.", at_least=0, at_most=1)] = (
        0.4
    )
    batch_size: int = 32

    def __post_init__(self) -> None:
        check_fields(self)
        Parameter("Unlabelled images in a step.", at_least=1).check("unlabelled batch_size", self.batch_size)
