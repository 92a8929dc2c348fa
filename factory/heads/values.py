"""From continuous labels to a regressor file, and back into production."""

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.feature_maps import feature_maps, picture_numbers
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.interpreters.values import channels_of, fit_values, value_regressor


def train_values(
    generator: ImageGenerator,
    labels: LabelSet,
    members: int = 10,
    seed: int = 0,
    recipe: RegressionRecipe | None = None,
    progress: bool = True,
) -> FeatureRegressor:
    """Regression on the samples that have values. InputError where none has, or for another generator."""
    generator.check_labels(labels)
    samples = [s for s in labels if s.values is not None]
    if not samples:
        raise InputError(f"{labels.where}: no sample has values; `factory import-values` reads them")
    model = value_regressor(generator.feature_channels, labels.values, members)
    pairs = (
        (maps, labels.embed(np.moveaxis(s.values, -1, 0), np.nan, generator.size))
        for s, maps in feature_maps(generator, labels, samples, progress)
        if s.values is not None
    )
    fit_values(model, pairs, seed, progress, recipe, picture_numbers(s.picture for s in samples))
    model.generator_sha256 = generator.sha256
    model.extra["labels_sha256"] = labels.values_sha256
    if labels.crop is not None:
        model.extra["crop"] = list(labels.crop.numbers)
    return model


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
