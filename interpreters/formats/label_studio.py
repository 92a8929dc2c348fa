"""Label Studio: a project's exports as JSON and JSON-MIN, and tasks with predictions to start labelling from.

Facts: https://labelstud.io/guide/task_format, exports of version 1.23 and the converter of label-studio-sdk 2.1.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.interpreters.formats.drawing import Drawing
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.label_studio_results import add_results
from labelfactory.interpreters.formats.names import image_names, image_size
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet

BRUSH_MASK = re.compile(r"^task-(?P<task>\d+)-annotation-(?P<annotation>\d+)-by-(?P<by>[^-]*)-(?P<label>.+)-\d+$")


class LabelStudio(Format):
    """A project's export as JSON or JSON-MIN: a list of tasks."""

    title = "Label Studio's JSON export"

    def recognises(self, source: Source) -> str | None:
        """A list of objects at the top level."""
        if any(map(is_brush_mask, source.files(".png", ".npy", deep=True))):
            return None  # then the JSON is there to say which task is which image
        found = _exports(source)
        return f"{found[0].name} is a list of tasks" if found else None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a task; of a task's annotations the latest that was not cancelled."""
        paths = _exports(source) or [source.only(".json", self.title)]
        for path in paths:
            tasks = source.json(path, list)
            latest: dict[tuple[str, ...], tuple[str, Drawing]] = {}
            for i, task in enumerate(tasks):
                where = f"{path}: task[{i}]"
                if isinstance(task, dict) and not {"data", "annotations", "completions"}.isdisjoint(task):
                    yield _read_task(task, labels, where)
                    continue
                drawing = _read_flat(task, labels, where)
                when = field(task, "updated_at", str, where, "")
                before, there = latest.get(drawing.names, ("", drawing))
                kept, dropped = (drawing, there) if when >= before else (there, drawing)
                if there is not drawing:  # JSON-MIN has an entry an annotation
                    kept.notes.append(f"{dropped.where}: there is a later annotation of the same image")
                latest[drawing.names] = max(when, before), kept
            yield from (drawing for _, drawing in latest.values())


def is_brush_mask(path: Path) -> bool:
    """Whether a file is called like those of the exports "Brush labels to PNG" and "... to NumPy"."""
    return BRUSH_MASK.match(path.stem) is not None


def _exports(source: Source) -> list[Path]:
    return [p for p in source.files(".json", deep=True) if isinstance(source.peek(p), list)]


def _read_task(task: Any, labels: LabelSet, where: str) -> Drawing:
    names = task_names(task, where)
    where = f"{where} ({names[0]!r})"
    key = next((k for k in ("annotations", "completions") if k in task), None)  # completions: until version 1.0
    if key is None:
        raise InputError(f'{where}: has no "annotations"; export the project as JSON or JSON-MIN')
    drawing = Drawing(names, where, said="unopened")
    latest: tuple[str, int] | None = None
    for i, annotation in enumerate(field(task, key, list, where)):
        place = f"{where}: {key}[{i}]"
        if field(annotation, "was_cancelled", bool, place, False):
            drawing.notes.append(f"{place}: was skipped by the annotator")
            continue
        when = field(annotation, "updated_at", str, place, "")
        if latest is not None:
            drawing.notes.append(f"{where}: {key}[{latest[1] if (when, i) > latest else i}]: there is a later one")
        latest = max(latest or ("", -1), (when, i))
    if latest is not None:
        drawing.said = "drawn"
        place = f"{where}: {key}[{latest[1]}]"
        results = field(task[key][latest[1]], "result", list, place)
        add_results(drawing, results, image_size(labels), place)
    return drawing


def _read_flat(task: Any, labels: LabelSet, where: str) -> Drawing:
    """An entry of JSON-MIN: what "data" held and, under the name of each tag, a list of its regions' values."""
    names = task_names(task, where)
    where = f"{where} ({names[0]!r})"
    drawing = Drawing(names, where, said="drawn" if task.get("annotation_id") is not None else "unopened")
    results = []
    for value in task.values():
        for region in value if isinstance(value, list) else ():
            if not isinstance(region, dict):
                continue  # texts: the choices of a list
            kind = next((k for k, v in region.items() if k.endswith("labels") and isinstance(v, list)), "region")
            sizes = {k: region[k] for k in ("original_width", "original_height", "image_rotation") if k in region}
            results.append({"type": kind, "value": region, **sizes})
    add_results(drawing, results, image_size(labels), where)
    return drawing


def task_names(task: Any, where: str) -> tuple[str, ...]:
    """What a task's image may be called: our own entry, the uploaded file, any address in its data."""
    flat = isinstance(task, dict) and "data" not in task
    data = checked(task, dict, where) if flat else field(task, "data", dict, where)
    found = [data["sample"]] if isinstance(data.get("sample"), str) else []
    upload = field(task, "file_upload", str, where, "")
    for address in [upload, *(v for v in data.values() if isinstance(v, str) and len(v) < 2000)]:
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        if parts.scheme == "data":
            continue
        # local files are served as /data/local-files/?d=folder/name.png
        path = PurePosixPath(
            unquote(parts.query.removeprefix("d=") if parts.path.endswith("local-files/") else parts.path)
        )
        if path.suffix:
            found += image_names(path.name)
    if not found:
        place = "it" if flat else '"data"'
        raise InputError(f'{where}: {place} names no image; expected an "image" address or our "sample"')
    return tuple(dict.fromkeys(n for n in found if n))
