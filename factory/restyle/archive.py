"""What a restyled store is made of, in one file that lies in it: pairs, style pictures, and how they are joined.

So the store can be made again where its sources are not. The file is safetensors: PNG of each picture, mask, object
numbers and style picture; key points as numbers; the header says the rest.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray as Array
from torch import Tensor

from labelfactory.array_types import Int, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.pairs.packed import (
    check_mask,
    fitting_objects,
    packed,
    sealed,
    unpacked,
    unpacked_picture,
    unsealed,
)
from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.factory.pairs.resized import resized
from labelfactory.factory.restyle.styles import StyleFiles, style_of
from labelfactory.interpreters.classes import LabelClass, parse_class
from labelfactory.progress import Progress
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_restyling", "restyling archive", "run the command that made its store again")


@dataclass(frozen=True)
class Recipe:
    """How pictures are restyled and masks repaired; with the archive's pictures it decides every byte of a store."""

    method: str
    strength: float
    choice: str
    seed: int
    iterations: int
    repair: str
    max_drift: float
    bf16: bool


@dataclass(frozen=True)
class RestyleArchive:
    """Pairs of one size and style pictures."""

    recipe: Recipe
    classes: tuple[LabelClass, ...]
    names: tuple[str, ...]
    style_names: tuple[str, ...]
    style_hashes: tuple[str, ...]
    points: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    instances: bool
    files: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def styles(self) -> int:
        """Number of styles, one where a model has its own."""
        return max(1, len(self.style_names))

    def pair(self, index: int) -> Pair:
        """One of the pairs; its picture has ``channels`` channels."""
        image = unpacked_picture(self.files[f"{index:07}.image"])
        objects = unpacked(self.files[f"{index:07}.instance"]).astype(np.int64) if self.instances else None
        points = self.files["keypoints"][index].numpy() if self.points else None
        mask = unpacked(self.files[f"{index:07}.mask"]).astype(np.uint8)
        image = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], self.channels)))
        return Pair(image, mask, instances=objects, name=self.names[index], keypoints=points)

    def style(self, number: int) -> UInt8[Array, "height width channels"]:
        """One of the style pictures."""
        return unpacked_picture(self.files[f"style.{number:05}"])

    def style_number(self, pair: int, turn: int) -> int:
        """The style of a pair's ``turn``-th restyling."""
        table = self.files.get("nearest")
        given = None if table is None else table.numpy()
        return style_of(self.recipe.choice, self.recipe.seed, pair, turn, self.styles, given)

    def with_orders(self, orders: Int[Array, "pairs styles"]) -> "RestyleArchive":
        """The same, its styles chosen by a table."""
        return replace(self, files={**self.files, "nearest": torch.from_numpy(orders)})

    def pack(self) -> tuple[bytes, str]:
        """The file's bytes and their sha256."""
        header: dict[str, Any] = {key: list(value) for key, value in vars(self).items() if isinstance(value, tuple)}
        header |= {"classes": [asdict(c) for c in self.classes], "recipe": asdict(self.recipe)}
        return sealed(FILE, self.files, header | {"channels": self.channels, "instances": self.instances})


@lru_cache(maxsize=2)
def open_archive(path: Path, sha256: str) -> RestyleArchive:
    """An archive of that hash; InputError for another file."""
    header, files = unsealed(FILE, path, sha256, "what this dataset was made of")
    texts: dict[str, Any] = {name: tuple(header[name]) for name in ("names", "style_names", "style_hashes", "points")}
    height, width = header["size"]
    classes = tuple(parse_class(c, str(path)) for c in header["classes"])
    about: dict[str, Any] = {"channels": int(header["channels"]), "instances": bool(header["instances"])}
    return RestyleArchive(
        recipe=Recipe(**header["recipe"]), classes=classes, size=(height, width), files=files, **texts, **about
    )


def make_archive(
    where: str,
    pairs: Pairs,
    classes: Sequence[LabelClass],
    styles: StyleFiles | None,
    recipe: Recipe,
    wanted: tuple[int, int] | None,
    progress: bool = True,
) -> RestyleArchive:
    """Everything packed. InputError where pairs differ in size and none is given, or a mask has a strange value."""
    files: dict[str, Tensor] = {}
    size: tuple[int, int] | None = None
    names, points, with_objects, channels = [], [], True, 1
    for index in Progress(range(len(pairs)), desc="pairs", disable=not progress):
        pair = pairs[index]
        if wanted is None and size not in (None, pair.mask.shape):
            told = f"{pair.name or index} is {_told(pair.mask.shape)}, those before it {_told(size)}"
            raise InputError(f"{where}: {told}: pairs of a store have one size; give it by size")
        size = wanted or (pair.mask.shape[0], pair.mask.shape[1])
        one = resized(pair, size)
        check_mask(f"{where}: {pair.name or index}", one.mask, len(classes))
        names.append(pair.name or f"{index:07}")
        files[f"{index:07}.image"] = packed(one.image)
        files[f"{index:07}.mask"] = packed(one.mask)
        channels = max(channels, one.image.shape[2])
        with_objects = with_objects and one.instances is not None
        if with_objects and one.instances is not None:
            files[f"{index:07}.instance"] = packed(fitting_objects(one.instances, pair.name))
        if pairs.points:
            points.append(np.zeros((len(pairs.points), 3), np.float32) if one.keypoints is None else one.keypoints)
    if not names or size is None:
        raise InputError(f"{where}: there are no pairs to restyle")
    if not with_objects:
        files = {name: data for name, data in files.items() if not name.endswith(".instance")}
    if points:
        files["keypoints"] = torch.from_numpy(np.stack(points))
    for number, picture in enumerate(() if styles is None else styles.pictures):
        files[f"style.{number:05}"] = packed(picture)
    names_of, hashes = ((), ()) if styles is None else (styles.names, styles.hashes)
    return RestyleArchive(
        recipe=recipe,
        classes=tuple(classes),
        names=tuple(names),
        style_names=names_of,
        style_hashes=hashes,
        points=tuple(pairs.points),
        size=size,
        channels=channels,
        instances=with_objects,
        files=files,
    )


def _told(size: tuple[int, ...] | None) -> str:
    return "x".join(map(str, size or ()))
