"""What a person gets to work on in a labelling tool: pictures, and labels to start from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.labelset import LabelSet


@dataclass(frozen=True)
class Work:
    """A label set for a tool.

    Attributes:
        labels: pictures, key points and values.
        masks: by sample name, to start from: those of the set, or what an interpreter says. Others have none.
        model_version, scores: what made the masks and how uncertain it was of each sample, where a tool shows that.
        url_prefix: address that a browser finds the set's images under; None puts them into what is written.
    """

    labels: LabelSet
    masks: Mapping[str, UInt8[np.ndarray, "height width"]]
    model_version: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    url_prefix: str | None = None


def picture(image: UInt8[np.ndarray, "height width channels"]) -> Image.Image:
    """The image of a sample, as it is saved."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
