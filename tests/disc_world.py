"""Discs on a noisy ground with their masks: a segmentation task that a tiny network learns in a second."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from labelfactory.factory.pairs.pairs import ArrayPairs, Pair

CLASSES = [{"name": "background", "color": [0, 0, 0]}, {"name": "disc", "color": [230, 159, 0], "thing": True}]


def discs(n: int, size: int = 16, seed: int = 0) -> ArrayPairs:
    """One bright disc an image; the mask says where."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    centre = rng.uniform(4, size - 4, (n, 2, 1, 1))
    mask = ((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 16).astype(np.uint8)
    images = np.clip(40 + 120 * mask + rng.normal(0, 20, mask.shape), 0, 255).astype(np.uint8)
    return ArrayPairs(images[..., None], mask)


class Interrupted(Exception):
    """What ``StopsAfter`` raises."""


class StopsAfter(ArrayPairs):
    """The same pairs, which can be read ``reads`` times: a run that is interrupted."""

    def __init__(self, pairs: ArrayPairs, reads: int) -> None:
        super().__init__(pairs.images, pairs.masks)
        self.reads = reads

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        self.reads -= 1
        if self.reads < 0:
            raise Interrupted
        return super().fetch(indices)


def write_folder(folder: Path, n: int = 6, size: int = 16, seed: int = 0) -> Path:
    """The same as a labelled folder."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i, pair in enumerate(discs(n, size, seed)):
        Image.fromarray(pair.image[..., 0]).save(folder / "images" / f"disc{i}.png")
        Image.fromarray(pair.mask).save(folder / "masks" / f"disc{i}.png")
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    return folder


def zip_of(folder: Path, path: Path, inside: str = "") -> Path:
    """A zip of a folder, its files below ``inside``."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inside}{file.relative_to(folder).as_posix()}")
    return path
