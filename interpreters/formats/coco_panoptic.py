"""COCO panoptic: one JSON file, and a picture an image whose colours number the segments.

Facts: https://cocodataset.org/#format-data: number = red + 256 green + 65536 blue, 0 is not labelled.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import field
from labelfactory.interpreters.formats.drawing import IGNORE_LABEL, Drawing
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names
from labelfactory.interpreters.formats.pictures import drawing_of
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import open_picture


class CocoPanoptic(Format):
    """COCO's panoptic segmentation."""

    title = "COCO's panoptic JSON"

    def recognises(self, source: Source) -> str | None:
        """Annotations that list segments."""
        for path in source.files(".json", deep=True):
            if is_panoptic(source.peek(path)):
                return f"{path.name} has segments_info"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing an annotated image, of the classes: a label set does not hold which object is which."""
        for path in source.files(".json", deep=True):
            if is_panoptic(source.peek(path)):
                yield from _read_document(source, path)


def is_panoptic(data: Any) -> bool:
    """Whether a parsed file is of this format."""
    annotations = data.get("annotations") if isinstance(data, dict) else None
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    return isinstance(first, dict) and "segments_info" in first


def _read_document(source: Source, path: Path) -> Iterator[Drawing]:
    data, where = source.json(path, dict), str(path)
    categories = {}
    for i, entry in enumerate(field(data, "categories", list, where)):
        place = f"{where}: categories[{i}]"
        categories[field(entry, "id", int, place)] = field(entry, "name", str, place)
    images = {}
    for i, entry in enumerate(field(data, "images", list, where)):
        place = f"{where}: images[{i}]"
        images[field(entry, "id", int, place)] = field(entry, "file_name", str, place)
    pictures = source.files(".png", deep=True) if source.path.is_dir() else sorted(path.parent.rglob("*.png"))
    for i, entry in enumerate(field(data, "annotations", list, where)):
        place = f"{where}: annotations[{i}]"
        image = field(entry, "image_id", int, place)
        if image not in images:
            raise InputError(f"{place}: image_id {image} is not among the images")
        name = PureWindowsPath(field(entry, "file_name", str, place)).name
        drawing = _read_segments(_picture(pictures, path, name, place), entry, categories, place)
        drawing.names = tuple(dict.fromkeys((*image_names(images[image]), *image_names(name))))
        if not i:
            drawing.notes.append(f"{where}: tells objects apart, which a label set does not hold; classes are read")
        yield drawing


def _picture(pictures: list[Path], document: Path, name: str, where: str) -> Path:
    """The segments' picture: in the folder called like the JSON file, else like "panoptic" or "masks", else beside."""
    found = [p for p in pictures if _plain(p.name) == _plain(name)]
    for folder in (document.stem, "panoptic", "masks", document.parent.name):
        inside = [p for p in found if folder in p.parent.name]
        if len(inside) == 1:
            return inside[0]
    if len(found) != 1:
        raise InputError(f"{where}: {len(found)} pictures are called {name!r}; expected one in {document.stem}/")
    return found[0]


def _plain(name: str) -> str:
    """A file's name in one Unicode form (macOS decomposes it) with its suffix in lower case."""
    path = PurePath(unicodedata.normalize("NFC", name))
    return path.stem + path.suffix.lower()


def _read_segments(path: Path, entry: Any, categories: Mapping[int, str], where: str) -> Drawing:
    image = open_picture(path)
    if image.mode not in ("RGB", "RGBA"):
        raise InputError(f"{path}: a picture of mode {image.mode}; expected RGB, whose colours number the segments")
    numbers = np.array(image.convert("RGB")).astype(np.int64) @ np.array([1, 256, 65536])
    label_of = {0: IGNORE_LABEL}
    for i, segment in enumerate(field(entry, "segments_info", list, where)):
        place = f"{where}: segments_info[{i}]"
        number, category = field(segment, "id", int, place), field(segment, "category_id", int, place)
        if category not in categories:
            raise InputError(f"{place}: category_id {category} is not among the categories")
        if label_of.setdefault(number, categories[category]) != categories[category]:
            raise InputError(f"{place}: id {number} is used twice")
    used, places = np.unique(numbers, return_inverse=True)
    for number in used.tolist():
        if number not in label_of:
            raise InputError(f"{path}: has the colour of segment {number}, which {where} does not list")
    names = list(dict.fromkeys(label_of[n] for n in used.tolist()))
    lookup = np.array([names.index(label_of[n]) for n in used.tolist()])
    drawing = drawing_of(path, lookup[places].reshape(numbers.shape), dict(enumerate(names)))
    missing = sorted(set(label_of) - set(used.tolist()) - {0})
    if missing:
        drawing.notes.append(f"{path}: {len(missing)} segments that are listed have no pixel")
    return drawing
