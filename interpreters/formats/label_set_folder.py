"""Our own layout, ``images/`` and ``masks/``: a label set, the PNG export of a store, or such folders alone."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labelfactory.interpreters.checked_json import checked, field
from labelfactory.interpreters.classes import LabelClass, check_classes, name_classes, parse_class
from labelfactory.interpreters.formats.drawing import Drawing, Keypoint
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.pictures import SUFFIXES, read_pictures
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet

LISTS = ("labelset.json", "classes.json")


class LabelSetFolder(Format):
    """Masks in a folder of that name; class numbers are those of the JSON file beside it, where there is one."""

    title = "our own masks/ folder"
    fallback = True

    def recognises(self, source: Source) -> str | None:
        """Pictures in a folder called ``masks``."""
        return "has masks/" if source.files(*SUFFIXES, under="masks") else None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing a mask, with the key points of a label set."""
        classes, points = labels.classes, dict[str, list[Keypoint]]()
        for path in (p for name in LISTS if (p := source.file(name)) is not None):
            data = source.json(path, dict)
            classes = _classes(data, str(path))
            points = _keypoints(data, str(path))
            break
        for drawing in read_pictures(source.files(*SUFFIXES, under="masks"), classes, mapping):
            drawing.keypoints = points.get(drawing.names[0], [])
            yield drawing


def _classes(data: Any, where: str) -> tuple[LabelClass, ...]:
    entries = field(data, "classes", list, where)
    if all(isinstance(e, dict) and "color" in e for e in entries):
        classes = tuple(parse_class(e, f"{where}: classes[{i}]") for i, e in enumerate(entries))
    else:
        classes = name_classes(field(e, "name", str, f"{where}: classes[{i}]") for i, e in enumerate(entries))
    check_classes(classes, where)
    return classes


def _keypoints(data: Any, where: str) -> dict[str, list[Keypoint]]:
    """Key points of a ``labelset.json``, by sample."""
    names = [checked(n, str, f"{where}: keypoints") for n in field(data, "keypoints", list, where, [])]
    out: dict[str, list[Keypoint]] = {}
    for i, entry in enumerate(field(data, "samples", list, where, []) if names else []):
        place = f"{where}: samples[{i}]"
        rows = field(entry, "keypoints", list, place, [])
        for name, row in zip(names, rows, strict=False):
            x, y, seen = (checked(v, float, f"{place}: keypoints") for v in checked(row, list, f"{place}: keypoints"))
            if seen:
                stem = Path(field(entry, "file", str, place)).stem
                out.setdefault(stem, []).append(Keypoint(name, x, y, place, seen == 2))
    return out
