"""A label kind of one file: how bright each pixel is."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from labelfactory.factory.heads.head import Head
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.regression import FeatureRegressor
from labelfactory.storage import ArraySpec


class Brightness(Head):
    name: ClassVar[str] = "brightness"
    trained_by: ClassVar[str] = "a test"

    def samples(self, labels: LabelSet) -> list[Sample]:
        return list(labels)

    def fresh(self, feature_channels: Sequence[int], labels: LabelSet, members: int) -> FeatureRegressor:
        return FeatureRegressor(feature_channels, ("brightness",), self.name, members=members)

    def target(self, model: FeatureRegressor, labels: LabelSet, sample: Sample) -> Tensor:
        return torch.from_numpy(sample.image[None, ..., 0] / 255).float()

    def arrays(self, model: FeatureRegressor | None, sha256: str, height: int, width: int) -> tuple[ArraySpec, ...]:
        dims = ("sample", "y", "x")
        return (ArraySpec(self.name, "float16", dims, (height, width), "NaN", True, "label", self.name, sha256),)

    def predict(self, model: FeatureRegressor | None, maps: Sequence[Tensor], crop: Crop | None) -> dict[str, Tensor]:
        assert model is not None
        return {self.name: model.mean_and_spread(maps, crop)[0][:, 0].half()}
