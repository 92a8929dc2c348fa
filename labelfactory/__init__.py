"""A labeled-data factory: label a few images, get as many image-label pairs as wanted.

The names below are loaded when they are first asked for, so that ``import labelfactory`` costs nothing.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelfactory.errors import InputError, WorkError
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.generator import Generated, ImageGenerator
    from labelfactory.factory.order import Order
    from labelfactory.factory.production import prepare, produce
    from labelfactory.interpreters import Prediction, StyleInterpreter
    from labelfactory.interpreters.labelset import LabelClass, LabelSet, Sample
    from labelfactory.storage import Dataset, open_dataset, verify

HOMES = {
    "labelfactory.errors": ("InputError", "WorkError"),
    "labelfactory.factory.generator": ("Generated", "ImageGenerator", "open_generator"),
    "labelfactory.factory.order": ("Order",),
    "labelfactory.factory.production": ("prepare", "produce"),
    "labelfactory.interpreters": ("Prediction", "StyleInterpreter"),
    "labelfactory.interpreters.labelset": ("LabelClass", "LabelSet", "Sample"),
    "labelfactory.storage": ("Dataset", "open_dataset", "verify"),
}
"""Public names by the module that defines them."""

__all__ = [
    "Dataset",
    "Generated",
    "ImageGenerator",
    "InputError",
    "LabelClass",
    "LabelSet",
    "Order",
    "Prediction",
    "Sample",
    "StyleInterpreter",
    "WorkError",
    "open_dataset",
    "open_generator",
    "prepare",
    "produce",
    "verify",
]

_here = Path(__file__).parent
if not (_here / "factory").is_dir():  # a clone on a file system without symbolic links: the folders lie beside this one
    __path__.append(str(_here.parent))


def __getattr__(name: str) -> Any:
    for module, names in HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'labelfactory' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
