"""Masks that pictures are synthesised from, kept in one file: a store that has it can be made again without its source.

The file is safetensors: for each mask, in order, its PNG (and its object numbers' PNG); the header names classes.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy import ndarray as Array
from torch import Tensor

from labelfactory.array_types import Int, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.pairs.labelled import FolderOrZip, read_classes
from labelfactory.factory.pairs.packed import check_mask, fitting_objects, packed, sealed, unpacked, unsealed
from labelfactory.factory.pairs.resized import nearest
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.interpreters.classes import LabelClass, parse_class
from labelfactory.interpreters.pictures import read_mask, read_object_numbers
from labelfactory.progress import Progress
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_masks", "mask archive", "run the command that made its store again")


@dataclass(frozen=True)
class MaskArchive:
    """Masks of one size, their names, and object numbers where all masks have some."""

    names: tuple[str, ...]
    classes: tuple[LabelClass, ...]
    size: tuple[int, int]
    files: dict[str, Tensor]
    instances: bool

    def __len__(self) -> int:
        return len(self.names)

    def mask(self, index: int) -> UInt8[Array, "height width"]:
        """Class ids, 255 where nothing is labelled."""
        return unpacked(self.files[f"{index:07}.mask"]).astype(np.uint8)

    def objects(self, index: int) -> Int[Array, "height width"]:
        """Object numbers, 0 for none, of an archive that has them."""
        return unpacked(self.files[f"{index:07}.instance"]).astype(np.int64)

    def pack(self) -> tuple[bytes, str]:
        """The file's bytes and their sha256."""
        header = {"names": list(self.names), "classes": [asdict(c) for c in self.classes], "size": list(self.size)}
        return sealed(FILE, self.files, header | {"instances": self.instances})


@lru_cache(maxsize=2)
def open_archive(path: Path, sha256: str) -> MaskArchive:
    """An archive of that hash; InputError for another file."""
    header, files = unsealed(FILE, path, sha256, "the masks of this dataset")
    classes = tuple(parse_class(c, str(path)) for c in header["classes"])
    height, width = header["size"]
    return MaskArchive(tuple(header["names"]), classes, (height, width), files, bool(header["instances"]))


def read_masks(uri: str, size: tuple[int, int], known: tuple[LabelClass, ...], progress: bool = True) -> MaskArchive:
    """The masks of a store, or of a folder or zip (``masks/`` or all of it), brought to a size.

    ``known`` are the classes that a model makes pictures of. InputError where there are other ones.
    """
    path = Path(uri)
    if "://" in uri or (path / "zarr.json").is_file():
        return _of_store(uri, size, known, progress)
    files = FolderOrZip(path)
    found = files.pictures("masks") or files.images()
    classes = read_classes(files) or known
    check_classes(uri, classes, known)
    numbers = files.pictures("instances")
    with_objects = found.keys() <= numbers.keys()
    made: dict[str, Tensor] = {}
    for index, (stem, name) in enumerate(Progress(sorted(found.items()), desc="masks", disable=not progress)):
        mask = read_mask(files.read(name), name, classes)
        check_mask(name, mask, len(known))
        made[f"{index:07}.mask"] = packed(nearest(mask, size))
        if with_objects:
            objects = read_object_numbers(files.read(numbers[stem]), numbers[stem])
            made[f"{index:07}.instance"] = packed(fitting_objects(nearest(objects, size), name))
    return MaskArchive(tuple(sorted(found)), classes, size, made, with_objects)


def _of_store(uri: str, size: tuple[int, int], known: tuple[LabelClass, ...], progress: bool) -> MaskArchive:
    store = StorePairs(uri)
    spec = store.dataset.spec
    check_classes(uri, tuple(LabelClass(c.name, c.color, bool(c.thing)) for c in spec.classes), known)
    numbers = spec.of_role("objects")
    samples = store.dataset.samples.tolist()
    made: dict[str, Tensor] = {}
    for index, sample in enumerate(Progress(samples, desc="masks", disable=not progress)):
        made[f"{index:07}.mask"] = packed(nearest(store.dataset.read("mask", [sample])[0], size))
        if numbers is not None:
            made[f"{index:07}.instance"] = packed(nearest(store.dataset.read(numbers.name, [sample])[0], size))
    classes = tuple(LabelClass(c.name, c.color, bool(c.thing)) for c in spec.classes)
    return MaskArchive(tuple(f"{s:07}" for s in samples), classes, size, made, numbers is not None)


def check_classes(uri: str, classes: tuple[LabelClass, ...], known: tuple[LabelClass, ...]) -> None:
    """InputError unless what lies at ``uri`` has the classes that a model makes pictures of."""
    ours, theirs = [c.name for c in known], [c.name for c in classes]
    if ours != theirs:
        raise InputError(
            f"{uri} has classes {', '.join(theirs)}; the model makes pictures of {', '.join(ours)}: "
            "they must be the same, in order"
        )
