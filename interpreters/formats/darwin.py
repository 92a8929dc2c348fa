"""Darwin JSON, the export of V7: versions 1 and 2, one file an image.

Facts: https://docs.v7labs.com/reference/darwin-json and darwin-py 3.6. Coordinates are pixels.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.interpreters.formats.drawing import (
    FAR,
    Bitmap,
    Drawing,
    Ellipse,
    Keypoint,
    NoArea,
    Polygons,
    Region,
    Shape,
    outline,
)
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names
from labelfactory.interpreters.formats.rle import MAX_PIXELS
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet

SHAPES = ("polygon", "ellipse", "bounding_box")  # in this order, as polygons and ellipses bring their box along
NO_AREA = ("tag", "line", "cuboid", "string", "graph", "table", "simple_table", "eye")


class Darwin(Format):
    """V7's files: polygons, ellipses, boxes, masks, key points and skeletons."""

    title = "V7's Darwin JSON"

    def recognises(self, source: Source) -> str | None:
        """An item (version 2) or an image (version 1) beside annotations."""
        for path in source.files(".json", deep=True):
            if _is_darwin(source.peek(path)):
                return f"{path.name} has an item with annotations"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a file."""
        for path in source.files(".json", deep=True):
            if _is_darwin(source.peek(path)):
                yield _read_document(source.json(path, dict), path)


def _is_darwin(data: Any) -> bool:
    return (
        isinstance(data, dict)
        and isinstance(data.get("annotations"), list)
        and any(isinstance(data.get(key), dict) for key in ("item", "image"))
    )


def _read_document(data: Any, path: Path) -> Drawing:
    where = str(path)
    if "item" in data:
        item = field(data, "item", dict, where)
        slots = field(item, "slots", list, f"{where}: item", [])
        if len(slots) > 1:
            raise InputError(f"{where}: has {len(slots)} slots; expected one picture an item")
        name, sized = field(item, "name", str, f"{where}: item"), slots[0] if slots else {}
        if field(sized, "type", str, f"{where}: item", "image") not in ("image", ""):
            raise InputError(f"{where}: is a {sized['type']}; expected an image")
    else:
        sized = field(data, "image", dict, where)
        name = field(sized, "filename", str, f"{where}: image")
    height, width = (field(sized, k, int, f"{where}: size", 0) for k in ("height", "width"))
    size = (height, width) if height and width else None
    drawing = Drawing(image_names(name), f"{where} ({name!r})", size, said="listed")
    annotations = data["annotations"]
    numbers = _mask_labels(annotations, where)
    for i, entry in enumerate(annotations):
        label = field(entry, "name", str, f"{where}: annotations[{i}]")
        _add(drawing, entry, label, numbers, f"{where}: annotations[{i}] ({label!r})")
    return drawing


def _mask_labels(annotations: list[Any], where: str) -> dict[str, str]:
    """Label of every "mask" annotation, by its id; their pixels are in the "raster_layer" annotation."""
    return {
        field(e, "id", str, f"{where}: annotations[{i}]"): field(e, "name", str, f"{where}: annotations[{i}]")
        for i, e in enumerate(annotations)
        if isinstance(e, dict) and "mask" in e
    }


def _add(drawing: Drawing, entry: Any, label: str, masks: Mapping[str, str], where: str) -> None:
    if "raster_layer" in entry:
        _add_layer(drawing, field(entry, "raster_layer", dict, where), masks, where)
    elif "mask" in entry:
        return
    elif "keypoint" in entry:
        x, y = _point(entry["keypoint"], f"{where}: keypoint")
        drawing.keypoints.append(Keypoint(label, x, y, where))
    elif "skeleton" in entry:
        nodes = field(field(entry, "skeleton", dict, where), "nodes", list, where)
        for j, node in enumerate(nodes):
            place = f"{where}: nodes[{j}]"
            x, y = _point(node, place)
            hidden = field(node, "occluded", bool, place, False)
            drawing.keypoints.append(Keypoint(field(node, "name", str, place), x, y, place, not hidden))
    else:
        kind = next((k for k in SHAPES if k in entry), None)
        if kind is not None:
            drawing.shapes.append(Shape(label, _region(kind, field(entry, kind, dict, where), where), where))
            return
        other = next((k for k in NO_AREA if k in entry), None)
        if other is None:
            raise InputError(f"{where}: has none of {', '.join((*SHAPES, 'mask', 'keypoint', 'skeleton'))}")
        if other == "tag":
            drawing.notes.append(f"{where}: a tag is of the whole image, left out")
        else:
            drawing.shapes.append(Shape(label, NoArea(f"a {other} has no area"), where))


def _point(value: Any, where: str) -> tuple[float, float]:
    x, y = field(value, "x", float, where), field(value, "y", float, where)
    if max(abs(x), abs(y)) > FAR:
        raise InputError(f"{where}: ({x:g}, {y:g}) is not in the image")
    return x, y


def _region(kind: str, value: Any, where: str) -> Region:
    if kind == "polygon":
        paths = field(value, "paths", list, where, None)
        if paths is None:
            paths = [field(value, "path", list, where), *field(value, "additional_paths", list, where, [])]
        outlines = tuple(
            outline([_point(p, f"{where}: path[{i}]") for p in checked(path, list, f"{where}: path")], where)
            for i, path in enumerate(paths)
        )
        return Polygons(outlines, even_odd=True)  # what lies inside of two paths is a hole
    if kind == "ellipse":
        (cx, cy), (rx, ry) = (_point(field(value, k, dict, where), f"{where}: {k}") for k in ("center", "radius"))
        return Ellipse(cx, cy, rx, ry, math.degrees(field(value, "angle", float, where, 0.0)))
    x, y = _point(value, where)
    w, h = (field(value, k, float, where) for k in ("w", "h"))
    return Polygons((outline([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], where),))


def _add_layer(drawing: Drawing, layer: Any, masks: Mapping[str, str], where: str) -> None:
    """All masks of an image in one code: pairs of a number and how many pixels have it, along the rows."""
    flat = [checked(v, int, f"{where}: dense_rle") for v in field(layer, "dense_rle", list, where)]
    if drawing.size is None:
        raise InputError(f"{where}: the file does not say the image's size, which masks need")
    height, width = drawing.size
    values, runs = flat[::2], flat[1::2]
    fits = 0 < height * width <= MAX_PIXELS and all(0 <= v < 1 << 31 for v in flat)
    if len(flat) % 2 or not fits or sum(runs) != height * width:
        raise InputError(f"{where}: dense_rle adds up to {sum(runs)} pixels; expected {height} x {width}")
    pixels = np.repeat(np.array(values, np.int64), runs).reshape(height, width)
    for key, number in field(layer, "mask_annotation_ids_mapping", dict, where).items():
        if key not in masks:
            raise InputError(f"{where}: mask {key!r} is not among the annotations")
        chosen = pixels == checked(number, int, f"{where}: mask_annotation_ids_mapping")
        drawing.shapes.append(Shape(masks[key], Bitmap(chosen), f"{where}: mask {key!r} ({masks[key]!r})"))
