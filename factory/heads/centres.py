"""From numbered objects to a regressor of their centres, and back into production."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.feature_maps import feature_maps, picture_numbers
from labelfactory.interpreters.array_types import Int
from labelfactory.interpreters.centres import UNKNOWN, fit_centres
from labelfactory.interpreters.instances import label_instances
from labelfactory.interpreters.labelset import IGNORE_INDEX, LabelSet, Sample
from labelfactory.interpreters.pictures import read_object_numbers
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe
from labelfactory.masks import countable


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
    """Regression of a heatmap of objects' centres.

    Arguments:
        objects: numbers of the objects of each sample by its name, other samples are left out; None: as the masks of
            the labelled samples show them.
        sigma: of the Gaussians, in pixels; about a quarter of a small object's radius or more.

    Raises:
        InputError: no sample to learn from, or labels of another generator.
    """
    generator.check_labels(labels)
    chosen = [s for s in labels if (s.labelled if objects is None else s.name in objects)]
    if not chosen:
        raise InputError(f"{labels.where}: no sample has objects; label some images first")
    model = FeatureRegressor(generator.feature_channels, ("centre",), "centres", members=members, sigma=sigma)

    def numbered(sample: Sample) -> np.ndarray:
        own = objects_in_masks(labels, sample) if objects is None else objects[sample.name]
        if objects is None:
            own = np.where(sample.mask == IGNORE_INDEX, UNKNOWN, own)
        return labels.embed(own, UNKNOWN, generator.size)

    pairs = ((maps, numbered(s)) for s, maps in feature_maps(generator, labels, chosen, progress))
    fit_centres(model, pairs, seed, progress, recipe, picture_numbers(s.picture for s in chosen))
    model.generator_sha256 = generator.sha256
    return model
