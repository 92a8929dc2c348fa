"""What a label kind is: what it learns from, how it predicts, and which arrays it gives a store.

``factory.heads.table`` lists them. Orders, production, stores and repair ask a kind's head and know no kind by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.feature_maps import feature_maps, group_numbers
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.storage import ArraySpec, ClassInfo


class Head(ABC):
    """One label kind. Its model is a ``FeatureRegressor`` whose file states the kind's name.

    name         as in the table, the files and the stores
    trained_by   the command that writes its files
    needs_model  False: its arrays can be made without one as well
    heatmaps     its targets are nearly everywhere zero: half of the pixels to learn from are drawn where they are not
    """

    name: ClassVar[str]
    trained_by: ClassVar[str]
    needs_model: ClassVar[bool] = True
    heatmaps: ClassVar[bool] = False

    @abstractmethod
    def samples(self, labels: LabelSet) -> list[Sample]:
        """The samples that it can learn from. InputError, with what to do, where there are none."""

    @abstractmethod
    def fresh(self, feature_channels: Sequence[int], labels: LabelSet, members: int) -> FeatureRegressor:
        """An untrained model for these labels."""

    @abstractmethod
    def target(
        self, model: FeatureRegressor, labels: LabelSet, sample: Sample
    ) -> Float[Tensor, "outputs height width"]:
        """What the model should say of one of ``samples``: of its mask's size, NaN where nothing is known."""

    def describe(self, labels: LabelSet) -> dict[str, Any]:
        """What its file says of the labels beside the kind (``FeatureRegressor.extra``), ready for JSON."""
        return {}

    def check(self, model: FeatureRegressor, where: str) -> None:
        """InputError, begun by ``where``, unless the model is of this kind and says all that is needed."""
        if model.kind != self.name:
            raise InputError(f"{where}: regresses {model.kind}; expected a file that `{self.trained_by}` wrote")

    @abstractmethod
    def arrays(self, model: FeatureRegressor | None, sha256: str, height: int, width: int) -> tuple[ArraySpec, ...]:
        """What it adds to a store of that size; ``sha256`` is of the model's file ("" without one)."""

    @abstractmethod
    def predict(
        self, model: FeatureRegressor | None, maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None
    ) -> dict[str, Float[Tensor, "batch ..."]]:
        """Its arrays of a batch by name, of their dtypes, on the maps' device; and whatever ``finish`` needs."""

    def finish(
        self, model: FeatureRegressor | None, found: dict[str, np.ndarray], classes: Sequence[ClassInfo]
    ) -> dict[str, np.ndarray]:
        """Its arrays that are made on the host, from all that was found of the batch (image, mask, ...)."""
        return {}


def load_head(content: bytes, where: str, generator: ImageGenerator, head: Head) -> FeatureRegressor:
    """The model in a file's bytes; InputError, begun by ``where``, unless it is of this kind and this generator."""
    model = FeatureRegressor.from_bytes(content, where)
    head.check(model, where)
    if model.generator_sha256 != generator.sha256:
        raise InputError(f"{where}: belongs to another generator; train {head.name} for the one given")
    return model


def load_regressor(path: str | Path, generator: ImageGenerator, head: Head) -> FeatureRegressor:
    """The same from a path."""
    return load_head(FeatureRegressor.file.read(path), str(path), generator, head)


def train_head(
    head: Head,
    generator: ImageGenerator,
    labels: LabelSet,
    members: int = 10,
    seed: int = 0,
    recipe: RegressionRecipe | None = None,
    progress: bool = True,
) -> FeatureRegressor:
    """A model of any kind, trained on the samples of a label set that know it.

    Equal labels, members (1 to 64), seed and recipe give equal weights. InputError for labels of another generator, or
    without a sample to learn from.
    """
    generator.check_labels(labels)
    samples = head.samples(labels)
    model = head.fresh(generator.feature_channels, labels, members)

    def targets() -> Iterator[tuple[list[Tensor], Tensor]]:
        for sample, maps in feature_maps(generator, labels, samples, progress):
            inside = head.target(model, labels, sample).numpy()
            yield maps, torch.from_numpy(labels.embed(inside, np.nan, generator.size))

    groups = group_numbers(sample.group for sample in samples)
    model.fit(targets(), seed, progress, recipe, groups, head.heatmaps)
    model.generator_sha256 = generator.sha256
    model.extra |= head.describe(labels)
    return model
