"""COCO: one JSON file for all images; polygons, both run-length codes, keypoints. https://cocodataset.org/#format-data"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.interpreters.formats.coco_panoptic import is_panoptic
from labelfactory.interpreters.formats.drawing import FAR, Bitmap, Drawing, Keypoint, Polygons, Region, Shape, outline
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names
from labelfactory.interpreters.formats.rle import decode_coco
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet


class Coco(Format):
    """COCO's object segmentation and keypoints."""

    title = "COCO's JSON"

    def recognises(self, source: Source) -> str | None:
        """Images and annotations side by side at the top level."""
        found = _documents(source)
        return f"{found[0].name} has images" if found else None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing an image, with annotations or without, of every file in turn (train, valid, test)."""
        found: dict[tuple[str, ...], Drawing] = {}
        for path in _documents(source) or [source.only(".json", self.title)]:
            for drawing in read_document(source.json(path, dict), str(path)):
                there = found.setdefault(drawing.names, drawing)
                if there is drawing:
                    continue
                if there.where.startswith(f"{path}: ") or not _joined(there, drawing):
                    yield drawing  # for the importer, which refuses an image that is drawn twice and names both
        yield from found.values()


def _joined(first: Drawing, second: Drawing) -> bool:
    """Add to a drawing what another file says of the same image, where one has outlines and the other key points.

    So are the data set's own files: ``instances_train.json`` and ``person_keypoints_train.json``.
    """
    if (first.shapes and second.shapes) or (first.keypoints and second.keypoints):
        return False
    if None not in (first.size, second.size) and first.size != second.size:
        return False
    first.shapes += second.shapes
    first.keypoints += second.keypoints
    first.notes += second.notes
    return True


def _documents(source: Source) -> list[Path]:
    found = []
    for path in source.files(".json", deep=True):
        data = source.peek(path)
        if isinstance(data, dict) and isinstance(data.get("images"), list) and not is_panoptic(data):
            found.append(path)
    return found


def read_document(data: Any, where: str) -> Iterator[Drawing]:
    """The drawings of a parsed COCO file, one an image that has annotations or not, in the file's order."""
    categories: dict[int, tuple[str, list[str]]] = {}
    for i, entry in enumerate(field(data, "categories", list, where)):
        place = f"{where}: categories[{i}]"
        points = [checked(n, str, f"{place}: keypoints") for n in field(entry, "keypoints", list, place, [])]
        _add(categories, field(entry, "id", int, place), (field(entry, "name", str, place), points), place)
    drawings: dict[int, Drawing] = {}
    for i, entry in enumerate(field(data, "images", list, where)):
        place = f"{where}: images[{i}]"
        name = field(entry, "file_name", str, place)
        height, width = field(entry, "height", int, place, 0), field(entry, "width", int, place, 0)
        size = (height, width) if height and width else None
        drawing = Drawing(image_names(name), f"{place} ({name!r})", size, said="listed")
        _add(drawings, field(entry, "id", int, place), drawing, place)
    boxes: dict[str, int] = {}
    for i, entry in enumerate(field(data, "annotations", list, where)):
        place = f"{where}: annotations[{i}]"
        image, category = field(entry, "image_id", int, place), field(entry, "category_id", int, place)
        if image not in drawings:
            raise InputError(f"{place}: image_id {image} is not among the images")
        if category not in categories:
            raise InputError(f"{place}: category_id {category} is not among the categories")
        _read_annotation(drawings[image], entry, *categories[category], boxes, place)
    for drawing in drawings.values():
        if drawing.where in boxes:
            drawing.notes.append(f"{drawing.where}: {boxes[drawing.where]} boxes without an outline, drawn filled")
        yield drawing


def _add(table: dict[int, Any], key: int, value: Any, where: str) -> None:
    if key in table:
        raise InputError(f"{where}: id {key} is used twice")
    table[key] = value


def _read_annotation(
    drawing: Drawing, entry: Any, label: str, keypoint_names: list[str], boxes: dict[str, int], where: str
) -> None:
    where = f"{where} ({label!r})"
    segmentation = entry.get("segmentation")
    if segmentation == [[]]:  # some tools write it with boxes
        segmentation = None
    keypoints = field(entry, "keypoints", list, where, [])
    if segmentation:
        drawing.shapes.append(
            Shape(label, _region(segmentation, drawing, where), where, field(entry, "id", int, where, None))
        )
    elif not keypoints:
        drawing.shapes.append(Shape(label, _box(entry, where), where))
        boxes[drawing.where] = boxes.get(drawing.where, 0) + 1
    if not keypoints:
        return
    if len(keypoints) != 3 * len(keypoint_names):
        raise InputError(
            f"{where}: {len(keypoints)} keypoint numbers; expected 3 for each of {len(keypoint_names)} keypoints"
        )
    for i, name in enumerate(keypoint_names):
        x, y, visibility = (checked(v, float, f"{where}: keypoints") for v in keypoints[3 * i : 3 * i + 3])
        if visibility not in (0, 1, 2) or max(abs(x), abs(y)) > FAR:
            raise InputError(
                f"{where}: keypoint {name!r} is ({x:g}, {y:g}, {visibility:g}); expected x, y and 0, 1 or 2"
            )
        if visibility:
            drawing.keypoints.append(Keypoint(name, x, y, where, visibility == 2))


def _box(entry: Any, where: str) -> Polygons:
    if not entry.get("bbox"):
        raise InputError(f"{where}: has no segmentation, keypoints or bbox")
    numbers = [checked(v, float, f"{where}: bbox") for v in field(entry, "bbox", list, where)]
    if len(numbers) != 4:
        raise InputError(f"{where}: bbox has {len(numbers)} numbers; expected x, y, width, height")
    x, y, w, h = numbers
    return Polygons((outline([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], where),))


def _region(segmentation: Any, drawing: Drawing, where: str) -> Region:
    if isinstance(segmentation, dict):
        pixels = decode_coco(segmentation, where)
        if drawing.size and pixels.shape != drawing.size:
            raise InputError(
                f"{where}: mask is {pixels.shape[1]} x {pixels.shape[0]}, "
                f"the image {drawing.size[1]} x {drawing.size[0]}"
            )
        drawing.size = pixels.shape
        return Bitmap(pixels).trimmed()
    outlines = []
    for i, numbers in enumerate(checked(segmentation, list, f"{where}: segmentation")):
        place = f"{where}: segmentation[{i}]"
        flat = [checked(v, float, place) for v in checked(numbers, list, place)]
        if len(flat) % 2:
            raise InputError(f"{place}: {len(flat)} numbers; expected x, y pairs")
        outlines.append(outline(zip(flat[::2], flat[1::2], strict=True), place))
    return Polygons(tuple(np.asarray(o) for o in outlines))
