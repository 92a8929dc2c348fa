"""What somebody asks the factory for. Command line, deployed flow and plan take their parameters from these fields."""

import re
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Any, get_origin, get_type_hints

from labelfactory.errors import InputError

MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class Parameter:
    """What a person needs to know of a field, and what its value may be.

    place    a path, URL or ``builtin:NAME``: a deployed run may only use those that its operator allows
    pattern  what the whole text has to match
    """

    help: str
    at_least: int | float | None = None
    at_most: int | float | None = None
    pattern: str | None = None
    place: bool = False

    def check(self, name: str, value: Any) -> None:
        """InputError for a value out of range; None always passes."""
        if value is None:
            return
        low, high = self.at_least, self.at_most
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            expected = f"{low} or more" if high is None else f"{low} to {high}"
            raise InputError(f"{name} is {value}: expected {expected}")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise InputError(f"{name} is {value}: expected {self.help}")
        if self.place and not value:
            raise InputError(f"{name} is empty: expected a path or URL")


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
        for name, (_, _, parameter) in parameters().items():
            parameter.check(name, getattr(self, name))
        if (self.interpreter is None) == (self.labels is None):
            raise InputError("give either an interpreter file or a label set, not both and not neither")


@cache
def parameters() -> dict[str, tuple[Any, Any, Parameter]]:
    """Fields that a person may give: name to type, default (or dataclasses.MISSING) and what is said of it."""
    hints = get_type_hints(Order, include_extras=True)
    described = [(entry, hints[entry.name]) for entry in fields(Order) if get_origin(hints[entry.name]) is Annotated]
    return {entry.name: (hint.__origin__, entry.default, hint.__metadata__[0]) for entry, hint in described}
