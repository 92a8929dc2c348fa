"""Continuous labels from feature maps: one or more numbers per pixel; the ensemble's spread is their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.channels import ValueChannel, check_channels, parse_channel
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.regression import FeatureRegressor


@dataclass(frozen=True)
class ValuePrediction:
    """Values of a batch in their channels' units.

    value: the members' mean, held inside the channel's range. uncertainty: the members' standard deviation.
    """

    value: Float[Tensor, "batch height width values"]
    uncertainty: Float[Tensor, "batch height width values"]


def value_regressor(
    feature_channels: Sequence[int], channels: Sequence[ValueChannel], members: int = 10
) -> FeatureRegressor:
    """A fresh regressor that knows units and ranges of what it regresses."""
    check_channels(channels, "values")
    model = FeatureRegressor(feature_channels, [c.name for c in channels], "values", members)
    model.extra["channels"] = [c.to_json() for c in channels]
    return model


def channels_of(model: FeatureRegressor, where: str) -> tuple[ValueChannel, ...]:
    """What a regressor's outputs are; InputError, begun by ``where``, where it was made for something else."""
    if model.kind != "values":
        raise InputError(
            f"{where}: regresses {model.kind}; expected a file that `factory train-interpreter --values` wrote"
        )
    listed = model.extra.get("channels")
    if not isinstance(listed, list) or [isinstance(c, dict) and c.get("name") for c in listed] != list(model.names):
        raise InputError(f"{where}: does not say what its values are; train it again")
    channels = tuple(parse_channel(c, f"{where}: channels[{i}]") for i, c in enumerate(listed))
    check_channels(channels, where)
    return channels


def predict_values(
    model: FeatureRegressor, feature_maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None = None
) -> ValuePrediction:
    """Values of a batch, or of a crop of its images."""
    mean, spread = model.mean_and_spread(feature_maps, crop)
    for k, channel in enumerate(channels_of(model, "regressor")):
        mean[:, k].clamp_(channel.low, channel.high)
    return ValuePrediction(mean.movedim(1, -1), spread.movedim(1, -1))
