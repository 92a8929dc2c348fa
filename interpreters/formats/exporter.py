"""A label set for labelling tools: pictures, and masks to start from as predictions."""

import base64
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from labelfactory.interpreters.formats import label_studio, labelme
from labelfactory.interpreters.formats.drawing import IGNORE_LABEL
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.whole_files import whole_folder


def export_label_studio(
    labels: LabelSet,
    folder: str | os.PathLike[str],
    masks: Mapping[str, np.ndarray],
    *,
    url_prefix: str | None = None,
    model_version: str = "",
    scores: Mapping[str, float] | None = None,
) -> None:
    """Write ``tasks.json`` and ``labeling_config.xml`` for a Label Studio project into a new folder.

    Arguments:
        masks: by sample name; becomes the task's prediction. Samples without one are plain tasks.
        url_prefix: address that the browser finds the set's images under, such as ``/data/local-files/?d=set/images/``;
            None puts each picture into its task.
        model_version, scores: what made the masks and how uncertain it was of each; Label Studio can sort by it.

    Raises:
        InputError: the folder exists.
    """
    tasks = []
    for s in labels:
        image = f"{url_prefix}{s.name}.png" if url_prefix is not None else _data_address(s)
        score = (scores or {}).get(s.name)
        tasks.append(label_studio.task(s.name, image, masks.get(s.name), labels.classes, model_version, score))
    with whole_folder(folder) as root:
        (root / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
        (root / "labeling_config.xml").write_text(label_studio.labeling_config(labels.classes), encoding="utf-8")


def export_labelme(labels: LabelSet, folder: str | os.PathLike[str], masks: Mapping[str, np.ndarray]) -> None:
    """Write each sample's picture and, where it has a mask, a labelme file of polygons beside it into a new folder."""
    with whole_folder(folder) as root:
        for s in labels:
            _picture(s).save(root / f"{s.name}.png")
            if s.name in masks:
                document = labelme.document(f"{s.name}.png", masks[s.name], labels.classes)
                (root / f"{s.name}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        names = [IGNORE_LABEL, *labels.class_names]
        (Path(root) / "labels.txt").write_text("".join(f"{n}\n" for n in names), encoding="utf-8")


def _picture(sample: Sample) -> Image.Image:
    return Image.fromarray(sample.image[..., 0] if sample.image.shape[2] == 1 else sample.image)


def _data_address(sample: Sample) -> str:
    out = io.BytesIO()
    _picture(sample).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
