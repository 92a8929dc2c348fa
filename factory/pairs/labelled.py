"""What people labelled: a folder or zip of images and masks, read one at a time.

Layouts: ``images/`` and ``masks/`` (and ``instances/``, where there are) in one folder or zip, files matched by stem;
or images in one and masks in another. A label set of ours is such a folder. ``labelset.json`` or ``classes.json`` (a
list of classes) names the classes; ``groups.json`` or ``source.json`` (file name to group) what an image was cut from;
``keypoints.json`` (``{"names": [...], "points": {file name: [[x, y, visibility], ...]}}``) has key points.
"""

import json
import warnings
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.classes import LabelClass, new_colors, parse_class
from labelfactory.interpreters.pictures import SUFFIXES, read_image, read_mask, read_object_numbers
from labelfactory.limits import IGNORE_INDEX

MAX_BYTES = 512 * 2**20  # of one file inside a zip, unpacked


class FolderOrZip:
    """The files of a folder or a zip, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.archive: zipfile.ZipFile | None = None
        if path.is_dir():
            self.names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        elif path.is_file() and zipfile.is_zipfile(path):
            self.archive = zipfile.ZipFile(path)  # kept open: reading its table of contents takes longer than a file
            self.names = sorted(n for n in self.archive.namelist() if not n.endswith("/"))
        else:
            raise InputError(f"{path} is neither a folder nor a zip: give one with images/ and masks/")
        self.names = [n for n in self.names if not any(part.startswith((".", "__MACOSX")) for part in n.split("/"))]

    def read(self, name: str) -> bytes:
        """One file's content."""
        if self.archive is None:
            return (self.path / name).read_bytes()
        if self.archive.getinfo(name).file_size > MAX_BYTES:
            raise InputError(f"{self.path}: {name} unpacks to more than {MAX_BYTES >> 20} MiB; that is no picture")
        try:
            return self.archive.read(name)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
            raise InputError(f"{self.path}: {name} cannot be unpacked ({error})") from error

    def pictures(self, folder: str | None) -> dict[str, str]:
        """Stem to name of the pictures of a folder at any depth, or of all pictures."""
        found: dict[str, str] = {}
        for name in self.names:
            path = PurePosixPath(name)
            if path.suffix.lower() in SUFFIXES and (folder is None or path.parent.name == folder):
                if path.stem in found:
                    raise InputError(f"{self.path}: both {found[path.stem]} and {name}: names must differ")
                found[path.stem] = name
        return found

    def images(self) -> dict[str, str]:
        """Stem to name of the pictures of ``images/``, or of all; InputError where there are none."""
        found = self.pictures("images") or self.pictures(None)
        if not found:
            raise InputError(f"{self.path} holds no pictures")
        return found

    def json(self, name: str) -> Any:
        """A JSON file at the top (or in the single top folder), None where there is none."""
        found = [n for n in self.names if PurePosixPath(n).name == name and n.count("/") <= 1]
        if not found:
            return None
        try:
            return json.loads(self.read(found[0]))
        except ValueError as error:
            raise InputError(f"{self.path}: {found[0]} is no JSON ({error})") from error


class FilePairs(Pairs):
    """Pairs that are files, numbered by the order of their stems and decoded when they are asked for."""

    stems: list[str]

    def __len__(self) -> int:
        return len(self.stems)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers, decoded."""
        return [self._read(self.stems[i]) for i in indices]

    @abstractmethod
    def _read(self, stem: str) -> Pair: ...


class LabelledPairs(FilePairs):
    """Images with human masks.

    ``mapping`` (256 entries) turns mask values into class ids, 255 where a value is not labelled; ``numbered`` says
    that every mask value is one object. ``masks`` is a second folder or zip where masks are not beside the images.
    """

    def __init__(
        self,
        path: Path,
        masks: Path | None = None,
        mapping: UInt8[Array, "256"] | None = None,
        numbered: bool = False,
    ) -> None:
        self.files = FolderOrZip(path)
        self.mask_files = self.files if masks is None else FolderOrZip(masks)
        self.mapping, self.numbered = mapping, numbered
        self.groups = read_groups(self.files)
        images = self.files.pictures("images" if masks is None else None)
        found = self.mask_files.pictures("masks" if masks is None else None)
        self.instances = self.files.pictures("instances") if masks is None else {}
        if not images:
            raise InputError(f"{path} holds no pictures" + (" in images/" if masks is None else ""))
        lacking = sorted(images.keys() - found.keys())
        if lacking:
            raise InputError(
                f"{len(lacking)} of {len(images)} images have no mask, the first is {images[lacking[0]]}: "
                f"expected a picture {lacking[0]}.png in {'masks/' if masks is None else masks}"
            )
        self.stems = sorted(images)
        self.images, self.masks = images, found
        self.classes = read_classes(self.files)
        self.points, self.placed = read_points(self.files)

    def leave_out(self, names: Sequence[str]) -> None:
        """Takes pairs out; InputError where one of them is not there, or none would be left."""
        strange = sorted(set(names) - set(self.stems))
        if strange:
            raise InputError(f"{self.files.path}: has no pair {strange[0]!r}, which the list says to leave out")
        self.stems = sorted(set(self.stems) - set(names))
        if not self.stems:
            raise InputError(f"{self.files.path}: the list leaves out every pair")

    def settle_white(self, num_classes: int) -> None:
        """Reads 255 as class 1 where there are two classes and masks hold nothing but 0 and 255; warns of it.

        Such masks are binary pictures; else 255 would mean "not labelled" everywhere, and no object would be left.
        In a label set of ours 255 always means that.
        """
        own = self.files.json("labelset.json") is not None
        if own or num_classes != 2 or self.mapping is not None or self.numbered:
            return
        white = False
        for stem in self.stems:
            values = np.unique(self._read(stem).mask)
            if not np.isin(values, (0, IGNORE_INDEX)).all():
                return
            white = white or IGNORE_INDEX in values
        if white:
            warnings.warn(f"{self.mask_files.path}: masks hold 0 and 255 alone: 255 is read as class 1", stacklevel=3)
            self.mapping = np.where(np.arange(256) == IGNORE_INDEX, 1, np.arange(256)).astype(np.uint8)

    def _read(self, stem: str) -> Pair:
        image = read_image(self.files.read(self.images[stem]), self.images[stem])
        ids = self.mapping is None and not self.numbered  # else the values count, whatever colours they have
        mask = read_mask(self.mask_files.read(self.masks[stem]), self.masks[stem], self.classes if ids else None)
        instances = None
        if stem in self.instances:
            instances = read_object_numbers(self.files.read(self.instances[stem]), self.instances[stem])
        elif self.numbered:
            instances = mask
        for name, array in (("mask", mask), ("instances", instances)):
            if array is not None and array.shape != image.shape[:2]:
                raise InputError(f"{stem}: the image is {_size(image)}, its {name} {_size(array)}: must be equal")
        if self.mapping is not None:
            mask = self.mapping[mask]
        group, points = self.groups.get(stem, stem), self.placed.get(stem)
        return Pair(image, mask, instances=instances, name=stem, group=group, keypoints=points)


class Pictures(FilePairs):
    """Images without labels: the pictures of ``images/``, or all, of a folder or zip; every pixel is 255."""

    def __init__(self, path: Path) -> None:
        self.files = FolderOrZip(path)
        self.images = self.files.images()
        self.stems = sorted(self.images)

    def _read(self, stem: str) -> Pair:
        image = read_image(self.files.read(self.images[stem]), self.images[stem])
        return Pair(image, np.full(image.shape[:2], IGNORE_INDEX, np.uint8), name=stem)


def read_classes(files: FolderOrZip) -> tuple[LabelClass, ...] | None:
    """The classes that a folder itself names, None where it does not."""
    for name in ("labelset.json", "classes.json"):
        data = files.json(name)
        if isinstance(data, dict):
            data = data.get("classes")
        if data is not None:
            where = f"{files.path}: {name}"
            if not isinstance(data, list):
                raise InputError(f'{where}: expected a list of classes, like [{{"name": "background"}}]')
            colors = new_colors(len(data))
            for i, entry in enumerate(data):
                if isinstance(entry, dict):
                    entry.setdefault("color", list(colors[i]))
            return tuple(parse_class(entry, f"{where}: classes[{i}]") for i, entry in enumerate(data))
    return None


def read_groups(files: FolderOrZip) -> dict[str, str]:
    """File stem to the name of what the image was cut from; empty where the folder does not say."""
    data = files.json("groups.json") or files.json("source.json") or {}
    if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
        raise InputError(f"{files.path}: groups.json must be an object of file names and group names")
    return {PurePosixPath(name).stem: group for name, group in data.items()}


def read_points(files: FolderOrZip) -> tuple[tuple[str, ...], dict[str, Float[Array, "points 3"]]]:
    """Names of the key points, and those of each file by its stem: of keypoints.json or of a label set of ours."""
    data = files.json("keypoints.json")
    if data is None:
        labels = files.json("labelset.json") or {}
        rows = {s["file"]: s["keypoints"] for s in labels.get("samples", []) if s.get("keypoints") is not None}
        data = {"names": labels.get("keypoints", []), "points": rows}
    try:
        names = tuple(map(str, data["names"]))
        placed = {
            PurePosixPath(n).stem: np.array(p, np.float32).reshape(len(names), 3) for n, p in data["points"].items()
        }
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        told = '{"names": [NAME, ...], "points": {FILE: [[x, y, visibility] for each name]}}'
        raise InputError(f"{files.path}: keypoints.json is not {told} ({error})") from error
    return names, placed


def parse_mapping(text: str) -> UInt8[Array, "256"]:
    """``"0:0,1:1,2-254:2"``: mask values and ranges to class ids; every other value is not labelled (255)."""
    mapping = np.full(256, IGNORE_INDEX, np.uint8)
    for part in text.split(","):
        try:
            values, label = part.split(":")
            low, _, high = values.partition("-")
            first, last, to = int(low), int(high or low), int(label)
        except ValueError:
            first, last, to = -1, -1, -1
        if not (0 <= first <= last <= 255 and 0 <= to <= 255):
            raise InputError(f"mapping {text!r}: {part!r} is not VALUE:CLASS or FROM-TO:CLASS with numbers 0 to 255")
        mapping[first : last + 1] = to
    return mapping


def _size(array: Array) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
