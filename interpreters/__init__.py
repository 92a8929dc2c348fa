"""Labels from feature maps."""

from labelfactory.errors import InputError
from labelfactory.interpreters.interpreter import StyleInterpreter
from labelfactory.interpreters.prediction import Prediction
from labelfactory.interpreters.training import Recipe
from labelfactory.interpreters.uncertainty import js_divergence

__all__ = ["InputError", "Prediction", "Recipe", "StyleInterpreter", "js_divergence"]
