"""YOLO: a text file an image, a line an object; outlines, turned boxes, boxes and key points.

Facts: https://docs.ultralytics.com/datasets/segment/. Coordinates are parts (0 to 1) of the image's width and height.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked
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
        listed = [p for p in source.files(".txt", ".names", ".yaml", ".yml", deep=True) if _names_classes(p)]
        empty = any(p.stat().st_size == 0 for p in _label_files(source))
        return f"has text files and {listed[0].name}" if listed and empty else None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a text file; an empty one is of an image without objects."""
        said = _description(source, labels)
        for path in _label_files(source):
            drawing = Drawing(image_names(path.name), str(path), said="listed")
            lines = [(i, line) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
            for i, line in lines:
                _add_line(drawing, line, f"{path}: line {i}", said, image_size(labels))
            if said.guessed and lines:
                drawing.notes.append(f"{path}: names no key points; they are called {', '.join(said.points)}")
            boxes = 0 if said.points else sum(len(line.split()) == 5 for _, line in lines)
            if boxes:
                drawing.notes.append(f"{path}: {boxes} boxes without an outline, drawn filled")
            yield drawing


class Description(NamedTuple):
    """What ``data.yaml`` or a list says of all lines.

    names: of the classes by number; none: numbers stand for themselves. points: names of every line's key points, none
    where lines are outlines or boxes. dimensions: 2 or 3 numbers a key point. guessed: the file does not name them.
    """

    names: dict[int, str]
    points: tuple[str, ...] = ()
    dimensions: int = 3
    guessed: bool = False


def _names_classes(path: Path) -> bool:
    return path.name.lower() in (*NAME_LISTS, "data.yaml", "data.yml", "dataset.yaml")


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


def _description(source: Source, labels: LabelSet) -> Description:
    """From a YAML file with names, else from a list of names (Label Studio, CVAT), else without names."""
    for path in source.files(".yaml", ".yml", deep=True):
        data, where = read_yaml(path), f"{path}: names"
        if isinstance(data, dict) and "names" in data:
            names = data["names"]
            pairs = names.items() if isinstance(names, dict) else enumerate(checked(names, list, where))
            points, dimensions, guessed = _points(data, labels, path)
            return Description({checked(i, int, where): _name(n, where) for i, n in pairs}, points, dimensions, guessed)
    for wanted in NAME_LISTS:
        for path in source.files(Path(wanted).suffix, deep=True):
            if path.name.lower() == wanted:
                lines = [line.strip() for line in read_text(path).splitlines()]
                return Description(dict(enumerate(line for line in lines if line)))
    return Description({})


def _name(value: Any, where: str) -> str:
    """A name, which YAML takes for a number or a truth where it looks like one."""
    return str(value) if isinstance(value, int | float) else checked(value, str, where)


def _points(data: dict[str, Any], labels: LabelSet, path: Path) -> tuple[tuple[str, ...], int, bool]:
    """Names of every line's key points, numbers of each, and whether the names are a guess."""
    if data.get("kpt_shape") is None:
        return (), 3, False
    where = f"{path}: kpt_shape"
    shape = [checked(v, int, where) for v in checked(data["kpt_shape"], list, where)]
    if len(shape) != 2 or not 0 < shape[0] <= 1000 or shape[1] not in (2, 3):
        raise InputError(f"{where} is {shape}; expected [key points, 2 or 3]")
    count, dimensions = shape
    listed = data.get("kpt_names")
    if isinstance(listed, dict) and listed:
        where = f"{path}: kpt_names"
        names = [_name(n, where) for n in checked(next(iter(listed.values())), list, where)]
        if len(names) != count:
            raise InputError(f"{path}: {len(names)} kpt_names; expected {count}, as kpt_shape says")
        return tuple(names), dimensions, False
    own = labels.keypoints if len(labels.keypoints) == count else tuple(str(i) for i in range(count))
    return own, dimensions, True


def _add_line(drawing: Drawing, line: str, where: str, said: Description, size: tuple[int, int]) -> None:
    values = _numbers(line, where)
    assert values is not None
    height, width = size
    number, rest = int(values[0]), values[1:]
    if said.names and number not in said.names:
        raise InputError(f"{where}: class {number} is not among the {len(said.names)} names")
    label = said.names.get(number, str(number))
    where = f"{where} ({label!r})"
    if said.points:
        _add_points(drawing, rest[4:], where, said, size)
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


def _add_points(drawing: Drawing, rest: list[float], where: str, said: Description, size: tuple[int, int]) -> None:
    if len(rest) != len(said.points) * said.dimensions:
        raise InputError(f"{where}: {len(rest)} key point numbers; expected {len(said.points)} x {said.dimensions}")
    height, width = size
    for i, name in enumerate(said.points):
        x, y, *seen = rest[i * said.dimensions : (i + 1) * said.dimensions]
        visibility = seen[0] if seen else 2.0 * bool(x or y)  # without a flag 0, 0 says "not there"
        if visibility not in (0, 1, 2) or not all(-MARGIN <= v <= 1 + MARGIN for v in (x, y)):
            raise InputError(
                f"{where}: key point {name!r} is ({x:g}, {y:g}, {visibility:g}); expected 0 to 1, and 0, 1 or 2"
            )
        if visibility:
            drawing.keypoints.append(Keypoint(name, x * width, y * height, where, visibility == 2))
