"""What somebody asks for: pictures labelled by segmenters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelfactory.errors import InputError
from labelfactory.factory.fields import DEVICE, PRECISION
from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.factory.translation.settings import SIZE


@dataclass(frozen=True)
class PseudoLabelOrder:
    """Pairs of pictures and what segmenters say of them."""

    segmenter: Annotated[
        tuple[Path, ...],
        Parameter("File that train-segmenter wrote; repeatable: several agree on a label.", place=True),
    ]
    images: Annotated[str, Parameter("Pictures (folder, zip, store).", place=True)]
    out: Annotated[
        str, Parameter("Path or URL of the store; an unfinished one is continued.", place=True, writes="folder")
    ]
    share: Annotated[
        float,
        Parameter("Share of each class's pixels, the surest ones, that are labelled.", more_than=0, at_most=1),
    ] = 1.0
    keep: Annotated[
        float, Parameter("Share of the pictures, the surest ones, that readers keep.", more_than=0, at_most=1)
    ] = 1.0
    size: Annotated[str | None, SIZE] = None
    tile: Annotated[int, Parameter("Side of the tiles that larger pictures are cut into, in pixels.", at_least=1)] = 512
    precision: Annotated[str, PRECISION] = "auto"
    shard_size: Annotated[int | None, Parameter("Samples in a shard.", at_least=1, default="about 50 MB")] = None
    device: Annotated[str, DEVICE] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.segmenter:
            raise InputError("nothing labels the pictures: name a segmenter")
