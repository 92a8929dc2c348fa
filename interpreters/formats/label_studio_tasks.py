"""Tasks for a Label Studio project: pictures with masks and key points to start from as predictions."""

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.classes import LabelClass, new_colors
from labelfactory.interpreters.formats.drawing import IGNORE_LABEL
from labelfactory.interpreters.formats.label_studio_results import HIDDEN
from labelfactory.interpreters.formats.rle import encode_brush
from labelfactory.interpreters.formats.work import Work, picture
from labelfactory.limits import IGNORE_INDEX
from labelfactory.palette import IGNORE_COLOR


def write(root: Path, work: Work) -> str:
    """``tasks.json`` and ``labeling_config.xml``; what to do with them."""
    labels = work.labels
    tasks = []
    for s in labels:
        image = _data_address(s.image) if work.url_prefix is None else f"{work.url_prefix}{s.name}.png"
        results = [] if (mask := work.masks.get(s.name)) is None else brushes(s.name, mask, labels.classes)
        if s.keypoints is not None:
            results += points(s.name, s.keypoints, labels.keypoints, s.mask.shape)
        tasks.append(task(s.name, image, results, work.model_version, work.scores.get(s.name)))
    (root / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    (root / "labeling_config.xml").write_text(labeling_config(labels.classes, labels.keypoints), encoding="utf-8")
    return "import tasks.json into a project that uses labeling_config.xml"


def task(
    sample: str, image: str, results: list[dict[str, Any]], model_version: str = "", score: float | None = None
) -> dict[str, Any]:
    """One task; ``results`` are its prediction, for a person to correct.

    ``image`` is an address that the browser can open, or a ``data:`` address with the picture in it.
    """
    out: dict[str, Any] = {"data": {"image": image, "sample": sample}}
    if results:
        scored = {} if score is None else {"score": score}
        out["predictions"] = [{"model_version": model_version, **scored, "result": results}]
    return out


def brushes(
    sample: str, mask: UInt8[np.ndarray, "height width"], classes: tuple[LabelClass, ...]
) -> list[dict[str, Any]]:
    """A brush region a class, "not labelled" among them.

    Class 0 is what remains undrawn; only a mask that is nothing else has a region of it.
    """
    names = {i: c.name for i, c in enumerate(classes)} | {IGNORE_INDEX: IGNORE_LABEL}
    drawn = [v for v in np.unique(mask).tolist() if v] or [0]
    return [
        _result(
            f"{sample}-{v}", "brushlabels", "brush", mask.shape, names[v], rle=encode_brush(mask == v), format="rle"
        )
        for v in drawn
    ]


def points(
    sample: str, keypoints: Float[np.ndarray, "keypoints 3"], names: tuple[str, ...], size: tuple[int, ...]
) -> list[dict[str, Any]]:
    """A key point region for each that is labelled; a hidden one says so in its note (``meta.text``)."""
    out = []
    for i, ((x, y, seen), name) in enumerate(zip(keypoints.tolist(), names, strict=True)):
        if seen:
            where = {"x": 100 * x / size[1], "y": 100 * y / size[0], "width": 100 * 2 / size[1]}
            result = _result(f"{sample}-point-{i}", "keypointlabels", "points", size, name, **where)
            out.append(result if seen == 2 else result | {"meta": {"text": [HIDDEN]}})
    return out


def _result(id: str, kind: str, control: str, size: tuple[int, ...], label: str, **value: Any) -> dict[str, Any]:
    return {
        "id": id,
        "type": kind,
        "from_name": control,
        "to_name": "image",
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": {**value, kind: [label]},
    }


def labeling_config(classes: tuple[LabelClass, ...], keypoints: tuple[str, ...] = ()) -> str:
    """The labelling interface (XML) that fits ``task``: brush and polygons for all classes and "not labelled", and the
    key points where there are any."""
    offered = [*classes, LabelClass(IGNORE_LABEL, IGNORE_COLOR)]
    regions = "\n".join(_label(c.name, c.color) for c in offered)
    dots = "\n".join(_label(n, c) for n, c in zip(keypoints, new_colors(len(keypoints) + 1)[1:], strict=True))
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="brush" toName="image">\n{regions}\n  </BrushLabels>\n'
        f'  <PolygonLabels name="polygon" toName="image">\n{regions}\n  </PolygonLabels>\n'
        + (f'  <KeyPointLabels name="points" toName="image">\n{dots}\n  </KeyPointLabels>\n' if keypoints else "")
        + "</View>\n"
    )


def _label(name: str, color: tuple[int, int, int]) -> str:
    return f'    <Label value={quoteattr(name)} background="#{color[0]:02x}{color[1]:02x}{color[2]:02x}"/>'


def _data_address(image: UInt8[np.ndarray, "height width channels"]) -> str:
    out = io.BytesIO()
    picture(image).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
