"""From continuous labels to a regressor file, and back into production."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from factory.errors import InputError
from factory.generators import ImageGenerator
from factory.recording import sample_latent
from interpreters.channels import ValueChannel
from interpreters.labelset import LabelSet
from interpreters.regression import FeatureRegressor, RegressionRecipe
from interpreters.values import channels_of, fit_values, value_regressor


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
    shown = tqdm(samples, desc="feature maps", unit="image", disable=not progress, leave=False)
    pairs = (
        (
            generator.generate(sample_latent(generator, s), labels.truncation).feature_maps,
            labels.embed(np.moveaxis(s.values, -1, 0), np.nan, generator.resolution),
        )
        for s in shown
        if s.values is not None
    )
    fit_values(model, pairs, seed, progress, recipe)
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


def load_value_regressor(
    path: str | Path, generator: ImageGenerator
) -> tuple[FeatureRegressor, tuple[ValueChannel, ...]]:
    """A regressor file made for this generator's values, and what they are; InputError for any other."""
    model = FeatureRegressor.load(path)
    channels = channels_of(model, str(path))
    if model.generator_sha256 != generator.sha256:
        raise InputError(f"{path}: belongs to another generator; train values for the one given")
    return model, channels
