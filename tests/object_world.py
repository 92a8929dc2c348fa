"""Crowded discs, some touching, of two classes on a ground of two: objects that a tiny network learns in seconds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.interpreters.classes import LabelClass

CLASSES = (
    LabelClass("background", (0, 0, 0), False),
    LabelClass("band", (120, 120, 120), False),
    LabelClass("disc", (230, 159, 0), True),
)
POINTS = ("middle", "top")


def crowd(rng: np.random.Generator, size: int = 32, most: int = 6, radius: tuple[float, float] = (3.0, 6.0)) -> Pair:
    """One to ``most`` discs on a dark ground whose lowest third is a band; later discs lie over earlier ones."""
    y, x = np.mgrid[:size, :size] + 0.5
    mask = np.where(y > size * 2 / 3, 1, 0).astype(np.uint8)
    instances = np.zeros((size, size), np.int32)
    points = np.zeros((2, 3), np.float32)
    for number in range(1, int(rng.integers(1, most + 1)) + 1):
        r = rng.uniform(*radius)
        cx, cy = rng.uniform(r, size - r, 2)
        own = (x - cx) ** 2 + (y - cy) ** 2 < r**2
        mask[own], instances[own] = 2, number
        if number == 1:
            points[:] = [[cx, cy, 2], [cx, cy - r, 2]]
    distance = np.array([30, 70, 190])[mask] + 0.0
    edge = np.zeros((size, size), bool)
    edge[:, 1:] |= instances[:, 1:] != instances[:, :-1]
    edge[1:] |= instances[1:] != instances[:-1]
    distance[edge] -= 60
    image = np.clip(distance + rng.normal(0, 8, mask.shape), 0, 255).astype(np.uint8)
    return Pair(image[..., None], mask, instances=instances, keypoints=points)


class Crowds(Pairs):
    """So many crowded pictures, each a function of its number."""

    points = POINTS

    def __init__(self, count: int, size: int = 32, seed: int = 0, most: int = 6) -> None:
        self.count, self.size, self.seed, self.most = count, size, seed, most

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        return [self._make(int(i)) for i in indices]

    def _make(self, i: int) -> Pair:
        pair = crowd(np.random.default_rng((self.seed, i)), self.size, self.most)
        return replace(pair, name=f"{i:05d}", group=f"{i:05d}")


def write_crowds(folder: Path, count: int = 6, size: int = 32, seed: int = 0, most: int = 6) -> Path:
    """The same as a labelled folder with instances/ and keypoints.json."""
    for name in ("images", "masks", "instances"):
        (folder / name).mkdir(parents=True)
    placed = {}
    for i, pair in enumerate(Crowds(count, size, seed, most).fetch(range(count))):
        Image.fromarray(pair.image[..., 0]).save(folder / "images" / f"{i:03d}.png")
        Image.fromarray(pair.mask).save(folder / "masks" / f"{i:03d}.png")
        Image.fromarray(pair.instances.astype(np.uint16)).save(folder / "instances" / f"{i:03d}.png")
        placed[f"{i:03d}.png"] = pair.keypoints.tolist()
    classes = [{"name": c.name, "color": list(c.color), "thing": c.thing} for c in CLASSES]
    (folder / "classes.json").write_text(json.dumps(classes))
    (folder / "keypoints.json").write_text(json.dumps({"names": list(POINTS), "points": placed}))
    return folder
