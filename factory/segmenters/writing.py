"""A prediction as files: masks, object numbers, what was found as JSON, and all of it drawn over the picture."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelfactory.factory.evaluation.box_judge import boxes_of
from labelfactory.factory.evaluation.cases import drawn
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.pictures import save_mask
from labelfactory.whole_files import whole_file

FOLDERS = {  # what a task's predictions are written into, and the files' ending
    "semantic": {"masks": "png"},
    "instance": {"masks": "png", "instances": "png", "found": "json"},
    "panoptic": {"masks": "png", "instances": "png", "found": "json"},
    "boxes": {"found": "json"},
    "keypoints": {"found": "json"},
}
OVERLAYS = {"overlays": "png"}


def write_prediction(
    out: Path,
    stem: str,
    image: UInt8[np.ndarray, "height width channels"],
    predicted: Predicted,
    aim: Aim,
    overlays: bool,
) -> None:
    """``masks/`` (8-bit indexed), ``instances/`` (16-bit numbers), ``found/`` and ``overlays/``, as the task has."""
    wanted = FOLDERS[aim.task]
    if "masks" in wanted and predicted.mask is not None:
        save_mask(out / "masks" / f"{stem}.png", predicted.mask, aim.classes)
    if "instances" in wanted and predicted.instances is not None:
        _save_png(out / "instances" / f"{stem}.png", predicted.instances.astype(np.uint16))
    if "found" in wanted:
        with whole_file(out / "found" / f"{stem}.json") as file:
            file.write((json.dumps(found(predicted, aim), indent=1) + "\n").encode())
    if overlays:
        _save_png(out / "overlays" / f"{stem}.png", drawn(image, predicted, aim.classes))


def found(predicted: Predicted, aim: Aim) -> dict[str, Any]:
    """Objects with class, score and box (x0, y0, x1, y1 in pixels), in the order of their numbers; named points."""
    said: dict[str, Any] = {}
    if predicted.keypoints is not None:
        rows = zip(aim.keypoints, predicted.keypoints.tolist(), strict=True)
        said["keypoints"] = [{"name": n, "x": _short(x), "y": _short(y), "score": _short(s)} for n, (x, y, s) in rows]
    if predicted.instances is not None or predicted.boxes is not None:
        boxes = boxes_of(predicted, aim.things)
        said["objects"] = [
            {"class": _name(aim.classes, label), "score": _short(score), "box": [_short(v) for v in corners]}
            for corners, label, score in zip(
                boxes.corners.tolist(), boxes.classes.tolist(), boxes.scores.tolist(), strict=True
            )
        ]
        if predicted.instances is not None:
            numbers = np.unique(predicted.instances[predicted.instances > 0]).tolist()
            for entry, number in zip(said["objects"], numbers, strict=True):
                entry["number"] = number
    return said


def _name(classes: Sequence[LabelClass], label: int) -> str:
    return classes[label].name


def _short(value: float) -> float:
    return round(float(value), 4)


def _save_png(path: Path, pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    with whole_file(path) as file:
        file.write(buffer.getvalue())
