"""Files for labelme: a picture and, where there are labels, a JSON file of polygons and points beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.formats.drawing import IGNORE_LABEL
from labelfactory.interpreters.formats.labelme import HIDDEN
from labelfactory.interpreters.formats.outlines import components
from labelfactory.interpreters.formats.work import Work, picture
from labelfactory.limits import IGNORE_INDEX


def write(root: Path, work: Work) -> str:
    """``NAME.png``, ``NAME.json`` and ``labels.txt``; what to do with them."""
    labels = work.labels
    for s in labels:
        picture(s.image).save(root / f"{s.name}.png")
        shapes = [] if (mask := work.masks.get(s.name)) is None else polygons(mask, labels.classes)
        if s.keypoints is not None:
            shapes += points(s.keypoints, labels.keypoints)
        if shapes:
            text = json.dumps(document(f"{s.name}.png", s.mask.shape, shapes), indent=1)
            (root / f"{s.name}.json").write_text(text, encoding="utf-8")
    names = dict.fromkeys([IGNORE_LABEL, *labels.class_names, *labels.keypoints])
    (root / "labels.txt").write_text("".join(f"{n}\n" for n in names), encoding="utf-8")
    return "open it with: labelme {out} --labels {out}/labels.txt"


def document(image_path: str, size: tuple[int, ...], shapes: list[dict[str, Any]]) -> dict[str, Any]:
    """What a labelme file holds. ``image_path`` is relative to the file."""
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }


def polygons(mask: UInt8[np.ndarray, "height width"], classes: tuple[LabelClass, ...]) -> list[dict[str, Any]]:
    """A polygon a connected region, exact to the pixel when read back.

    Outer regions come first, what lies in their holes is drawn over them. Class 0 is what remains where nothing is
    drawn, so its regions appear only inside others; a mask that is nothing else has one of it all.
    """
    names = {i: c.name for i, c in enumerate(classes)} | {IGNORE_INDEX: IGNORE_LABEL}
    found = [_shape(names[value], corners, "polygon") for value, corners in components(mask)]
    height, width = mask.shape
    return found or [_shape(names[0], np.array([[0, 0], [width, 0], [width, height], [0, height]]), "polygon")]


def points(keypoints: Float[np.ndarray, "keypoints 3"], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """A point for each that is labelled; a hidden one has a flag that says so."""
    return [
        _shape(name, row[None, :2], "point") | ({} if row[2] == 2 else {"flags": {HIDDEN: True}})
        for row, name in zip(keypoints, names, strict=True)
        if row[2]
    ]


def _shape(label: str, points: np.ndarray, kind: str) -> dict[str, Any]:
    return {
        "label": label,
        "points": points.astype(float).tolist(),
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }
