"""Kinds of pictures that the studies beside this file are made on: data, classes, and a generator of each."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from leaves import CLASSES as LEAF_CLASSES
from leaves import load_leaves, pictures
from PIL import Image

from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.pairs.labelled import LabelledPairs, parse_mapping
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.interpreters.classes import LabelClass, name_classes


class Domain(NamedTuple):
    """A kind of pictures.

    name        that of the folder of its data, in the folder of all data
    generator   the bundled one
    classes     what its masks tell apart
    rare        number of the class that is told beside the mean; None: no class is rare
    load        pairs of a split (train, val) from the folder of its data, as squares of a side in pixels
    pictures    all its pictures without labels, of that side; None: those of train
    """

    name: str
    generator: str
    classes: tuple[LabelClass, ...]
    rare: int | None
    load: Callable[[Path, str, int], ArrayPairs]
    pictures: Callable[[Path, int], np.ndarray] | None = None


def nuclei(folder: Path, split: str, side: int) -> ArrayPairs:
    """Crops as they are; what was cut from one picture is a group."""
    mapping = parse_mapping("0:0,1:1,2-254:2")
    pairs = LabelledPairs(folder / f"{split}_images.zip", folder / f"{split}_instances.zip", mapping)
    read = pairs.fetch(range(len(pairs)))
    groups = [pairs.groups.get(stem, stem) for stem in pairs.stems]
    return ArrayPairs(np.stack([p.image for p in read]), np.stack([p.mask for p in read]), None, pairs.stems, groups)


def leaves(folder: Path, split: str, side: int) -> ArrayPairs:
    """Leaves, squeezed to a square."""
    images, masks, names, groups = load_leaves(split, side, folder)
    return ArrayPairs(images, masks, None, names, groups)


def leaf_pictures(folder: Path, side: int) -> np.ndarray:
    """All leaves, those of train among them."""
    found = pictures("unlabelled_images", side, Image.Resampling.BOX, folder)
    return np.stack([found[name] for name in sorted(found)])


NUCLEI = Domain("nuclei64", "builtin:nuclei64", load_labels("builtin:nuclei64").classes, None, nuclei)
LEAVES = Domain("leaves", "builtin:leaves128", tuple(name_classes(LEAF_CLASSES)), 2, leaves, leaf_pictures)
DOMAINS = {"nuclei": NUCLEI, "leaves": LEAVES}
