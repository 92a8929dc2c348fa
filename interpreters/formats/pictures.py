"""Masks as pictures: a folder of PNG that hold class ids or the classes' colours."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.classes import IGNORE_COLOR, IGNORE_INDEX
from labelfactory.interpreters.formats.drawing import IGNORE_LABEL, Bitmap, Drawing, Shape
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import open_picture

Color = tuple[int, int, int]
SUFFIXES = (".png",)


class Pictures(Format):
    """A folder of pictures, called like the samples."""

    title = "PNG masks"
    fallback = True

    def recognises(self, source: Source) -> str | None:
        """Any folder or file of such pictures, unless there is something beside them that names labels."""
        if source.files(*SUFFIXES) and not source.files(".json"):
            return "has PNG files"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """Every picture. Indexed and grey ones hold class ids, RGB ones the classes' colours.

        Ids and colours without a class become labels of their own, ``"7"`` and ``"#ff0000"``, for the mapping to name.
        """
        names = {i: c.name for i, c in enumerate(labels.classes)} | {IGNORE_INDEX: IGNORE_LABEL}
        colors = {IGNORE_COLOR: IGNORE_LABEL}
        for c in reversed(labels.classes):
            colors[c.color] = c.name
        for path in source.files(*SUFFIXES):
            image = open_picture(path)
            if image.mode in ("P", "L"):
                values = np.array(image)
                table = {v: names.get(v, str(v)) for v in np.unique(values).tolist()}
            else:
                if image.mode.startswith("I") or image.mode == "F":
                    raise InputError(
                        f"{path}: holds numbers of mode {image.mode}, no classes; `factory import-values` reads them"
                    )
                values, table = by_color(rgb(image, path), colors)
            yield drawing_of(path, values, table)


def rgb(image: Image.Image, path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """The picture's colours. InputError where it has no 8-bit colours or is partly transparent."""
    if image.mode == "RGBA" and np.asarray(image)[..., 3].min() < 255:
        raise InputError(
            f"{path}: is partly transparent; flatten it, or give unlabelled pixels the colour {IGNORE_COLOR}"
        )
    if image.mode not in ("P", "L", "RGB", "RGBA"):
        raise InputError(f"{path}: a picture of mode {image.mode}; expected 8-bit indexed, grey or RGB")
    return np.array(image.convert("RGB"))


def by_color(pixels: np.ndarray, colors: Mapping[Color, str]) -> tuple[np.ndarray, dict[int, str]]:
    """(colour codes, label of each code); a colour that is not in ``colors`` is called ``#rrggbb``."""
    codes = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    known = {(r << 16) + (g << 8) + b: name for (r, g, b), name in colors.items()}
    return codes, {c: known.get(c, f"#{c:06x}") for c in np.unique(codes).tolist()}


def drawing_of(path: Path, values: np.ndarray, table: Mapping[int, str]) -> Drawing:
    """The drawing that says of every pixel which label it has: ``table[value]``."""
    if len(table) > 256:
        raise InputError(
            f"{path}: has {len(table)} colours; expected a label picture without smoothing or JPEG artefacts"
        )
    drawing = Drawing((path.stem,), str(path), (values.shape[0], values.shape[1]))
    for value, label in table.items():
        drawing.shapes.append(Shape(label, Bitmap(values == value), f"{path}: {label!r}"))
    return drawing
