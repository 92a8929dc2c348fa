"""Continuous labels: one or more numbers for every pixel, such as depth."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.head import Head, train_head
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.interpreters.values import channels_of, predict_values, value_regressor
from labelfactory.storage import ArraySpec, ValueInfo
from labelfactory.storage.label_arrays import value_arrays


class Values(Head):
    """Regression of the numbers themselves."""

    name: ClassVar[str] = "values"
    trained_by: ClassVar[str] = "factory train-interpreter --values"

    def samples(self, labels: LabelSet) -> list[Sample]:
        found = [s for s in labels if s.values is not None]
        if not found:
            raise InputError(f"{labels.where}: no sample has values; `factory import-values` reads them")
        return found

    def fresh(self, feature_channels: Sequence[int], labels: LabelSet, members: int) -> FeatureRegressor:
        return value_regressor(feature_channels, labels.values, members)

    def target(
        self, model: FeatureRegressor, labels: LabelSet, sample: Sample
    ) -> Float[Tensor, "outputs height width"]:
        assert sample.values is not None  # for the type checker: one of ``samples``
        return torch.from_numpy(np.moveaxis(sample.values, -1, 0).copy())

    def describe(self, labels: LabelSet) -> dict[str, Any]:
        crop = {} if labels.crop is None else {"crop": list(labels.crop.numbers)}
        return {"labels_sha256": labels.values_sha256, **crop}

    def check(self, model: FeatureRegressor, where: str) -> None:
        super().check(model, where)
        channels_of(model, where)

    def arrays(self, model: FeatureRegressor | None, sha256: str, height: int, width: int) -> tuple[ArraySpec, ...]:
        channels = channels_of(model, "regressor") if model else ()
        return value_arrays(height, width, [ValueInfo(c.name, c.unit, c.low, c.high) for c in channels], sha256)

    def predict(
        self, model: FeatureRegressor | None, maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None
    ) -> dict[str, Float[Tensor, "batch ..."]]:
        assert model is not None  # for the type checker: needs_model
        found = predict_values(model, maps, crop)
        return {"value": found.value.half(), "value_uncertainty": found.uncertainty.half()}


def train_values(
    generator: ImageGenerator,
    labels: LabelSet,
    members: int = 10,
    seed: int = 0,
    recipe: RegressionRecipe | None = None,
    progress: bool = True,
) -> FeatureRegressor:
    """Regression on the samples that have values. InputError where none has, or for another generator."""
    return train_head(Values(), generator, labels, members, seed, recipe, progress)


def held_out_lines(model: FeatureRegressor) -> list[str]:
    """For each channel how far off it is on images that members had not learned from."""
    channels, report = channels_of(model, "regressor"), model.report
    if "held_out_error" not in report:
        return [f"  {c}: too few images to hold any out" for c in channels]
    lines = []
    for c, error, mean in zip(channels, report["held_out_error"], report["error_of_the_mean"], strict=True):
        unit = f" {c.unit}" if c.unit else ""
        lines.append(
            f"  {c}: mean error on held-out images {error:.4g}{unit}, by always saying the mean {mean:.4g}{unit}"
        )
    return lines
