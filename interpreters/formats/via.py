"""VGG Image Annotator, versions 1 and 2: projects and exports as JSON, exports as CSV.

Facts: https://www.robots.ox.ac.uk/~vgg/software/via/ and its sources (1.0.6 and 2.0.12). Coordinates are pixels.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.interpreters.checked_text import read_rows, read_text
from labelfactory.interpreters.formats.drawing import (
    FAR,
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
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet

NO_LABEL = "region"
"""The label of regions without any attribute."""


class Via(Format):
    """VIA's files; the label of a region is its one attribute, or that of several whose values are classes."""

    title = "VGG Image Annotator's JSON or CSV"

    def recognises(self, source: Source) -> str | None:
        """Entries of files with regions."""
        for path in source.files(".json"):
            if _images(source.peek(path)) is not None:
                return f"{path.name} has files with regions"
        for path in source.files(".csv"):
            if _is_table(path):
                return f"{path.name} has region_shape_attributes"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing an image."""
        entries: list[tuple[str, Any, Any]] = []  # place, file name, regions
        for path in source.files(".json"):
            for key, image in (_images(source.peek(path)) or {}).items():
                place = f"{path}: {key!r}"
                regions = image.get("regions")
                if isinstance(regions, dict):  # version 1 numbers them
                    regions = list(regions.values())
                entries.append(
                    (place, field(image, "filename", str, place), checked(regions, list, f"{place}: regions"))
                )
        for path in source.files(".csv"):
            if _is_table(path):
                entries += _read_table(path)
        wanted = {*(n.casefold().strip() for n in labels.class_names), *(m.casefold() for m in mapping)}
        attribute, note = _label_attribute(entries, wanted, source.path)
        for place, name, regions in entries:
            drawing = Drawing(image_names(name), f"{place} ({name!r})", said="listed")
            drawing.notes, note = note, []
            for i, region in enumerate(regions):
                _add(drawing, region, attribute, f"{place}: regions[{i}]")
            unnamed = [*(s.label for s in drawing.shapes), *(k.label for k in drawing.keypoints)].count(NO_LABEL)
            if unnamed:
                drawing.notes.append(f"{drawing.where}: {unnamed} regions without a label, called {NO_LABEL!r}")
            yield drawing


def _images(data: Any) -> dict[str, dict[str, Any]] | None:
    """The entries of a parsed file, of a project or of an export alone; None where it is no file of VIA."""
    if isinstance(data, dict) and isinstance(data.get("_via_img_metadata"), dict):
        data = data["_via_img_metadata"]
    if not isinstance(data, dict) or not data:
        return None
    good = all(isinstance(v, dict) and isinstance(v.get("filename"), str) and "regions" in v for v in data.values())
    return data if good else None


def _is_table(path: Path) -> bool:
    try:
        return "region_shape_attributes" in read_text(path).split("\n", 1)[0]
    except InputError:
        return False


def _read_table(path: Path) -> list[tuple[str, Any, Any]]:
    """(place, file name, regions) of a CSV export, a line a region."""
    head, *rows = read_rows(path)
    names = [name.lstrip("#") for name in head]  # version 1 has #filename
    images: dict[str, tuple[str, list[Any]]] = {}
    for number, cells in enumerate(rows, 2):
        place, row = f"{path}: line {number}", dict(zip(names, cells, strict=False))
        name = row.get("filename")
        if not name:
            raise InputError(f"{place}: filename is missing")
        regions = images.setdefault(name, (place, []))[1]
        try:
            shape, attributes = (json.loads(row.get(f"region_{k}") or "{}") for k in ("shape_attributes", "attributes"))
        except (ValueError, RecursionError):
            raise InputError(f"{place}: the region's attributes are not JSON") from None
        if shape:
            regions.append({"shape_attributes": shape, "region_attributes": attributes})
    return [(place, name, regions) for name, (place, regions) in images.items()]


def _label_attribute(
    entries: list[tuple[str, Any, Any]], wanted: set[str], where: Path
) -> tuple[str | None, list[str]]:
    """Name of the attribute that holds the label, and what is to be said of the choice."""
    values: dict[str, Counter[str]] = {}
    for place, _, regions in entries:
        for i, region in enumerate(regions):
            attributes = field(region, "region_attributes", dict, f"{place}: regions[{i}]", {})
            for key, value in attributes.items():
                if _text(value):
                    values.setdefault(key, Counter())[_text(value)] += 1
    if len(values) <= 1:
        return next(iter(values), None), []
    fitting = [k for k, found in values.items() if all(v.casefold().strip() in wanted for v in found)]
    if len(fitting) != 1:
        raise InputError(
            f"{where}: regions have the attributes {', '.join(map(repr, values))}; which of them is the label cannot "
            "be told: map the values of one of them to classes"
        )
    others = ", ".join(repr(k) for k in values if k != fitting[0])
    return fitting[0], [f"{where}: the attribute {fitting[0]!r} is the label; {others} are left out"]


def _text(value: Any) -> str:
    """An attribute's value; of a checkbox the one that is ticked."""
    if isinstance(value, dict):
        ticked = [k for k, on in value.items() if on]
        return ticked[0] if len(ticked) == 1 else " + ".join(ticked)
    return value.strip() if isinstance(value, str) else ""


def _add(drawing: Drawing, region: Any, attribute: str | None, where: str) -> None:
    shape = field(region, "shape_attributes", dict, where)
    label = _text(field(region, "region_attributes", dict, where, {}).get(attribute)) or NO_LABEL
    where = f"{where} ({label!r})"
    kind = field(shape, "name", str, where)

    def value(key: str, default: float | None = None) -> float:
        number: float = field(shape, key, float, where) if default is None else field(shape, key, float, where, default)
        if abs(number) > FAR:
            raise InputError(f"{where}: {key} is {number:g} pixels; expected a place in the image")
        return number

    made: Region
    if kind == "point":
        drawing.keypoints.append(Keypoint(label, value("cx"), value("cy"), where))
        return
    if kind == "polyline":
        made = NoArea("a polyline has no area")
    elif kind == "polygon":
        x, y = (
            [checked(v, float, f"{where}: {k}") for v in field(shape, k, list, where)]
            for k in ("all_points_x", "all_points_y")
        )
        if len(x) != len(y):
            raise InputError(f"{where}: {len(x)} x and {len(y)} y")
        made = Polygons((outline(zip(x, y, strict=True), where),))
    elif kind == "rect":
        x0, y0, w, h = value("x"), value("y"), value("width"), value("height")
        made = Polygons((outline([(x0, y0), (x0 + w, y0), (x0 + w, y0 + h), (x0, y0 + h)], where),))
    elif kind == "circle":
        made = Ellipse(value("cx"), value("cy"), value("r"), value("r"))
    elif kind == "ellipse":  # theta in radians, clockwise
        angle = math.degrees(value("theta", 0.0))
        made = Ellipse(value("cx"), value("cy"), value("rx"), value("ry"), angle)
    else:
        raise InputError(f"{where}: shape {kind!r} is not known; expected polygon, rect, circle, ellipse or point")
    drawing.shapes.append(Shape(label, made, where))
