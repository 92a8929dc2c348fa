"""Labels from feature maps."""

from interpreters.errors import InputError
from interpreters.interpreter import StyleInterpreter
from interpreters.prediction import Prediction
from interpreters.training import Recipe
from interpreters.uncertainty import js_divergence

__all__ = ["InputError", "Prediction", "Recipe", "StyleInterpreter", "js_divergence"]
