"""Pascal VOC: masks in ``SegmentationClass/`` and boxes or outlines in ``Annotations/*.xml``.

Facts: the VOC 2012 development kit, http://host.robots.ox.ac.uk/pascal/VOC/voc2012/; names of classes come from
``labelmap.txt`` (CVAT, datumaro), ``class_names.txt`` (labelme) or are VOC's own twenty.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_text import child_text, number, read_text, read_xml, root_tag, whole
from labelfactory.interpreters.formats.cvat_masks import read_labelmap
from labelfactory.interpreters.formats.drawing import IGNORE_LABEL, Drawing, Polygons, Shape, outline
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names
from labelfactory.interpreters.formats.pictures import by_color, drawing_of, rgb
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import open_picture
from labelfactory.palette import Color

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
MASKS = ("SegmentationClassPNG", "SegmentationClass")  # the first is labelme's, which has arrays in the second
BORDER = 255  # the "void" line around VOC's objects


class Voc(Format):
    """Pascal VOC's folders; where there are masks they are read, else the XML files."""

    title = "Pascal VOC"

    def recognises(self, source: Source) -> str | None:
        """The folder of masks without CVAT's list of colours, or an XML file of one image."""
        annotations = [p for p in source.files(".xml", deep=True) if root_tag(p) == "annotation"]
        if annotations:
            return f"{annotations[0].name} has <annotation>"
        found = next((f for f in MASKS if source.folder(f)), None)
        return f"has {found}/" if found and not source.file("labelmap.txt") else None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a mask or, where there are no masks, an XML file."""
        boxes = [p for p in source.files(".xml", deep=True) if root_tag(p) == "annotation"]
        masks = [p for folder in MASKS for p in source.files(".png", under=folder, deep=True)]
        if not masks:
            yield from (_read_annotation(path) for path in boxes)
            return
        notes = [f"{source.path}: {len(boxes)} XML files with boxes are not read, as there are masks"] if boxes else []
        if source.folder("SegmentationObject"):
            notes.append(f"{source.path}: SegmentationObject/ tells objects apart, which a label set does not hold")
        by_place, names = _classes(source)
        for path in masks:
            drawing = _read_mask(path, by_place, names)
            drawing.notes, notes = notes, []
            yield drawing


def _classes(source: Source) -> tuple[Mapping[Color, str], Mapping[int, str]]:
    """Label of every colour, and of every index."""
    table = source.file("labelmap.txt")
    if table is not None:
        return read_labelmap(table), {}
    listed = source.file("class_names.txt")
    if listed is not None:  # labelme writes __ignore__ first, as -1
        names = [line.strip() for line in read_text(listed).splitlines() if line.strip()]
        names = names[1:] if names[:1] == [IGNORE_LABEL] else names
        return {}, {**dict(enumerate(names)), BORDER: IGNORE_LABEL}
    names = list(VOC_NAMES)
    own = voc_colors(256)
    return (
        {own[i]: name for i, name in enumerate(names)} | {own[BORDER]: IGNORE_LABEL},
        {**dict(enumerate(names)), BORDER: IGNORE_LABEL},
    )


def voc_colors(count: int) -> list[Color]:
    """VOC's colours: the index's bits dealt to red, green and blue in turn, from the highest bit of each down."""
    out = []
    for index in range(count):
        channels = [sum((index >> (3 * bit + c) & 1) << (7 - bit) for bit in range(3)) for c in range(3)]
        out.append((channels[0], channels[1], channels[2]))
    return out


def _read_mask(path: Path, colors: Mapping[Color, str], names: Mapping[int, str]) -> Drawing:
    image = open_picture(path)
    if names and image.mode in ("P", "L", "1"):
        values = np.array(image.convert("L") if image.mode == "1" else image)
        used = np.unique(values).tolist()
        palette = np.array(image.getpalette() or [], dtype=np.int64).reshape(-1, 3)
        shown = [tuple(palette[v].tolist()) for v in used if v < len(palette)]
        # a palette in another order (re-encoded) is read by its colours; one of other colours says nothing
        if not (image.mode == "P" and colors and len(shown) == len(used) and all(c in colors for c in shown)):
            return drawing_of(path, values, {v: names.get(v, str(v)) for v in used})
    elif not colors:
        raise InputError(f"{path}: a picture of mode {image.mode}; expected indexed or grey ones with class_names.txt")
    values, table = by_color(rgb(image, path), colors)
    return drawing_of(path, values, table)


def _read_annotation(path: Path) -> Drawing:
    root = read_xml(path)
    where = str(path)
    name = root.findtext("filename") or ""
    size = root.find("size")
    height, width = (
        whole(child_text(size, k, f"{where}: size"), f"{where}: size") if size is not None else 0
        for k in ("height", "width")
    )
    names = tuple(dict.fromkeys((*image_names(path.name), *image_names(name.strip()))))
    drawing = Drawing(names, where, (height, width) if height > 0 and width > 0 else None, said="listed")
    # the data sets of the challenge count pixels from 1 and name the last one; today's tools write edges from 0
    first = 1.0 if (root.findtext("source/database") or "").strip().startswith("The VOC") else 0.0
    filled = 0
    for i, entry in enumerate(root.findall("object")):
        place = f"{where}: object[{i}]"
        label = child_text(entry, "name", place)
        place = f"{place} ({label!r})"
        corners = _outline(entry, place)
        if corners is None:
            filled += 1
            x0, y0, x1, y1 = (
                number(child_text(entry, f"bndbox/{k}", place), f"{place}: {k}")
                for k in ("xmin", "ymin", "xmax", "ymax")
            )
            corners = [(x0 - first, y0 - first), (x1, y0 - first), (x1, y1), (x0 - first, y1)]
        drawing.shapes.append(Shape(label, Polygons((outline(corners, place),)), place))
    if filled:
        counted = "pixels counted from 1, as VOC's" if first else "edges counted from 0"
        drawing.notes.append(f"{where}: {filled} boxes without an outline, drawn filled ({counted})")
    return drawing


def _outline(entry: "Element", where: str) -> list[tuple[float, float]] | None:
    """The corners that Roboflow writes: ``<polygon><x1>..</x1><y1>..</y1><x2>..``, None where there are none."""
    polygon = entry.find("polygon")
    if polygon is None or not len(polygon):
        return None
    values = {e.tag: number(e.text or "", f"{where}: polygon {e.tag}") for e in polygon}
    count = len(values) // 2
    if any(f"{axis}{i}" not in values for i in range(1, count + 1) for axis in "xy"):
        raise InputError(f"{where}: <polygon> has not the same number of x and y")
    return [(values[f"x{i}"], values[f"y{i}"]) for i in range(1, count + 1)]
