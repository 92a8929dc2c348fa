"""Masks as pictures: folders of PNG, and CVAT's "Segmentation mask 1.1" with its colour table."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.classes import IGNORE_COLOR, IGNORE_INDEX, LabelClass
from labelfactory.interpreters.formats.drawing import Bitmap, Drawing, Shape
from labelfactory.interpreters.formats.labelme import IGNORE_LABEL
from labelfactory.interpreters.pictures import open_picture

Color = tuple[int, int, int]


def read_png(source: Path, classes: tuple[LabelClass, ...]) -> Iterator[Drawing]:
    """Every PNG of a folder (or one file). Indexed and grey pictures hold class ids, RGB ones the classes' colours.

    Ids and colours without a class become labels of their own, ``"7"`` and ``"#ff0000"``, for the mapping to name.
    """
    names = {i: c.name for i, c in enumerate(classes)} | {IGNORE_INDEX: IGNORE_LABEL}
    colors = {IGNORE_COLOR: IGNORE_LABEL}
    for c in reversed(classes):
        colors[c.color] = c.name
    for path in [source] if source.is_file() else sorted(source.glob("*.png")):
        image = open_picture(path)
        if image.mode in ("P", "L"):
            values = np.array(image)
            table = {v: names.get(v, str(v)) for v in np.unique(values).tolist()}
        else:
            if image.mode.startswith("I") or image.mode == "F":
                raise InputError(
                    f"{path}: holds numbers of mode {image.mode}, no classes; `factory import-values` reads them"
                )
            values, table = _by_color(_rgb(image, path), colors)
        yield _drawing(path, values, table)


def read_cvat(source: Path) -> Iterator[Drawing]:
    """CVAT's export, unpacked: ``labelmap.txt`` and ``SegmentationClass/*.png`` in the colours that it lists."""
    colors = read_labelmap(source / "labelmap.txt")
    folder = source / "SegmentationClass"
    if not folder.is_dir():
        raise InputError(
            f"{source}: has no SegmentationClass folder; expected CVAT's export as 'Segmentation mask 1.1'"
        )
    for path in sorted(folder.glob("*.png")):
        values, table = _by_color(_rgb(open_picture(path), path), colors)
        yield _drawing(path, values, table)


def read_labelmap(path: Path) -> dict[Color, str]:
    """Label of every colour, from lines ``name:r,g,b:parts:actions``."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; CVAT's export has one")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text") from None
    table: dict[Color, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = line.split(":")
        try:
            r, g, b = (int(v) for v in rest[0].split(","))
        except (IndexError, ValueError):
            raise InputError(f"{path}: line {number}: {line[:60]!r} is not name:red,green,blue:parts:actions") from None
        if not all(0 <= v <= 255 for v in (r, g, b)):
            raise InputError(f"{path}: line {number}: colour {r},{g},{b} is outside 0 to 255")
        if table.setdefault((r, g, b), name) != name:
            raise InputError(f"{path}: line {number}: colour {r},{g},{b} belongs to {table[r, g, b]!r} already")
    return table


def _rgb(image: Image.Image, path: Path) -> UInt8[np.ndarray, "height width 3"]:
    if image.mode == "RGBA" and np.asarray(image)[..., 3].min() < 255:
        raise InputError(
            f"{path}: is partly transparent; flatten it, or give unlabelled pixels the colour {IGNORE_COLOR}"
        )
    if image.mode not in ("P", "L", "RGB", "RGBA"):
        raise InputError(f"{path}: a picture of mode {image.mode}; expected 8-bit indexed, grey or RGB")
    return np.array(image.convert("RGB"))


def _by_color(rgb: np.ndarray, colors: dict[Color, str]) -> tuple[np.ndarray, dict[int, str]]:
    """(colour codes, label of each code)."""
    codes = rgb.astype(np.int64) @ np.array([65536, 256, 1])
    known = {(r << 16) + (g << 8) + b: name for (r, g, b), name in colors.items()}
    return codes, {c: known.get(c, f"#{c:06x}") for c in np.unique(codes).tolist()}


def _drawing(path: Path, values: np.ndarray, table: dict[int, str]) -> Drawing:
    if len(table) > 256:
        raise InputError(
            f"{path}: has {len(table)} colours; expected a label picture without smoothing or JPEG artefacts"
        )
    drawing = Drawing((path.stem,), str(path), (values.shape[0], values.shape[1]))
    for value, label in table.items():
        drawing.shapes.append(Shape(label, Bitmap(values == value), f"{path}: {label!r}"))
    return drawing
