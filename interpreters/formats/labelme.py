"""labelme: one JSON file an image. Facts: its own reader and writer (version 6), https://github.com/wkentaro/labelme."""

import base64
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked, field, read_json
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
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet

HIDDEN = "hidden"
"""The flag of a point that is in the image but not to be seen (COCO's visibility 1); labelme itself has no word."""


class Labelme(Format):
    """labelme's JSON files, one an image."""

    title = "labelme's JSON files"

    def recognises(self, source: Source) -> str | None:
        """An object with shapes at the top level."""
        for path in source.files(".json"):
            data = source.peek(path)
            if isinstance(data, dict) and "shapes" in data:
                return f"{path.name} has shapes"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a file."""
        for path in source.files(".json"):
            yield read_file(path)


def read_file(path: Path) -> Drawing:
    data = read_json(path)
    where = str(path)
    height, width = field(data, "imageHeight", int, where, 0), field(data, "imageWidth", int, where, 0)
    image = PureWindowsPath(field(data, "imagePath", str, where, "")).stem  # takes both kinds of slash
    drawing = Drawing((path.stem, image), where, (height, width) if height and width else None)
    for i, entry in enumerate(field(data, "shapes", list, where)):
        _add(drawing, entry, f"{where}: shapes[{i}]")
    return drawing


def _add(drawing: Drawing, entry: Any, where: str) -> None:
    label = field(entry, "label", str, where)
    where = f"{where} ({label!r})"
    kind = field(entry, "shape_type", str, where, "polygon")
    points = [_point(p, f"{where}: points[{i}]") for i, p in enumerate(field(entry, "points", list, where))]
    visible = not checked(entry.get("flags") or {}, dict, f"{where}: flags").get(HIDDEN)
    group = field(entry, "group_id", int, where, None)
    if kind == "point":
        _expect(points, 1, kind, where)
        drawing.keypoints.append(Keypoint(label, *points[0], where, visible))
        return
    region: Region
    if kind == "mask":
        _expect(points, 2, kind, where)
        region = _bitmap(field(entry, "mask", str, where), points, where)
    elif kind == "circle":
        _expect(points, 2, kind, where)
        (cx, cy), edge = points
        radius = math.dist((cx, cy), edge)
        region = Ellipse(cx, cy, radius, radius)
    elif kind == "rectangle":
        _expect(points, 2, kind, where)
        (x0, y0), (x1, y1) = points
        region = Polygons((outline([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], where),))
    elif kind in ("polygon", "oriented_rectangle"):
        region = Polygons((outline(points, where),))
    else:
        region = NoArea(f"shape_type {kind!r} has no area; expected polygon, rectangle, circle, mask or point")
    drawing.shapes.append(Shape(label, region, where, group))


def _expect(points: list[tuple[float, float]], count: int, kind: str, where: str) -> None:
    if len(points) != count:
        raise InputError(f"{where}: a {kind} of {len(points)} points; expected {count}")


def _point(value: Any, where: str) -> tuple[float, float]:
    pair = [checked(v, float, where) for v in checked(value, list, where)]
    if len(pair) != 2 or max(map(abs, pair)) > FAR:
        raise InputError(f"{where}: {str(value)[:60]} is not [x, y] in the image")
    return pair[0], pair[1]


def _bitmap(text: str, points: list[tuple[float, float]], where: str) -> Bitmap:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as picture:
            pixels = np.array(picture.convert("L")) > 0
    except Exception:  # whatever a broken picture makes the decoder raise
        raise InputError(f"{where}: mask is not a PNG in base64") from None
    (x0, y0), (x1, y1) = (map(int, p) for p in points)
    if pixels.shape != (y1 - y0 + 1, x1 - x0 + 1):
        raise InputError(
            f"{where}: mask is {pixels.shape[1]} x {pixels.shape[0]}, its corners span {x1 - x0 + 1} x {y1 - y0 + 1}"
        )
    return Bitmap(pixels, x0, y0)
