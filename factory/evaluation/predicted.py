"""What a model, of whatever kind, says of one image: all that the judges need to know of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from numpy import ndarray as Array

from labelfactory.interpreters.array_types import Float, Int, Shaped, UInt8


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image: x0, y0, x1, y1 in pixels, the class id of each, and how sure the model is (higher: surer)."""

    corners: Float[Array, "boxes 4"]
    classes: Int[Array, "boxes"]
    scores: Float[Array, "boxes"]


@dataclass(frozen=True)
class Predicted:
    """One image's prediction; what a model does not say is None.

    Attributes:
        mask: class ids.
        probabilities: of the classes, 0..1; the mean over an object is its score where ``scores`` says nothing.
        instances: object numbers from 1 (0: none) of a model that finds objects; the class of each is the commonest in
            ``mask``. None: objects are the connected parts of ``mask``.
        scores: how sure the model is of each number of ``instances``; higher is surer.
        boxes: of a model that finds boxes. None: they are those around the objects.
        keypoints: x, y in pixels and confidence, 0..1, of each named point.
    """

    mask: UInt8[Array, "height width"] | None = None
    probabilities: Float[Array, "classes height width"] | None = None
    instances: Shaped[Array, "height width"] | None = None
    scores: Mapping[int, float] | None = None
    boxes: Boxes | None = None
    keypoints: Float[Array, "points 3"] | None = None
