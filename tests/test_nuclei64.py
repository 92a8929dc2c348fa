"""The real crops: read as what they are, and explained by the bundled generator."""

from pathlib import Path

import numpy as np

from labelfactory.factory.families import open_generator
from labelfactory.factory.labels.inversion import InversionSettings, invert
from labelfactory.factory.pairs.labelled import LabelledPairs, parse_mapping


def val_crops(nuclei64: Path) -> LabelledPairs:
    mapping = parse_mapping("0:0,1:1,2-254:2")
    return LabelledPairs(nuclei64 / "val_images.zip", nuclei64 / "val_instances.zip", mapping, numbered=True)


def test_val_crops_have_centred_nuclei_and_their_pictures_as_groups(nuclei64: Path) -> None:
    crops = val_crops(nuclei64)
    assert len(crops) == 1155
    assert len(set(crops.groups.values())) == 48
    read = crops.fetch(range(0, 1155, 11))
    assert all(pair.image.shape == (64, 64, 1) and pair.mask.shape == (64, 64) for pair in read)
    shares = np.bincount(np.stack([pair.mask for pair in read]).ravel(), minlength=256) / (len(read) * 64 * 64)
    assert np.flatnonzero(shares).tolist() == [0, 1, 2]
    assert shares[1] > 0.03
    centred = [np.abs(np.argwhere(pair.mask == 1).mean(0) - 31.5).max() for pair in read]
    assert np.median(centred) < 4


def test_bundled_generator_explains_crops_that_it_has_not_seen(nuclei64: Path) -> None:
    generator = open_generator("builtin:nuclei64", "cpu")
    images = np.stack([pair.image for pair in val_crops(nuclei64).fetch(range(0, 1155, 150))])
    found = invert(generator, images, None, InversionSettings(steps=100), progress=False)
    assert np.median(found.fidelity) > 0.9
