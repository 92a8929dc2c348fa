"""A labeled-data factory: label a few images, get as many image-label pairs as wanted.

The public names below are loaded when they are first asked for.
"""

from pathlib import Path
from typing import TYPE_CHECKING

_here = Path(__file__).parent
if not (_here / "factory").is_dir():  # a clone on a file system without symbolic links: the folders lie beside this one
    __path__.append(str(_here.parent))

from labelfactory.lazy import face  # noqa: E402 (the path above comes first)

if TYPE_CHECKING:
    from labelfactory.errors import InputError, WorkError
    from labelfactory.factory import Generated, ImageGenerator, Order, open_generator, prepare, produce
    from labelfactory.interpreters import FeatureRegressor, LabelClass, LabelSet, Prediction, Sample, StyleInterpreter
    from labelfactory.storage import Dataset, open_dataset, verify

__all__ = [
    "Dataset",
    "FeatureRegressor",
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

__getattr__, __dir__ = face(
    __name__,
    {
        "labelfactory.errors": ("InputError", "WorkError"),
        "labelfactory.factory": ("Generated", "ImageGenerator", "Order", "open_generator", "prepare", "produce"),
        "labelfactory.interpreters": (
            "FeatureRegressor", "LabelClass", "LabelSet", "Prediction", "Sample", "StyleInterpreter",
        ),
        "labelfactory.storage": ("Dataset", "open_dataset", "verify"),
    },
)  # fmt: skip
