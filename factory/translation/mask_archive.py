"""Masks that pictures are synthesised from, kept in one file: a store that has it can be made again without its source.

The file is safetensors: for each mask, in order, its PNG (and its object numbers' PNG); the header names classes.
"""

import hashlib
import io
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray as Array
from PIL import Image
from torch import Tensor

from labelfactory.array_types import Int, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.pairs.labelled import FolderOrZip, read_classes
from labelfactory.factory.pairs.resized import nearest
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.interpreters.classes import LabelClass, parse_class
from labelfactory.interpreters.pictures import read_mask, read_object_numbers
from labelfactory.limits import IGNORE_INDEX
from labelfactory.progress import Progress
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_masks", "mask archive", "run the command that made its store again")
MAX_OBJECT = 2**16 - 1


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
        return _decoded(self.files[f"{index:07}.mask"]).astype(np.uint8)

    def objects(self, index: int) -> Int[Array, "height width"]:
        """Object numbers, 0 for none, of an archive that has them."""
        return _decoded(self.files[f"{index:07}.instance"]).astype(np.int64)

    def pack(self) -> tuple[bytes, str]:
        """The file's bytes and their sha256."""
        header = {"names": list(self.names), "classes": [asdict(c) for c in self.classes], "size": list(self.size)}
        content = FILE.pack(self.files, header | {"instances": self.instances})
        return content, hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=2)
def open_archive(path: Path, sha256: str) -> MaskArchive:
    """An archive of that hash; InputError for another file."""
    content = FILE.read(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path}: is not the masks of this dataset (expected sha256 {sha256[:12]}...)")
    header, files = FILE.unpack(content, str(path))
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
    packed: dict[str, Tensor] = {}
    for index, (stem, name) in enumerate(Progress(sorted(found.items()), desc="masks", disable=not progress)):
        mask = read_mask(files.read(name), name, classes)
        _check_values(name, mask, len(known))
        packed[f"{index:07}.mask"] = _encoded(nearest(mask, size))
        if with_objects:
            objects = read_object_numbers(files.read(numbers[stem]), numbers[stem])
            packed[f"{index:07}.instance"] = _encoded(_fitting(nearest(objects, size), name))
    return MaskArchive(tuple(sorted(found)), classes, size, packed, with_objects)


def _of_store(uri: str, size: tuple[int, int], known: tuple[LabelClass, ...], progress: bool) -> MaskArchive:
    store = StorePairs(uri)
    spec = store.dataset.spec
    check_classes(uri, tuple(LabelClass(c.name, c.color, bool(c.thing)) for c in spec.classes), known)
    numbers = spec.of_role("objects")
    samples = store.dataset.samples.tolist()
    packed: dict[str, Tensor] = {}
    for index, sample in enumerate(Progress(samples, desc="masks", disable=not progress)):
        packed[f"{index:07}.mask"] = _encoded(nearest(store.dataset.read("mask", [sample])[0], size))
        if numbers is not None:
            packed[f"{index:07}.instance"] = _encoded(nearest(store.dataset.read(numbers.name, [sample])[0], size))
    classes = tuple(LabelClass(c.name, c.color, bool(c.thing)) for c in spec.classes)
    return MaskArchive(tuple(f"{s:07}" for s in samples), classes, size, packed, numbers is not None)


def check_classes(uri: str, classes: tuple[LabelClass, ...], known: tuple[LabelClass, ...]) -> None:
    """InputError unless what lies at ``uri`` has the classes that a model makes pictures of."""
    ours, theirs = [c.name for c in known], [c.name for c in classes]
    if ours != theirs:
        raise InputError(
            f"{uri} has classes {', '.join(theirs)}; the model makes pictures of {', '.join(ours)}: "
            "they must be the same, in order"
        )


def _check_values(name: str, mask: Array, count: int) -> None:
    wrong = mask[(mask >= count) & (mask != IGNORE_INDEX)]
    if wrong.size:
        raise InputError(f"{name}: the mask has value {wrong.flat[0]}; expected classes 0 to {count - 1}, or 255")


def _fitting(objects: Array, name: str) -> Array:
    if objects.max(initial=0) > MAX_OBJECT:
        raise InputError(f"{name}: has object number {objects.max()}; expected {MAX_OBJECT} at most")
    return objects.astype(np.uint16)


def _encoded(values: Array) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(buffer, "PNG")
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def _decoded(data: Tensor) -> Array:
    return np.array(Image.open(io.BytesIO(data.numpy().tobytes())))
