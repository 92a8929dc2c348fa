"""What regressors of keypoints, centres and values have in common: how a file is read for a generator."""

from pathlib import Path

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.interpreters.regression import FeatureRegressor
from labelfactory.interpreters.values import channels_of


def load_regressor(path: str | Path, generator: ImageGenerator, kind: str) -> FeatureRegressor:
    """A file that was made for this generator and kind ("keypoints", "centres", "values"); InputError for any other."""
    model = FeatureRegressor.load(path)
    if kind == "values":
        channels_of(model, str(path))
    elif model.kind != kind:
        raise InputError(f"{path}: regresses {model.kind}; expected a file that `factory train-{kind}` wrote")
    if model.generator_sha256 != generator.sha256:
        raise InputError(f"{path}: belongs to another generator; train {kind} for the one given")
    return model


REGRESSORS = {"keypoints": "regressor_sha256", "values": "value_sha256", "centres": "centre_sha256"}
"""The order's fields that name a regressor's file, and the spec's that state its hash."""
