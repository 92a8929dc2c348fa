"""From labelled keypoints to a regressor file, and back into production."""

from dataclasses import replace

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.feature_maps import feature_maps, picture_numbers
from labelfactory.interpreters.keypoints import AXIS_KEYPOINTS, axis_keypoints, fit_keypoints
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe


def with_axis_keypoints(labels: LabelSet, class_name: str) -> LabelSet:
    """The label set with keypoints computed from its masks: centre and ends of the major axis of a class's pixels.

    InputError where the set has no such class. Meant for classes that each image shows once, as nuclei64's "nucleus".
    """
    if class_name not in labels.class_names:
        raise InputError(f"{labels.where}: no class {class_name!r}; expected one of {', '.join(labels.class_names)}")
    number = labels.class_names.index(class_name)
    samples = tuple(s._replace(keypoints=axis_keypoints(s.mask, number)) if s.labelled else s for s in labels)
    return replace(labels, samples=samples, keypoints=AXIS_KEYPOINTS)


def train_keypoints(
    generator: ImageGenerator,
    labels: LabelSet,
    sigma: float = 2.0,
    members: int = 10,
    seed: int = 0,
    recipe: RegressionRecipe | None = None,
    progress: bool = True,
) -> FeatureRegressor:
    """Heatmap regression on the samples that have keypoints. InputError where none has, or for another generator."""
    generator.check_labels(labels)
    samples = [s for s in labels if s.keypoints is not None and s.keypoints[:, 2].any()]
    if not samples:
        raise InputError(f"{labels.where}: no sample has keypoints; import some, or compute them from masks")
    model = FeatureRegressor(generator.feature_channels, labels.keypoints, "keypoints", members=members, sigma=sigma)
    shown = feature_maps(generator, labels, samples, progress)
    pairs = ((maps, s.keypoints) for s, maps in shown if s.keypoints is not None)
    fit_keypoints(model, pairs, seed, progress, recipe, labels.crop, picture_numbers(s.picture for s in samples))
    model.generator_sha256 = generator.sha256
    return model
