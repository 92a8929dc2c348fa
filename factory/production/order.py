"""What somebody asks the factory for. Command line, deployed flow and plan take their parameters from these fields."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter, parameters

MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class Order:
    """Pairs for the factory to make. InputError where a number is out of range or what belongs together is missing.

    A new field becomes a parameter everywhere by its ``Parameter``; one without is for callers from Python alone.
    """

    generator: Annotated[
        str, Parameter("builtin:NAME, or a path or URL of a checkpoint (.pkl, .safetensors).", place=True)
    ]
    out: Annotated[str, Parameter("Path or URL of the store; an unfinished or smaller one is continued.", place=True)]
    count: Annotated[int, Parameter("Number of pairs.", at_least=1)]
    interpreter: Annotated[str | None, Parameter("File of a trained interpreter; or else give labels.", place=True)] = (
        None
    )
    labels: Annotated[
        str | None,
        Parameter(
            "Label set (or builtin:NAME) to train one from; by default a bundled generator's own.",
            place=True,
        ),
    ] = None
    seed: Annotated[int, Parameter("Of the dataset: another seed, other pairs.", at_least=0, at_most=MAX_SEED)] = 0
    truncation: Annotated[
        float | None, Parameter("Psi, 0 to 2; by default the label set's, else 0.7.", at_least=0, at_most=2)
    ] = None
    shard_size: Annotated[int | None, Parameter("Samples in a shard; by default about 50 MB.", at_least=1)] = None
    device: Annotated[str, Parameter("auto, cpu, cuda or cuda:N.", pattern=r"auto|cpu|cuda(:\d+)?")] = "auto"
    precision: Annotated[
        str,
        Parameter(
            "Of the labels' products: float32, bfloat16, float16; auto: float32 on a CPU, float16 on a GPU.",
            pattern=r"auto|float32|bfloat16|float16",
        ),
    ] = "auto"
    storage_options: dict[str, Any] = field(default_factory=dict)
    instances: Annotated[
        bool,
        Parameter("Number the objects of thing classes (array instance); a class boundary keeps touching ones apart."),
    ] = False
    keypoints: Annotated[str | None, Parameter("File of train-keypoints, for an array of keypoints.", place=True)] = (
        None
    )
    values: Annotated[
        str | None, Parameter("File of train-interpreter --values, for arrays of continuous labels.", place=True)
    ] = None
    centres: Annotated[
        str | None, Parameter("File of train-centres: objects that touch are numbered apart.", place=True)
    ] = None
    crop: Annotated[
        str | None,
        Parameter(
            "Part of the pictures, top:bottom or top:bottom,left:right in pixels; by default the labels'.",
            pattern=r"\d+:\d+(,\d+:\d+)?",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.interpreter is None and self.labels is None and self.generator.startswith("builtin:"):
            object.__setattr__(self, "labels", self.generator)
        for name, (_, _, parameter) in parameters(Order).items():
            parameter.check(name, getattr(self, name))
        if (self.interpreter is None) == (self.labels is None):
            raise InputError("give either an interpreter file or a label set, not both and not neither")
