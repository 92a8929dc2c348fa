"""CVAT: "CVAT for images 1.1" (XML: polygons, boxes, masks, ellipses, points, skeletons) and its mask exports.

Facts: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/. Coordinates are pixels.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import tostring

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_text import attribute, number, read_xml, root_tag, whole
from labelfactory.interpreters.formats import cvat_masks
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

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


class Cvat(Format):
    """CVAT's XML for images, of one job or several, and its masks with ``labelmap.txt``."""

    title = "CVAT's 'CVAT for images 1.1' or 'Segmentation mask 1.1'"

    def recognises(self, source: Source) -> str | None:
        """The XML's root, or the two things that CVAT writes with masks."""
        found = [p.name for p in _documents(source)]
        if found:
            return f"{found[0]} has <annotations>"
        # with boxes beside the masks it is Pascal VOC, which reads the same table of colours
        return None if source.files(".xml", deep=True) else cvat_masks.reason(source)

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing an image; images that several jobs share are taken once."""
        documents = _documents(source)
        if not documents:
            yield from cvat_masks.read(source)
            return
        if cvat_masks.reason(source):
            raise InputError(f"{source.path}: has {documents[0].name} and masks of the same; give one of the two alone")
        found: dict[str, tuple[Drawing, str]] = {}
        for path in documents:
            for name, drawing, content in _read_document(path):
                there, known = found.get(name, (None, ""))
                if there is not None and content not in ("", known) and known:
                    raise InputError(f"{drawing.where}: is drawn differently in {there.where}; remove one of them")
                if there is not None:
                    kept = drawing if content and not known else there
                    kept.notes = [*there.notes, *drawing.notes, f"{drawing.where}: is in several jobs, taken once"]
                    found[name] = kept, content or known
                else:
                    found[name] = drawing, content
        yield from (drawing for drawing, _ in found.values())


def _documents(source: Source) -> list[Path]:
    return [p for p in source.files(".xml", deep=True) if root_tag(p) == "annotations"]


def _read_document(path: Path) -> Iterator[tuple[str, Drawing, str]]:
    """(name, drawing, what it was made from) of every image of a file."""
    root = read_xml(path)
    if root.find("track") is not None:
        raise InputError(f"{path}: holds tracks of a video; export the job as 'CVAT for images 1.1'")
    for i, image in enumerate(root.findall("image")):
        place = f"{path}: image[{i}]"
        name = attribute(image, "name", place)
        place = f"{place} ({name!r})"
        size = whole(attribute(image, "height", place), place), whole(attribute(image, "width", place), place)
        drawing = Drawing(image_names(name), place, size, said="listed")
        ordered: list[tuple[int, Shape]] = []
        for j, element in enumerate(image):
            where = f"{place}: {element.tag}[{j}]"
            shape = _read_element(drawing, element, where)
            if shape is not None:
                ordered.append((whole(element.get("z_order", "0"), f"{where}: z_order"), shape))
        drawing.shapes = [shape for _, shape in sorted(ordered, key=lambda pair: pair[0])]
        yield name, drawing, "".join(sorted(tostring(e, "unicode").strip() for e in image))


def _read_element(drawing: Drawing, element: "Element", where: str) -> Shape | None:
    """The shape that an element draws; points go into the drawing, what has no area into its notes."""
    label = attribute(element, "label", where)
    where = f"{where} ({label!r})"
    if element.tag == "tag":
        drawing.notes.append(f"{where}: a tag is of the whole image, left out")
        return None
    if element.tag in ("polyline", "cuboid"):
        return Shape(label, NoArea(f"a {element.tag} has no area in the image"), where)
    if element.tag == "points":
        points = _points(attribute(element, "points", where), where)
        names = [label] if len(points) == 1 else [f"{label} {i + 1}" for i in range(len(points))]
        if len(points) > 1:
            drawing.notes.append(f"{where}: its {len(points)} points are called {names[0]!r} to {names[-1]!r}")
        for name, (x, y) in zip(names, points, strict=True):
            drawing.keypoints.append(Keypoint(name, x, y, where, element.get("occluded") != "1"))
        return None
    if element.tag == "skeleton":
        for i, point in enumerate(element.findall("points")):
            place = f"{where}: points[{i}]"
            if point.get("outside") == "1":
                continue
            [(x, y), *_] = _points(attribute(point, "points", place), place)
            name = attribute(point, "label", place)
            drawing.keypoints.append(Keypoint(name, x, y, place, point.get("occluded") != "1"))
        return None
    group = whole(element.get("group_id", "0"), f"{where}: group_id")
    return Shape(label, _region(element, where), where, group or None)


def _points(text: str, where: str) -> list[tuple[float, float]]:
    out = []
    for pair in text.split(";"):
        numbers = [number(v, f"{where}: points") for v in pair.split(",")]
        if len(numbers) != 2 or max(map(abs, numbers)) > FAR:
            raise InputError(f"{where}: points have {pair[:40]!r}; expected x,y in the image")
        out.append((numbers[0], numbers[1]))
    return out


def _region(element: "Element", where: str) -> Region:
    def value(name: str, default: str | None = None) -> float:
        found = number(attribute(element, name, where, default), f"{where}: {name}")
        if abs(found) > FAR:
            raise InputError(f"{where}: {name} is {found:g} pixels; expected a place in the image")
        return found

    if element.tag == "polygon":
        return Polygons((outline(_points(attribute(element, "points", where), where), where),))
    if element.tag == "box":
        x0, y0, x1, y1 = value("xtl"), value("ytl"), value("xbr"), value("ybr")
        return Polygons((outline(turned_box(x0, y0, x1, y1, value("rotation", "0")), where),))
    if element.tag == "ellipse":
        return Ellipse(value("cx"), value("cy"), value("rx"), value("ry"), value("rotation", "0"))
    if element.tag == "mask":
        return _mask(element, where)
    raise InputError(
        f"{where}: <{element.tag}> is not known; expected polygon, box, mask, ellipse, points or skeleton of "
        "'CVAT for images 1.1'"
    )


def turned_box(x0: float, y0: float, x1: float, y1: float, degrees: float) -> list[tuple[float, float]]:
    """Corners of a box that was turned clockwise about its centre."""
    cx, cy, c, s = (x0 + x1) / 2, (y0 + y1) / 2, math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if not degrees:
        return corners
    return [(cx + (x - cx) * c - (y - cy) * s, cy + (x - cx) * s + (y - cy) * c) for x, y in corners]


def _mask(element: "Element", where: str) -> Bitmap:
    """Run lengths along the rows of the box, first of the outside."""
    left, top, width, height = (
        whole(attribute(element, name, where), f"{where}: {name}") for name in ("left", "top", "width", "height")
    )
    if min(width, height) < 1 or width * height > MAX_PIXELS or max(abs(left), abs(top)) > FAR:
        raise InputError(f"{where}: a mask of {width} x {height} at {left}, {top} is not possible")
    runs = [whole(v, f"{where}: rle") for v in attribute(element, "rle", where).split(",")]
    if any(r < 0 for r in runs) or sum(runs) != width * height:
        raise InputError(f"{where}: rle adds up to {sum(runs)} pixels; expected {width} x {height} = {width * height}")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return Bitmap(pixels, left, top)
