"""Objects, numbered: by connection, and where they touch by a heatmap of their centres."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.head import Head, train_head
from labelfactory.interpreters.array_types import Float, Int
from labelfactory.interpreters.centres import UNKNOWN, centre_heat
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.instances import label_instances
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.pictures import read_object_numbers
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import countable
from labelfactory.storage import ArraySpec, ClassInfo
from labelfactory.storage.label_arrays import object_arrays

_HEAT = "centre heatmap"  # travels with a batch to the host; becomes object numbers there and is not stored


class Centres(Head):
    """Regression of a heatmap of objects' centres, by which regions of the mask are cut into objects.

    Without a model, objects are the mask's connected regions.

    objects  numbers of the objects of each sample by its name, other samples are left out; None: as the masks of the
             labelled samples show them
    sigma    standard deviation of the Gaussians in pixels; about a quarter of a small object's radius or more
    """

    name: ClassVar[str] = "centres"
    trained_by: ClassVar[str] = "factory train-centres"
    needs_model: ClassVar[bool] = False
    heatmaps: ClassVar[bool] = True

    def __init__(
        self, sigma: float = 3.0, objects: Mapping[str, Int[np.ndarray, "height width"]] | None = None
    ) -> None:
        self.sigma, self.objects = sigma, objects

    def samples(self, labels: LabelSet) -> list[Sample]:
        found = [s for s in labels if (s.labelled if self.objects is None else s.name in self.objects)]
        if not found:
            raise InputError(f"{labels.where}: no sample has objects; label some images first")
        return found

    def fresh(self, feature_channels: Sequence[int], labels: LabelSet, members: int) -> FeatureRegressor:
        return FeatureRegressor(feature_channels, ("centre",), self.name, members=members, sigma=self.sigma)

    def target(
        self, model: FeatureRegressor, labels: LabelSet, sample: Sample
    ) -> Float[Tensor, "outputs height width"]:
        if self.objects is None:
            numbers = np.where(sample.mask == IGNORE_INDEX, UNKNOWN, objects_in_masks(labels, sample))
        else:
            numbers = self.objects[sample.name]
        return torch.from_numpy(centre_heat(numbers, model.sigma))

    def arrays(self, model: FeatureRegressor | None, sha256: str, height: int, width: int) -> tuple[ArraySpec, ...]:
        return object_arrays(height, width, sha256)

    def predict(
        self, model: FeatureRegressor | None, maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None
    ) -> dict[str, Float[Tensor, "batch ..."]]:
        return {} if model is None else {_HEAT: model.mean_and_spread(maps, crop)[0][:, 0]}

    def finish(
        self, model: FeatureRegressor | None, found: dict[str, np.ndarray], classes: Sequence[ClassInfo]
    ) -> dict[str, np.ndarray]:
        masks = found["mask"]
        heats = [None] * len(masks) if model is None else found[_HEAT]
        sigma = 1.0 if model is None else model.sigma
        things, boundary = countable(classes)
        pairs = zip(masks, heats, strict=True)
        return {"instance": np.stack([label_instances(m, things, boundary, heat=h, sigma=sigma)[0] for m, h in pairs])}


def read_objects(folder: Path, labels: LabelSet) -> dict[str, Int[np.ndarray, "height width"]]:
    """Object numbers of a label set's samples: 8- or 16-bit grey PNGs called like them, 0 where there is no object.

    InputError for a folder without any, or a picture of another kind or size.
    """
    found = {}
    for sample in labels:
        path = folder / f"{sample.name}.png"
        if path.is_file():
            numbers = read_object_numbers(path)
            if numbers.shape != sample.mask.shape:
                size = " x ".join(map(str, sample.mask.shape[::-1]))
                raise InputError(f"{path}: is {numbers.shape[1]} x {numbers.shape[0]}; the sample has {size}")
            found[sample.name] = numbers
    if not found:
        raise InputError(f"{folder}: has no PNG that is called like one of the label set's images")
    return found


def objects_in_masks(labels: LabelSet, sample: Sample) -> Int[np.ndarray, "height width"]:
    """The connected regions of a sample's thing classes, kept apart by a class called "boundary" where there is one."""
    return label_instances(sample.mask, *countable(labels.classes))[0].astype(np.int64)


def train_centres(
    generator: ImageGenerator,
    labels: LabelSet,
    objects: Mapping[str, Int[np.ndarray, "height width"]] | None = None,
    sigma: float = 3.0,
    members: int = 10,
    seed: int = 0,
    recipe: RegressionRecipe | None = None,
    progress: bool = True,
) -> FeatureRegressor:
    """Regression of a heatmap of objects' centres. InputError: no sample to learn from, or labels of another generator.

    ``objects`` and ``sigma`` are as in ``Centres``.
    """
    return train_head(Centres(sigma, objects), generator, labels, members, seed, recipe, progress)
