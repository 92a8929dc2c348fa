"""YOLO: a text file an image, a line an object; outlines, turned boxes, boxes and key points.

Facts: https://docs.ultralytics.com/datasets/segment/. Coordinates are parts (0 to 1) of the image's width and height.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.interpreters.checked_text import number, read_text, read_yaml
from labelfactory.interpreters.formats.drawing import Drawing, Keypoint, Polygons, Shape, outline
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names, image_size
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet

NAME_LISTS = ("classes.txt", "obj.names", "predefined_classes.txt", "names.txt")
NO_LABELS = {*NAME_LISTS, "train.txt", "val.txt", "valid.txt", "test.txt", "autosplit_train.txt", "labels.txt"}
MARGIN = 0.01  # how far beyond the image's edge a rounded coordinate may lie, in parts of its size


class Yolo(Format):
    """YOLO's text files, with the names of the classes from ``data.yaml``, ``classes.txt`` or ``obj.names``."""

    title = "YOLO's text files"

    def recognises(self, source: Source) -> str | None:
        """A text file whose first line is a class's number and numbers from 0 to 1, or empty ones with names beside."""
        for path in _label_files(source):
            try:
                first = next((line for line in read_text(path).splitlines() if line.strip()), None)
                if first is not None and _numbers(first, "") is not None:
                    return f"{path.name} has lines of a class and coordinates"
            except InputError:
                continue
        try:
            named = _label_files(source) and _class_names(source)[0]
        except InputError as error:
            source.troubles.append(str(error))
            return None
        return "has text files and names of classes" if named else None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a text file; an empty one is of an image without objects."""
        names, description = _class_names(source)
        points = _point_names(description, labels)
        for path in _label_files(source):
            drawing = Drawing(image_names(path.name), str(path), said="listed")
            if points and not isinstance(description.get("kpt_names"), dict):
                drawing.notes.append(f"{path}: names no key points; they are called {', '.join(points)}")
            lines = [(i, line) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
            for i, line in lines:
                _add_line(drawing, line, f"{path}: line {i}", names, points, description, image_size(labels))
            boxes = sum(len(line.split()) == 5 for _, line in lines)
            if boxes:
                drawing.notes.append(f"{path}: {boxes} boxes without an outline, drawn filled")
            yield drawing


def _label_files(source: Source) -> list[Path]:
    """Text files that hold labels: those in folders called ``labels``, where there are such."""
    found = [p for p in source.files(".txt", deep=True) if p.name.lower() not in NO_LABELS]
    inside = [p for p in found if "labels" in (part.lower() for part in p.parts[len(source.path.parts) :])]
    return inside or [p for p in found if not p.stem.lower().startswith(("readme", "license", "labelmap"))]


def _numbers(line: str, where: str) -> list[float] | None:
    """Class number and coordinates of a line; None where it has none (InputError with ``where``)."""
    try:
        values = [number(v, where) for v in line.split()]
    except InputError:
        if not where:
            return None
        raise
    good = len(values) >= 5 and values[0] >= 0 and values[0] == int(values[0])
    if good and all(-MARGIN <= v <= 1 + MARGIN for v in values[1:5]):
        return values
    if not where:
        return None
    raise InputError(f"{where}: {line[:60]!r} is not a class's number and coordinates from 0 to 1")


def _class_names(source: Source) -> tuple[dict[int, str], dict[str, Any]]:
    """Names by number, and the description (``data.yaml``) that has them; numbers stand for themselves elsewhere."""
    for path in source.files(".yaml", ".yml", deep=True):
        data = read_yaml(path)
        if isinstance(data, dict) and "names" in data:
            names = data["names"]
            pairs = names.items() if isinstance(names, dict) else enumerate(checked(names, list, f"{path}: names"))
            return {checked(i, int, f"{path}: names"): str(n) for i, n in pairs}, data
    for wanted in NAME_LISTS:
        for path in source.files(Path(wanted).suffix, deep=True):
            if path.name.lower() == wanted:
                lines = [line.strip() for line in read_text(path).splitlines()]
                return dict(enumerate(line for line in lines if line)), {}
    return {}, {}


def _point_names(description: dict[str, Any], labels: LabelSet) -> tuple[str, ...]:
    """Names of the key points of every line, none where the lines have none."""
    shape = description.get("kpt_shape")
    if shape is None:
        return ()
    count, dimensions = (checked(v, int, "data.yaml: kpt_shape") for v in checked(shape, list, "data.yaml: kpt_shape"))
    if not 0 < count <= 1000 or dimensions not in (2, 3):
        raise InputError(f"data.yaml: kpt_shape is {shape}; expected [key points, 2 or 3]")
    listed = description.get("kpt_names")
    if isinstance(listed, dict) and listed:
        names = [str(n) for n in checked(next(iter(listed.values())), list, "data.yaml: kpt_names")]
        if len(names) != count:
            raise InputError(f"data.yaml: {len(names)} kpt_names; expected {count}, as kpt_shape says")
        return tuple(names)
    return labels.keypoints if len(labels.keypoints) == count else tuple(str(i) for i in range(count))


def _add_line(
    drawing: Drawing,
    line: str,
    where: str,
    names: Mapping[int, str],
    points: tuple[str, ...],
    description: dict[str, Any],
    size: tuple[int, int],
) -> None:
    values = _numbers(line, where)
    assert values is not None
    height, width = size
    label = names.get(int(values[0]), str(int(values[0]))) if not names else names.get(int(values[0]))
    if label is None:
        raise InputError(f"{where}: class {int(values[0])} is not among the {len(names)} names")
    where = f"{where} ({label!r})"
    rest = values[1:]
    if points:
        _add_points(drawing, rest[4:], where, points, field(description, "kpt_shape", list, "data.yaml")[1], size)
        return
    if len(rest) == 4:
        x, y, w, h = rest
        corners = [(x - w / 2, y - h / 2), (x + w / 2, y - h / 2), (x + w / 2, y + h / 2), (x - w / 2, y + h / 2)]
    else:
        if len(rest) % 2 or len(rest) < 6:
            raise InputError(f"{where}: {len(rest)} coordinates; expected a box (4) or x and y of 3 points and more")
        if not all(-MARGIN <= v <= 1 + MARGIN for v in rest):
            raise InputError(f"{where}: coordinates beyond 0 to 1; expected parts of the image's width and height")
        corners = list(zip(rest[::2], rest[1::2], strict=True))
    scaled = outline([(x * width, y * height) for x, y in corners], where)
    drawing.shapes.append(Shape(label, Polygons((scaled,)), where))


def _add_points(
    drawing: Drawing, rest: list[float], where: str, names: tuple[str, ...], dimensions: int, size: tuple[int, int]
) -> None:
    if len(rest) != len(names) * dimensions:
        raise InputError(f"{where}: {len(rest)} key point numbers; expected {len(names)} x {dimensions}")
    height, width = size
    for i, name in enumerate(names):
        x, y, *seen = rest[i * dimensions : (i + 1) * dimensions]
        visibility = seen[0] if seen else 2.0 * bool(x or y)  # without a flag 0, 0 says "not there"
        if visibility not in (0, 1, 2) or not all(-MARGIN <= v <= 1 + MARGIN for v in (x, y)):
            raise InputError(
                f"{where}: key point {name!r} is ({x:g}, {y:g}, {visibility:g}); expected 0 to 1 and 0, 1, 2"
            )
        if visibility:
            drawing.keypoints.append(Keypoint(name, x * width, y * height, where, visibility == 2))
