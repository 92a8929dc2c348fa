"""What an interpreter says about a batch of images."""

from dataclasses import dataclass

from torch import Tensor

from labelfactory.interpreters.array_types import Float, UInt8


@dataclass(frozen=True)
class Prediction:
    """Labels of a batch.

    mask: class ids. uncertainty: Jensen-Shannon divergence of the members per pixel, in nats, rounded to float16.
    score: mean uncertainty of the image's top 10 % of pixels, in nats; lower means more certain.
    """

    mask: UInt8[Tensor, "batch height width"]
    uncertainty: Float[Tensor, "batch height width"]
    score: Float[Tensor, "batch"]
