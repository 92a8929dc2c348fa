"""Keypoints: named points of every picture, found as the peaks of heatmaps."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.head import Head, train_head
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.keypoints import AXIS_KEYPOINTS, axis_keypoints, heatmaps, predict_keypoints
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.storage import ArraySpec
from labelfactory.storage.label_arrays import point_arrays


class Keypoints(Head):
    """Regression of one heatmap a point. ``sigma``: standard deviation of its Gaussian, in pixels."""

    name: ClassVar[str] = "keypoints"
    trained_by: ClassVar[str] = "factory train-keypoints"
    heatmaps: ClassVar[bool] = True

    def __init__(self, sigma: float = 2.0) -> None:
        self.sigma = sigma

    def samples(self, labels: LabelSet) -> list[Sample]:
        found = [s for s in labels if s.keypoints is not None and s.keypoints[:, 2].any()]
        if not found:
            raise InputError(f"{labels.where}: no sample has keypoints; import some, or compute them from masks")
        return found

    def fresh(self, feature_channels: Sequence[int], labels: LabelSet, members: int) -> FeatureRegressor:
        return FeatureRegressor(feature_channels, labels.keypoints, self.name, members=members, sigma=self.sigma)

    def target(
        self, model: FeatureRegressor, labels: LabelSet, sample: Sample
    ) -> Float[Tensor, "outputs height width"]:
        height, width = sample.mask.shape
        return heatmaps(torch.as_tensor(sample.keypoints), height, width, model.sigma)

    def arrays(self, model: FeatureRegressor | None, sha256: str, height: int, width: int) -> tuple[ArraySpec, ...]:
        return point_arrays(model.names if model else (), sha256)

    def predict(
        self, model: FeatureRegressor | None, maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None
    ) -> dict[str, Float[Tensor, "batch ..."]]:
        assert model is not None  # for the type checker: needs_model
        found = predict_keypoints(model, maps, crop)
        return {"keypoints": found.points.float(), "keypoint_uncertainty": found.uncertainty.float()}


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
    return train_head(Keypoints(sigma), generator, labels, members, seed, recipe, progress)
