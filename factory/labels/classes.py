"""What a new label set starts from: the classes that a person names, and the truncation of its generator."""

from collections.abc import Sequence

from labelfactory.errors import InputError
from labelfactory.factory.bundled import BUILTIN
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.interpreters.classes import LabelClass, check_classes, name_classes


def classes_of(names: str, generator: str) -> Sequence[LabelClass]:
    """Classes of names between commas; where there are none, those of a bundled generator's own label set.

    InputError where neither says what there is to label.
    """
    chosen = name_classes(name.strip() for name in names.split(",") if name.strip())
    if chosen:
        check_classes(chosen)
        return chosen
    if generator.startswith(BUILTIN):
        return load_labels(generator).classes
    raise InputError("classes: name what you will label, for example --classes background,cat,whiskers")


def usual_truncation(generator: ImageGenerator) -> float:
    """Psi of images to label where nobody says another: the generator's own, 1 where its family knows none."""
    return 1.0 if generator.default_truncation is None else generator.default_truncation
