"""The real crops with human masks, for the measurements beside this file."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def load_nuclei(split: str) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """(images [n, 64, 64, 1], masks of 0 background, 1 nucleus, 2 neighbour, names, source image of each)."""
    images, objects, names, source = load_objects(split)
    return images, np.minimum(objects, 2).astype(np.uint8), names, source


def load_objects(split: str) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """The same with the objects' numbers: 0 background, 1 the nucleus in the middle, 2 and up its neighbours."""
    folder = Path(os.environ["LABELFACTORY_DATA"]) / "nuclei64"
    with (
        zipfile.ZipFile(folder / f"{split}_images.zip") as pictures,
        zipfile.ZipFile(folder / f"{split}_instances.zip") as instances,
    ):
        names = sorted(n for n in pictures.namelist() if n.endswith(".png"))
        images = np.stack([np.array(Image.open(io.BytesIO(pictures.read(n)))) for n in names])[..., None]
        masks = np.stack([np.array(Image.open(io.BytesIO(instances.read(n)))) for n in names])
        source = json.loads(pictures.read("source.json"))
    return images, masks, names, [str(source[n]) for n in names]
