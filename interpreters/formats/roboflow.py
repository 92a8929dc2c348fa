"""Roboflow's "Semantic Segmentation Masks": ``NAME_mask.png`` with class numbers that ``_classes.csv`` names.

Facts: https://roboflow.com/formats/semantic-segmentation-masks. Its other exports are COCO, YOLO and Pascal VOC.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_text import read_rows, read_text, whole
from labelfactory.interpreters.formats.drawing import Drawing
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names
from labelfactory.interpreters.formats.pictures import drawing_of
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import open_picture

ENDING = "_mask"


class RoboflowMasks(Format):
    """Masks with a table of classes in each folder (train, valid, test)."""

    title = "Roboflow's semantic masks"

    def recognises(self, source: Source) -> str | None:
        """The table, whose first column is the pixel's value."""
        tables = _tables(source)
        return "has _classes.csv with pixel values" if tables else None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a mask; its class numbers are those of the table beside it."""
        for table in _tables(source):
            names = _read_table(table)
            masks = [p for p in source.files(".png", deep=True) if p.parent == table.parent and p.stem.endswith(ENDING)]
            if not masks:
                raise InputError(f"{table.parent}: has no pictures called ...{ENDING}.png beside {table.name}")
            for path in masks:
                image = open_picture(path)
                if image.mode not in ("L", "P", "1"):
                    raise InputError(f"{path}: a picture of mode {image.mode}; expected grey, a class's number a pixel")
                values = np.array(image).astype(np.uint8)
                drawing = drawing_of(path, values, {v: names.get(v, str(v)) for v in np.unique(values).tolist()})
                drawing.names = image_names(path.name, ENDING)
                yield drawing


def _tables(source: Source) -> list[Path]:
    found = []
    for path in source.files(".csv", deep=True):
        try:
            if path.name.lower() == "_classes.csv" and read_text(path).lstrip().lower().startswith("pixel value"):
                found.append(path)
        except InputError as error:
            source.troubles.append(str(error))
    return found


def _read_table(path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, row in enumerate(read_rows(path), 1):
        if number == 1 or not row:
            continue
        if len(row) != 2 or not row[1].strip():
            raise InputError(f"{path}: line {number}: {','.join(row)[:60]!r} is not a pixel value and a class")
        value = whole(row[0], f"{path}: line {number}")
        if names.setdefault(value, row[1].strip()) != row[1].strip():
            raise InputError(f"{path}: line {number}: value {value} belongs to {names[value]!r} already")
    return names
