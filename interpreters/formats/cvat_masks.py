"""CVAT's export as "Segmentation mask 1.1": pictures in the colours of ``labelmap.txt``."""

from collections.abc import Iterator
from pathlib import Path

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_text import read_text
from labelfactory.interpreters.formats.drawing import Drawing
from labelfactory.interpreters.formats.pictures import by_color, drawing_of, rgb
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.pictures import open_picture
from labelfactory.palette import Color


def reason(source: Source) -> str | None:
    """Why a source is such an export: two things that CVAT writes together; None where it is not."""
    if source.file("labelmap.txt") and source.folder("SegmentationClass"):
        return "has labelmap.txt and SegmentationClass/"
    return None


def read(source: Source) -> Iterator[Drawing]:
    """A drawing a picture, its labels from the colour table."""
    table = source.file("labelmap.txt")
    if table is None:
        raise InputError(f"{source.path / 'labelmap.txt'}: no such file; CVAT's export has one")
    colors = read_labelmap(table)
    if source.folder("SegmentationClass") is None:
        raise InputError(f"{source.path}: has no SegmentationClass folder; expected CVAT's 'Segmentation mask 1.1'")
    for path in source.files(".png", under="SegmentationClass", deep=True):
        values, names = by_color(rgb(open_picture(path), path), colors)
        yield drawing_of(path, values, names)


def read_labelmap(path: Path) -> dict[Color, str]:
    """Label of every colour, from lines ``name:r,g,b:parts:actions``."""
    lines = read_text(path).splitlines()
    table: dict[Color, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = line.rsplit(":", 3) if line.count(":") >= 3 else line.split(":")
        try:
            r, g, b = (int(v) for v in rest[0].split(","))
        except (IndexError, ValueError):
            raise InputError(f"{path}: line {number}: {line[:60]!r} is not name:red,green,blue:parts:actions") from None
        if not all(0 <= v <= 255 for v in (r, g, b)):
            raise InputError(f"{path}: line {number}: colour {r},{g},{b} is outside 0 to 255")
        if table.setdefault((r, g, b), name) != name:
            raise InputError(f"{path}: line {number}: colour {r},{g},{b} belongs to {table[r, g, b]!r} already")
    return table
