"""Masks as pictures: a folder of them, which hold class ids or the classes' colours."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Int, UInt8
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.formats.drawing import IGNORE_LABEL, Bitmap, Drawing, Shape
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.palettes import SAY_WHICH, meanings, palette_colors, recoded, value_name
from labelfactory.interpreters.pictures import open_picture
from labelfactory.limits import IGNORE_INDEX
from labelfactory.palette import IGNORE_COLOR, Color

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
TRANSPARENT = -1


class Values(NamedTuple):
    """A mask picture as it was read: a number a pixel, and what is to be said of it.

    ids: the numbers are class ids, 255 "not labelled"; else they are colours, red * 65536 + green * 256 + blue.
    Transparent pixels have the number ``TRANSPARENT``. sure: 255 is "not labelled", as its colour says.
    """

    path: Path
    numbers: Int[np.ndarray, "height width"]
    ids: bool
    note: str = ""
    sure: bool = False


class Pictures(Format):
    """A folder of pictures, called like the samples."""

    title = "masks as pictures (PNG, TIFF, BMP)"
    fallback = True

    def recognises(self, source: Source) -> str | None:
        """Any folder or file of such pictures, unless there is something beside them that names labels."""
        if source.files(*SUFFIXES) and not source.files(".json"):
            return "has pictures"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterable[Drawing]:
        """Every picture."""
        return read_pictures(source.files(*SUFFIXES), labels.classes, mapping)


def read_pictures(paths: Iterable[Path], classes: Sequence[LabelClass], mapping: Mapping[str, str]) -> list[Drawing]:
    """A drawing a picture. Indexed and grey ones (1, 8 or 16 bits) hold class ids, RGB ones the classes' colours; an
    indexed one whose palette is the classes' in another order is read by its colours.

    Where nothing but 0 and 255 occurs in all of them, 255 is the second of two classes; otherwise it is "not labelled",
    as 65535 is. Ids and colours without a class, and those in ``mapping``, are labels of their own, ``"7"`` and
    ``"#ff0000"``, for the mapping to name; transparent pixels have the label ``"transparent"``.
    """
    read = [_values(path, classes, mapping) for path in paths]
    foreground = _foreground(read, classes, mapping)
    return [_drawing(v, classes, mapping, foreground) for v in read]


def _values(path: Path, classes: Sequence[LabelClass], mapping: Mapping[str, str]) -> Values:
    image = open_picture(path)
    if image.mode in ("1", "L"):
        return Values(path, np.array(image).astype(np.int64), ids=True)
    if image.mode == "P":
        indices = np.array(image).astype(np.int64)
        if any(key.isdecimal() for key in mapping):
            return Values(path, indices, ids=True)
        if any(key.startswith("#") for key in mapping):
            return Values(path, _codes(rgb(image, path)), ids=False)
        table = recoded(image, classes, str(path), SAY_WHICH)
        if table is None:
            sure = palette_colors(image).get(IGNORE_INDEX) == IGNORE_COLOR
            return Values(path, indices, ids=True, sure=sure)
        by_index = np.zeros(256, np.int64)
        by_index[list(table)] = list(table.values())
        note = f"{path}: the palette is in another order than the classes: read by its colours"
        return Values(path, by_index[indices], ids=True, note=note, sure=True)
    if image.mode.startswith("I"):
        numbers = np.array(image).astype(np.int64)
        if len(np.unique(numbers)) > 256:
            raise InputError(
                f"{path}: holds numbers of mode {image.mode}, no classes; `factory import-values` reads them"
            )
        return Values(path, numbers, ids=True)
    if image.mode == "F":
        raise InputError(f"{path}: holds numbers of mode F, no classes; `factory import-values` reads them")
    pixels = rgb(image, path)
    clear = np.asarray(image)[..., -1] == 0 if image.mode in ("LA", "RGBA") else np.zeros(pixels.shape[:2], bool)
    if (greys := _as_ids(pixels[~clear], classes, mapping)) is not None:
        numbers = np.full(clear.shape, TRANSPARENT, np.int64)
        numbers[~clear] = greys
        note = f"{path}: all its colours are grey and not all are classes': read as class ids"
        return Values(path, numbers, ids=True, note=note)
    return Values(path, np.where(clear, TRANSPARENT, _codes(pixels)), ids=False)


def _as_ids(
    shown: UInt8[np.ndarray, "pixels 3"], classes: Sequence[LabelClass], mapping: Mapping[str, str]
) -> UInt8[np.ndarray, "pixels"] | None:
    """The one channel of colours that are all grey, where its values can be class ids and not all colours are known."""
    if (shown != shown[:, :1]).any():
        return None
    values = np.unique(shown[:, 0]).tolist()
    known = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in meanings(classes)} | {key.lower() for key in mapping}
    if all(f"#{v:02x}{v:02x}{v:02x}" in known for v in values):
        return None
    return shown[:, 0] if all(v < len(classes) or v == IGNORE_INDEX for v in values) else None


def _foreground(read: Sequence[Values], classes: Sequence[LabelClass], mapping: Mapping[str, str]) -> str | None:
    """The label of 255 in masks of 0 and 255; None where 255 is "not labelled" or the mapping says what it is."""
    binary = [v for v in read if v.ids and np.isin(v.numbers, (0, IGNORE_INDEX)).all()]
    if "255" in mapping or len(binary) < len(read) or not any((v.numbers == IGNORE_INDEX).any() for v in binary):
        return None
    if all((v.numbers == IGNORE_INDEX).all() for v in binary) or any(v.sure for v in binary):
        return None
    if len(classes) == 2:
        return classes[1].name
    names = ", ".join(c.name for c in classes)
    raise InputError(
        f"{read[0].path}: nothing but 0 and 255 occurs, and 255 may be a class or 'not labelled'; "
        f"say which: --map 255=CLASS or --map 255=ignore (classes: {names})"
    )


def _drawing(
    values: Values, classes: Sequence[LabelClass], mapping: Mapping[str, str], foreground: str | None
) -> Drawing:
    path, numbers = values.path, values.numbers
    given = {key.lower(): key for key in mapping}
    table: dict[int, str] = {}
    notes = [values.note] if values.note else []
    for number in np.unique(numbers).tolist():
        code = "transparent" if number == TRANSPARENT else str(number) if values.ids else f"#{number:06x}"
        if code in given:
            table[number] = given[code]
        elif values.ids and number == IGNORE_INDEX and foreground is not None:
            table[number] = foreground
            notes.append(
                f"{path}: nothing but 0 and 255 occurs: 255 is read as {foreground!r} (--map 255=... says else)"
            )
        elif number == TRANSPARENT:
            table[number] = code
        elif values.ids:
            table[number] = _label([IGNORE_INDEX if number == 65535 else number], classes, code, path)
        else:
            color = (number >> 16, number >> 8 & 255, number & 255)
            table[number] = _label(meanings(classes).get(color, []), classes, code, path)
    drawing = drawing_of(path, numbers, table)
    drawing.notes += notes
    return drawing


def _label(values: Sequence[int], classes: Sequence[LabelClass], code: str, path: Path) -> str:
    if len(values) > 1:
        names = " and ".join(repr(value_name(v, classes)) for v in values)
        raise InputError(
            f"{path}: {code} is the colour of {names}; paint class ids, or say which: --map '{code}=CLASS'"
        )
    if values and values[0] < len(classes):
        return classes[values[0]].name
    return IGNORE_LABEL if values and values[0] == IGNORE_INDEX else code


def rgb(image: Image.Image, path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """The picture's colours. InputError where it has no 8-bit colours or is half transparent."""
    if image.mode in ("LA", "RGBA") and not np.isin(np.asarray(image)[..., -1], (0, 255)).all():
        raise InputError(f"{path}: is half transparent in places; expected a label picture without smoothing")
    if image.mode not in ("1", "P", "L", "LA", "RGB", "RGBA"):
        raise InputError(f"{path}: a picture of mode {image.mode}; expected indexed, grey or RGB")
    return np.array(image.convert("RGB"))


def by_color(pixels: np.ndarray, colors: Mapping[Color, str]) -> tuple[np.ndarray, dict[int, str]]:
    """(colour codes, label of each code); a colour that is not in ``colors`` is called ``#rrggbb``."""
    codes = _codes(pixels)
    known = {(r << 16) + (g << 8) + b: name for (r, g, b), name in colors.items()}
    return codes, {c: known.get(c, f"#{c:06x}") for c in np.unique(codes).tolist()}


def _codes(pixels: np.ndarray) -> Int[np.ndarray, "height width"]:
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])


def drawing_of(path: Path, values: np.ndarray, table: Mapping[int, str]) -> Drawing:
    """The drawing that says of every pixel which label it has: ``table[value]``."""
    if len(table) > 256:
        raise InputError(
            f"{path}: has {len(table)} colours; expected a label picture without smoothing or JPEG artefacts"
        )
    drawing = Drawing(image_names(path.name), str(path), (values.shape[0], values.shape[1]))
    for value, label in table.items():
        drawing.shapes.append(Shape(label, Bitmap(values == value), f"{path}: {label!r}"))
    return drawing
