"""Labels from feature maps, and the label sets that they are learned from."""

from typing import TYPE_CHECKING

from labelfactory.errors import InputError
from labelfactory.lazy import face

if TYPE_CHECKING:
    from labelfactory.interpreters.classes import LabelClass
    from labelfactory.interpreters.crop import Crop
    from labelfactory.interpreters.interpreter import StyleInterpreter
    from labelfactory.interpreters.labelset import LabelSet, Sample
    from labelfactory.interpreters.prediction import Prediction
    from labelfactory.interpreters.regression import FeatureRegressor
    from labelfactory.interpreters.training import Recipe
    from labelfactory.interpreters.uncertainty import js_divergence

__all__ = [
    "Crop",
    "FeatureRegressor",
    "InputError",
    "LabelClass",
    "LabelSet",
    "Prediction",
    "Recipe",
    "Sample",
    "StyleInterpreter",
    "js_divergence",
]

# Loaded when asked for: label sets and their formats need no torch.
__getattr__, __dir__ = face(
    __name__,
    {
        "labelfactory.interpreters.classes": ("LabelClass",),
        "labelfactory.interpreters.crop": ("Crop",),
        "labelfactory.interpreters.interpreter": ("StyleInterpreter",),
        "labelfactory.interpreters.labelset": ("LabelSet", "Sample"),
        "labelfactory.interpreters.prediction": ("Prediction",),
        "labelfactory.interpreters.regression": ("FeatureRegressor",),
        "labelfactory.interpreters.training": ("Recipe",),
        "labelfactory.interpreters.uncertainty": ("js_divergence",),
    },
)
