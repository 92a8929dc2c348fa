"""Label Studio: the JSON export of a project, and tasks with predictions to start labelling from.

Facts: https://labelstud.io/guide/task_format and exports of version 1.23. Geometry is in percent of the image's size.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.interpreters.classes import IGNORE_COLOR
from labelfactory.interpreters.formats.drawing import (
    FAR,
    IGNORE_LABEL,
    Bitmap,
    Drawing,
    Ellipse,
    Keypoint,
    Polygons,
    Region,
    Shape,
    outline,
)
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.rle import decode_brush, encode_brush
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import IGNORE_INDEX, LabelClass, LabelSet

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")  # put before the name of an uploaded file


class LabelStudio(Format):
    """A project's export as JSON: a list of tasks."""

    title = "Label Studio's JSON export"

    def recognises(self, source: Source) -> str | None:
        """A list of objects at the top level."""
        for path in source.files(".json"):
            if isinstance(source.peek(path), list):
                return f"{path.name} is a list of tasks"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a task; of a task's annotations the latest that was not cancelled."""
        path = source.only(".json", self.title)
        for i, task in enumerate(source.json(path, list)):
            yield _read_task(task, f"{path}: task[{i}]")


def _read_task(task: Any, where: str) -> Drawing:
    data = field(task, "data", dict, where)
    names = _names(data, field(task, "file_upload", str, where, ""))
    if not names:
        raise InputError(f'{where}: "data" names no image; expected an "image" address or our "sample"')
    where = f"{where} ({names[0]!r})"
    if "annotations" not in task:
        raise InputError(f'{where}: has no "annotations"; export the project as JSON (not JSON-MIN)')
    drawing = Drawing(names, where)
    latest: tuple[str, int] | None = None
    for i, annotation in enumerate(field(task, "annotations", list, where)):
        place = f"{where}: annotations[{i}]"
        if field(annotation, "was_cancelled", bool, place, False):
            drawing.notes.append(f"{place}: was skipped by the annotator")
            continue
        when = field(annotation, "updated_at", str, place, "")
        if latest is not None:
            drawing.notes.append(
                f"{where}: annotations[{latest[1] if (when, i) > latest else i}]: there is a later one"
            )
        latest = max(latest or ("", -1), (when, i))
    if latest is not None:
        place = f"{where}: annotations[{latest[1]}]"
        for i, result in enumerate(field(task["annotations"][latest[1]], "result", list, place)):
            _add(drawing, result, f"{place}: result[{i}]")
    return drawing


def _names(data: dict[str, Any], upload: str) -> tuple[str, ...]:
    found = [data["sample"]] if isinstance(data.get("sample"), str) else []
    addresses = [upload, *(v for v in data.values() if isinstance(v, str) and len(v) < 2000)]
    for address in addresses:
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        if parts.scheme == "data":
            continue
        # local files are served as /data/local-files/?d=folder/name.png
        path = PurePosixPath(
            unquote(parts.query.removeprefix("d=") if parts.path.endswith("local-files/") else parts.path)
        )
        if path.suffix:
            found += [path.stem, UPLOAD_PREFIX.sub("", path.stem)]
    return tuple(dict.fromkeys(n for n in found if n))


def _add(drawing: Drawing, result: Any, where: str) -> None:
    kind = field(result, "type", str, where)
    value = field(result, "value", dict, where)
    labels = field(value, kind, list, where, None) if kind.endswith("labels") else None
    if labels is None:
        # a bare "polygon" or "brush" beside its "labels" result, a choice, a rating: no class, so nothing to draw
        drawing.notes.append(f"{where}: type {kind!r} carries no label")
        return
    if len(labels) != 1:
        raise InputError(f"{where}: {len(labels)} labels on one shape; expected 1")
    label = checked(labels[0], str, f"{where}: label")
    where = f"{where} ({label!r})"
    if field(result, "image_rotation", float, where, 0.0):
        raise InputError(
            f"{where}: the image was turned while labelling; turn it back (image_rotation 0) and export again"
        )
    height, width = field(result, "original_height", int, where), field(result, "original_width", int, where)
    if min(height, width) < 1 or max(height, width) > FAR:
        raise InputError(f"{where}: image size {width} x {height} is not possible")
    if drawing.size not in (None, (height, width)):
        raise InputError(f"{where}: image size {width} x {height} differs from that of the shapes before")
    drawing.size = height, width
    if kind == "keypointlabels":
        x, y = (_length(value, k, s, where) for k, s in (("x", width), ("y", height)))
        drawing.keypoints.append(Keypoint(label, x, y, where))
    else:
        drawing.shapes.append(Shape(label, _region(kind, value, height, width, where), where))


def _length(value: dict[str, Any], key: str, size: int, where: str) -> float:
    number: float = field(value, key, float, where) * size / 100
    if abs(number) > FAR:
        raise InputError(f'{where}: "{key}" is {number:g} pixels; expected percent of the image')
    return number


def _region(kind: str, value: dict[str, Any], height: int, width: int, where: str) -> Region:
    if kind == "brushlabels":
        return Bitmap(decode_brush(field(value, "rle", list, where), height, width, where))
    if kind == "polygonlabels":
        pairs = [checked(p, list, f"{where}: points") for p in field(value, "points", list, where)]
        if any(len(p) != 2 for p in pairs):
            raise InputError(f"{where}: points are not all [x, y]")
        numbers = [[checked(v, float, f"{where}: points") for v in p] for p in pairs]
        return Polygons((outline([(x * width / 100, y * height / 100) for x, y in numbers], where),))
    angle = field(value, "rotation", float, where, 0.0)
    x, y = _length(value, "x", width, where), _length(value, "y", height, where)
    if kind == "ellipselabels":
        return Ellipse(x, y, _length(value, "radiusX", width, where), _length(value, "radiusY", height, where), angle)
    if kind == "rectanglelabels":  # turned about its top left corner
        w, h = _length(value, "width", width, where), _length(value, "height", height, where)
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        corners = [(x + u * c - v * s, y + u * s + v * c) for u, v in ((0, 0), (w, 0), (w, h), (0, h))]
        return Polygons((outline(corners, where),))
    raise InputError(
        f"{where}: type {kind!r} is not supported; expected brush, polygon, rectangle, ellipse or keypoint labels"
    )


def task(
    sample: str,
    image: str,
    mask: UInt8[np.ndarray, "height width"] | None,
    classes: tuple[LabelClass, ...],
    model_version: str = "",
    score: float | None = None,
) -> dict[str, Any]:
    """One task for Label Studio's import; with a mask, a brush region a class to correct, "not labelled" among them.

    Class 0 is what remains undrawn; only a mask that is nothing else has a region of it.

    ``image`` is an address that the browser can open, or a ``data:`` address with the picture in it.
    """
    out: dict[str, Any] = {"data": {"image": image, "sample": sample}}
    if mask is None:
        return out
    height, width = mask.shape
    names = {i: c.name for i, c in enumerate(classes)} | {IGNORE_INDEX: IGNORE_LABEL}
    drawn = [v for v in np.unique(mask).tolist() if v] or [0]
    out["predictions"] = [
        {
            "model_version": model_version,
            **({} if score is None else {"score": score}),
            "result": [
                {
                    "id": f"{sample}-{i}",
                    "type": "brushlabels",
                    "from_name": "brush",
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {"format": "rle", "rle": encode_brush(mask == i), "brushlabels": [names[i]]},
                }
                for i in drawn
            ],
        }
    ]
    return out


def labeling_config(classes: tuple[LabelClass, ...]) -> str:
    """The labelling interface (XML) that fits ``task``: brush and polygons, all classes and "not labelled"."""
    offered = [*classes, LabelClass(IGNORE_LABEL, IGNORE_COLOR)]
    labels = "\n".join(
        f'    <Label value={quoteattr(c.name)} background="#{c.color[0]:02x}{c.color[1]:02x}{c.color[2]:02x}"/>'
        for c in offered
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="brush" toName="image">\n{labels}\n  </BrushLabels>\n'
        f'  <PolygonLabels name="polygon" toName="image">\n{labels}\n  </PolygonLabels>\n</View>\n'
    )
