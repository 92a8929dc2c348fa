"""The results of Label Studio's annotations: from a region in percent of the image to a shape in pixels.

Facts: https://labelstud.io/guide/task_format, its tags' pages, and exports of version 1.23.
"""

import base64
import math
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
    Polygons,
    Region,
    Shape,
    outline,
)
from labelfactory.interpreters.formats.rle import MAX_PIXELS, decode_brush
from labelfactory.interpreters.pictures import open_picture

HIDDEN = "hidden"
"""The note on a point that is in the image but not to be seen (visibility 1 in COCO); the tool has no word for it."""

MARKS = {"points": "polygon", "rle": "brush", "imageDataURL": "bitmask", "radiusX": "ellipse", "width": "rectangle"}
"""Which entry of a region's value tells what it is, where its type is the mere "labels"; a key point has none."""


def add_results(drawing: Drawing, results: list[Any], size: tuple[int, int], where: str) -> None:
    """Add an annotation's results to a drawing; what draws nothing goes into its notes.

    ``size`` (height, width) stands in where no result says how large the image is.
    """
    labelled = {str(r.get("id")) for r in results if isinstance(r, dict) and _label_key(r) is not None}
    undrawn: dict[str, int] = {}
    for i, result in enumerate(results):
        place = f"{where}: result[{i}]"
        kind = field(result, "type", str, place)
        key = _label_key(result)
        if key is not None:
            _add(drawing, result, key, size, place)
        elif kind == "relation" or str(result.get("id")) not in labelled or "id" not in result:
            # what has the id of a labelled one is its geometry, a "polygon" beside its "labels"
            undrawn[kind] = undrawn.get(kind, 0) + 1
    for kind, count in undrawn.items():
        drawing.notes.append(f"{where}: {count} of type {kind!r} without a label, left out")
    if drawing.size is None and (drawing.shapes or drawing.keypoints):
        drawing.notes.append(f"{where}: does not say the image's size, taken from the sample")


def _label_key(result: Any) -> str | None:
    """The entry of a result's value that holds its labels, None where it has none."""
    value = result.get("value") if isinstance(result, dict) else None
    kind = result.get("type") if isinstance(result, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or not kind.endswith("labels"):
        return None
    return next((key for key in (kind, "labels") if value.get(key)), None)


def _add(drawing: Drawing, result: Any, key: str, size: tuple[int, int], where: str) -> None:
    value = field(result, "value", dict, where)
    labels = field(value, key, list, where)
    if len(labels) != 1:
        raise InputError(f"{where}: {len(labels)} labels on one shape; expected 1")
    label = checked(labels[0], str, f"{where}: label")
    where = f"{where} ({label!r})"
    if field(result, "image_rotation", float, where, 0.0):
        raise InputError(
            f"{where}: the image was turned while labelling; turn it back (image_rotation 0) and export again"
        )
    kind = result["type"].removesuffix("labels") or next((k for m, k in MARKS.items() if m in value), "keypoint")
    height, width = _image_size(drawing, result, size, where)
    if kind == "keypoint":
        x, y = (_length(value, k, s, where) for k, s in (("x", width), ("y", height)))
        drawing.keypoints.append(Keypoint(label, x, y, where, not _hidden(result, where)))
    else:
        drawing.shapes.append(Shape(label, _region(kind, value, height, width, where), where))


def _image_size(drawing: Drawing, result: Any, size: tuple[int, int], where: str) -> tuple[int, int]:
    height, width = (field(result, f"original_{k}", float, where, None) for k in ("height", "width"))
    if height is None or width is None:
        return drawing.size or size
    if min(height, width) < 1 or max(height, width) > FAR or height * width > MAX_PIXELS:
        raise InputError(f"{where}: image size {width:g} x {height:g} is not possible")
    if height != int(height) or width != int(width):
        raise InputError(f"{where}: image size {width:g} x {height:g} is not whole pixels")
    if drawing.size not in (None, (int(height), int(width))):
        raise InputError(f"{where}: image size {width:g} x {height:g} differs from that of the shapes before")
    drawing.size = int(height), int(width)
    return drawing.size


def _hidden(result: Any, where: str) -> bool:
    """Whether a point's note says that it is in the image but not to be seen."""
    meta = field(result, "meta", dict, where, {})
    return HIDDEN in (meta["text"] if isinstance(meta.get("text"), list) else [meta.get("text")])


def _length(value: dict[str, Any], key: str, size: int, where: str) -> float:
    number: float = field(value, key, float, where) * size / 100
    if abs(number) > FAR:
        raise InputError(f'{where}: "{key}" is {number:g} pixels; expected percent of the image')
    return number


def _region(kind: str, value: dict[str, Any], height: int, width: int, where: str) -> Region:
    if kind == "brush":
        return Bitmap(decode_brush(field(value, "rle", list, where), height, width, where)).trimmed()
    if kind == "bitmask":
        return _bitmask(field(value, "imageDataURL", str, where), (height, width), where)
    if kind == "polygon":
        pairs = [checked(p, list, f"{where}: points") for p in field(value, "points", list, where)]
        if any(len(p) != 2 for p in pairs):
            raise InputError(f"{where}: points are not all [x, y]")
        numbers = [[checked(v, float, f"{where}: points") for v in p] for p in pairs]
        return Polygons((outline([(x * width / 100, y * height / 100) for x, y in numbers], where),))
    if kind not in ("ellipse", "rectangle"):
        raise InputError(
            f"{where}: type {kind + 'labels'!r} is not supported; expected brush, bitmask, polygon, rectangle, ellipse "
            "or keypoint labels"
        )
    angle = field(value, "rotation", float, where, 0.0)
    x, y = _length(value, "x", width, where), _length(value, "y", height, where)
    if kind == "ellipse":
        return Ellipse(x, y, _length(value, "radiusX", width, where), _length(value, "radiusY", height, where), angle)
    # a rectangle is turned about its top left corner
    w, h = _length(value, "width", width, where), _length(value, "height", height, where)
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    corners = [(x + u * c - v * s, y + u * s + v * c) for u, v in ((0, 0), (w, 0), (w, h), (0, h))]
    return Polygons((outline(corners, where),))


def _bitmask(address: str, size: tuple[int, int], where: str) -> Bitmap:
    """A PNG in a data address, drawn where it is opaque."""
    head, _, text = address.partition(";base64,")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not head.startswith("data:image/") or not data:
        raise InputError(f"{where}: imageDataURL is not a picture in base64")
    pixels = np.array(open_picture(data, where).convert("RGBA"))[..., 3] > 127
    if pixels.shape != size:
        raise InputError(f"{where}: mask is {pixels.shape[1]} x {pixels.shape[0]}, the image {size[1]} x {size[0]}")
    return Bitmap(pixels).trimmed()
