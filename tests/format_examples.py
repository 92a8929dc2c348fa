"""One set of masks as every format stores it: what the contract's tests hand to the importer.

A new format adds a function here and a line in ``EXAMPLES``.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_api

from labelfactory.interpreters.classes import palette
from labelfactory.interpreters.formats import label_studio, labelme
from labelfactory.interpreters.formats.drawing import Drawing
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.formats.table import open_format
from labelfactory.interpreters.labelset import NUCLEI_CLASSES, LabelClass, LabelSet
from labelfactory.interpreters.pictures import save_mask

NOTHING = LabelSet(NUCLEI_CLASSES, (), "g", "ab" * 32)


def read(
    format: str, path: Path, labels: LabelSet = NOTHING, mapping: Mapping[str, str] | None = None
) -> list[Drawing]:
    """All drawings of a source in a format of the table."""
    return list(open_format(format).read(Source(path), labels, mapping or {}))


def pixels(drawing: Drawing, size: tuple[int, int]) -> dict[str, list[list[int]]]:
    """Places (y, x) that each label of a drawing covers, by itself."""
    return {s.label: np.argwhere(s.region.fill(*size)).tolist() for s in drawing.shapes}


Writer = Callable[[LabelSet, Path], None]


def write_png(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        save_mask(folder / f"{s.name}.png", s.mask, labels.classes)


def write_grey(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        Image.fromarray(s.mask).save(folder / f"{s.name}.png")


def write_rgb(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        Image.fromarray(palette(labels.classes)[s.mask]).save(folder / f"{s.name}.png")


def write_labelme(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        document = labelme.document(f"../images/{s.name}.png", s.mask, labels.classes)
        (folder / f"{s.name}.json").write_text(json.dumps(document))


def write_cvat_masks(labels: LabelSet, folder: Path) -> None:
    (folder / "SegmentationClass").mkdir()
    lines = (f"{c.name}:{','.join(map(str, c.color))}::\n" for c in labels.classes)
    (folder / "labelmap.txt").write_text("".join(lines) + "__ignore__:128,128,128::\n", encoding="utf-8")
    for s in labels:
        Image.fromarray(palette(labels.classes)[s.mask]).save(folder / "SegmentationClass" / f"{s.name}.png")


def write_coco(labels: LabelSet, folder: Path) -> None:
    names = {i: c.name for i, c in enumerate(labels.classes)} | {255: "__ignore__"}
    data: dict[str, Any] = {
        "images": [
            {"id": i, "file_name": f"{s.name}.png", "height": s.mask.shape[0], "width": s.mask.shape[1]}
            for i, s in enumerate(labels)
        ],
        "categories": [{"id": i, "name": n} for i, n in names.items()],
        "annotations": [],
    }
    for i, s in enumerate(labels):
        for value in np.unique(s.mask).tolist():
            code = coco_api.encode(np.asfortranarray((s.mask == value).astype(np.uint8)))
            code["counts"] = code["counts"].decode()
            data["annotations"].append({"image_id": i, "category_id": value, "segmentation": code})
    (folder / "instances.json").write_text(json.dumps(data), encoding="utf-8")


def write_label_studio(labels: LabelSet, folder: Path) -> None:
    tasks = []
    for s in labels:
        task = label_studio.task(s.name, "data:,", s.mask, labels.classes)
        tasks.append({"data": task["data"], "annotations": [{"result": task["predictions"][0]["result"]}]})
    (folder / "export.json").write_text(json.dumps(tasks), encoding="utf-8")


EXAMPLES: dict[str, tuple[str, Writer]] = {
    "png indexed": ("png", write_png),
    "png grey": ("png", write_grey),
    "png colours": ("png", write_rgb),
    "labelme": ("labelme", write_labelme),
    "coco": ("coco", write_coco),
    "label-studio": ("label-studio", write_label_studio),
    "cvat": ("cvat", write_cvat_masks),
}
"""Name of an example, to the format that it is in and what writes a label set's masks into a folder."""

CLASSES = (*NUCLEI_CLASSES, LabelClass("zwölf Kerne", (0, 158, 115)))
