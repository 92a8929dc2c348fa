"""Label Studio's brush exports: a grey PNG or NumPy file for every brush region.

Facts: label-studio-sdk 2.1 (converter/brush.py), which calls them ``task-12-annotation-34-by-1-brush-nucleus-0.png``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import label_studio
from labelfactory.interpreters.formats.drawing import Bitmap, Drawing, Shape
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.rle import MAX_PIXELS
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import one_line, open_picture


class LabelStudioBrush(Format):
    """Masks of brush regions; the project's JSON export beside them says which task is which image."""

    title = "Label Studio's brush masks"

    def recognises(self, source: Source) -> str | None:
        """The names of the files."""
        for path in _masks(source):
            return f"{path.name} is called like a brush mask"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a task, from its latest annotation."""
        tasks: dict[int, dict[int, list[tuple[str, Path]]]] = {}
        for path in _masks(source):
            match = label_studio.BRUSH_MASK.match(path.stem)
            assert match is not None
            annotations = tasks.setdefault(int(match["task"]), {})
            annotations.setdefault(int(match["annotation"]), []).append((match["label"], path))
        images = _task_names(source)
        known = (*mapping, *labels.class_names)
        for task, annotations in tasks.items():
            latest = max(annotations)
            names = images.get(task, ())
            drawing = Drawing(names, f"{source.path}: task {task}" + (f" ({names[0]!r})" if names else ""))
            if len(tasks) == len(labels) == 1 and not drawing.names:
                drawing.names = (labels.samples[0].name,)
                drawing.notes.append(f"{drawing.where}: no JSON export says its image, taken for the only one")
            if not drawing.names:
                raise InputError(
                    f"{drawing.where}: masks do not say which image they are of; put the project's JSON export beside "
                    "them"
                )
            drawing.notes += [
                f"{drawing.where}: annotation {a}: there is a later one" for a in annotations if a != latest
            ]
            for tag, path in annotations[latest]:
                pixels = _read_mask(path)
                if drawing.size not in (None, pixels.shape):
                    raise InputError(f"{path}: has another size than the masks of task {task} before")
                drawing.size = pixels.shape[0], pixels.shape[1]
                drawing.shapes.append(Shape(_label(tag, known), Bitmap(pixels), str(path)))
            yield drawing


def _masks(source: Source) -> list[Path]:
    return [p for p in source.files(".png", ".npy", deep=True) if label_studio.is_brush_mask(p)]


def _label(tag: str, known: tuple[str, ...]) -> str:
    """The label in ``TAG-LABEL``, both of which may have hyphens: a known one, else all after the first hyphen."""
    fitting = [k for k in known if tag.casefold().endswith("-" + k.casefold().replace("/", "-").replace("\\", "-"))]
    return max(fitting, key=len) if fitting else tag.split("-", 1)[-1]


def _task_names(source: Source) -> dict[int, tuple[str, ...]]:
    """Names of the image of every task, from JSON exports beside the masks."""
    names: dict[int, tuple[str, ...]] = {}
    for path in source.files(".json", deep=True):
        data: Any = source.peek(path)
        for task in data if isinstance(data, list) else []:
            number = task.get("id") if isinstance(task, dict) else None
            if isinstance(number, int):
                names[number] = label_studio.task_names(task, f"{path}: task {number}")
    return names


def _read_mask(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".png":
        image = open_picture(path)
        if image.mode not in ("L", "1", "P"):
            raise InputError(f"{path}: a picture of mode {image.mode}; expected a grey one, 0 and 255")
        return np.array(image.convert("L")) > 127
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")  # mapped: a header's shape may be beyond the file
        good = (
            isinstance(array, np.ndarray)
            and array.ndim == 2
            and array.dtype.kind in "ui"
            and 0 < array.size <= MAX_PIXELS
        )
    except Exception as error:  # whatever NumPy meets in a broken file
        raise InputError(f"{path}: cannot be read as an array ({one_line(error)})") from None
    if not good:
        raise InputError(f"{path}: expected one array [height, width] of integers, 0 and 255")
    return np.array(array) > 127
