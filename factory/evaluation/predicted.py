"""What a model, of whatever kind, says of one image: all that the judges need to know of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from numpy import ndarray as Array

from labelfactory.interpreters.array_types import Float, Shaped, UInt8


@dataclass(frozen=True)
class Predicted:
    """One image's prediction.

    Attributes:
        mask: class ids.
        probabilities: of the classes, 0..1; the mean over an object is its score where ``scores`` says nothing.
        instances: object numbers from 1 (0: none) of a model that finds objects; the class of each is the commonest in
            ``mask``. None: objects are the connected parts of ``mask``.
        scores: how sure the model is of each number of ``instances``; higher is surer.
    """

    mask: UInt8[Array, "height width"]
    probabilities: Float[Array, "classes height width"] | None = None
    instances: Shaped[Array, "height width"] | None = None
    scores: Mapping[int, float] | None = None
