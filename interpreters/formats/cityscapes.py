"""Cityscapes: ``NAME_gtFine_labelIds.png``, ``_instanceIds``, ``_labelTrainIds`` and ``_polygons.json``.

Facts: https://github.com/mcordts/cityscapesScripts (version 2.3), its table of labels and its drawing of polygons.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.interpreters.checked_text import read_text
from labelfactory.interpreters.formats.drawing import IGNORE_LABEL, Bitmap, Drawing, Shape, outline
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names
from labelfactory.interpreters.formats.pictures import drawing_of
from labelfactory.interpreters.formats.rle import MAX_PIXELS
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import open_picture

NAMES = (
    IGNORE_LABEL, "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road",
    "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole",
    "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck",
    "bus", "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""Labels by id; 0 is "unlabeled"."""
TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Id of every trainId; 255 stands for all others."""
NOT_DRAWN = ("license plate",)  # its id is -1: it keeps what lies below it
KINDS = ("labelIds", "instanceIds", "polygons", "labelTrainIds", "instanceTrainIds")  # the best first
_FILE = re.compile(rf"^(?P<name>.+)_(?P<set>gtFine|gtCoarse)_(?P<kind>{'|'.join(KINDS)})\.(?:png|json)$", re.IGNORECASE)


class Cityscapes(Format):
    """Cityscapes' ground truth, in whatever folders; of several files of an image the most exact one is read."""

    title = "Cityscapes' ground truth"

    def recognises(self, source: Source) -> str | None:
        """The endings of its file names."""
        for path in source.files(".png", ".json", deep=True):
            if _FILE.match(path.name):
                return f"{path.name} is called like Cityscapes' files"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing an image: its ids, or its polygons where there are no ids."""
        found: dict[tuple[str, str], dict[str, Path]] = {}
        for path in source.files(".png", ".json", deep=True):
            match = _FILE.match(path.name)
            if match:
                kind = next(k for k in KINDS if k.lower() == match["kind"].lower())
                found.setdefault((match["name"], match["set"]), {})[kind] = path
        own, told = _own_names(source), set[str]()
        for (name, _), files in found.items():
            kind = next(k for k in KINDS if k in files)
            path = files[kind]
            polygons = kind == "polygons"
            drawing = _read_polygons(source, path, own or NAMES) if polygons else _read_ids(path, kind, own)
            drawing.names = tuple(dict.fromkeys((f"{name}_leftImg8bit", *image_names(f"{name}.png"))))
            others = ", ".join(k for k in KINDS if k in files and k != kind)
            if others and others not in told:
                drawing.notes.append(f"{source.path}: {kind} are read, {others} of the same images are not")
                told.add(others)
            yield drawing


def _own_names(source: Source) -> tuple[str, ...]:
    """Names from datumaro's ``label_colors.txt`` (lines ``r g b name``), none where there is none."""
    path = source.file("label_colors.txt")
    if path is None:
        return ()
    names = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split(maxsplit=3)
        if len(parts) < 4:
            raise InputError(f"{path}: line {number}: {line[:60]!r} is not red green blue name")
        names.append(parts[3].strip())
    return tuple(names)


def _read_ids(path: Path, kind: str, own: tuple[str, ...]) -> Drawing:
    image = open_picture(path)
    if image.mode not in ("L", "P", "I", "I;16", "I;16B", "I;16L"):
        raise InputError(f"{path}: a picture of mode {image.mode}; expected 8- or 16-bit numbers")
    values = np.array(image).astype(np.int64)
    if kind.startswith("instance"):  # 26003 is the car number 3
        values = np.where(values >= 1000, values // 1000, values)
    if own:
        names = {**dict(enumerate(own)), 255: IGNORE_LABEL}
    elif "Train" in kind:
        names = {i: NAMES[label] for i, label in enumerate(TRAINED)} | {255: IGNORE_LABEL, 65535: IGNORE_LABEL}
    else:
        names = dict(enumerate(NAMES))
    return drawing_of(path, values, {v: names.get(v, str(v)) for v in np.unique(values).tolist()})


def _read_polygons(source: Source, path: Path, known: tuple[str, ...]) -> Drawing:
    data = source.json(path, dict)
    where = str(path)
    height, width = (field(data, k, int, where) for k in ("imgHeight", "imgWidth"))
    drawing = Drawing((), where, (height, width))
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise InputError(f"{where}: an image of {width} x {height} is not possible")
    drawing.shapes.append(Shape(IGNORE_LABEL, Bitmap(np.ones((height, width), bool)), f"{where}: unlabelled ground"))
    for i, entry in enumerate(field(data, "objects", list, where)):
        place = f"{where}: objects[{i}]"
        label = field(entry, "label", str, place)
        place = f"{place} ({label!r})"
        if field(entry, "deleted", int, place, 0):
            drawing.notes.append(f"{place}: is marked as deleted, left out")
            continue
        label = label if label in known or not label.endswith("group") else label.removesuffix("group")
        if label in NOT_DRAWN:
            drawing.notes.append(f"{place}: has no id, keeps what lies below it")
            continue
        pairs = [checked(p, list, f"{place}: polygon") for p in field(entry, "polygon", list, place)]
        if any(len(p) != 2 for p in pairs):
            raise InputError(f"{place}: polygon is not a list of [x, y]")
        points = [(checked(x, float, f"{place}: polygon"), checked(y, float, f"{place}: polygon")) for x, y in pairs]
        label = IGNORE_LABEL if label == "unlabeled" else label
        drawing.shapes.append(Shape(label, _drawn(outline(points, place), height, width), place))
    return drawing


def _drawn(points: Float[np.ndarray, "corners 2"], height: int, width: int) -> Bitmap:
    """The pixels that Cityscapes' own tools colour: corners are pixels, and those on the outline count."""
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).polygon([(x, y) for x, y in points.tolist()], fill=1)
    return Bitmap(np.array(canvas) > 0).trimmed()
