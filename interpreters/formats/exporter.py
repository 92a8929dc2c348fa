"""A label set for a labelling tool: pictures, and the labels that are there to start from.

To add a tool: a function ``write(root, work)`` in its format's module and a line in ``table.WRITERS``.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.formats.table import writer
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.whole_files import whole_folder


@dataclass(frozen=True)
class Work:
    """What a person gets to work on.

    Attributes:
        labels: pictures, key points and values.
        masks: by sample name, to start from: those of the set, or what an interpreter says. Others have none.
        model_version, scores: what made the masks and how uncertain it was of each sample, where a tool shows that.
        url_prefix: address that a browser finds the set's images under; None puts them into what is written.
    """

    labels: LabelSet
    masks: Mapping[str, UInt8[np.ndarray, "height width"]]
    model_version: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    url_prefix: str | None = None


def export_labels(work: Work, folder: str | os.PathLike[str], format: str) -> list[str]:
    """Write a new folder for a tool of ``table.WRITERS``; what a person should know of it, in lines.

    No tool draws continuous labels: they go along as ``values/NAME.npy``.

    Raises:
        InputError: the folder exists and is not empty, or there is no such format.
    """
    write = writer(format)
    values = {s.name: s.values for s in work.labels if s.values is not None}
    points = sum(int((s.keypoints[:, 2] > 0).sum()) for s in work.labels if s.keypoints is not None)
    with whole_folder(folder) as root:
        do = write(root, work).replace("{out}", str(folder))
        for name, array in values.items():
            (root / "values").mkdir(exist_ok=True)
            out = io.BytesIO()
            np.save(out, array.astype("<f4"), allow_pickle=False)
            (root / "values" / f"{name}.npy").write_bytes(out.getvalue())
    with_points = f" and {points} key points" if points else ""
    lines = [f"{folder}: {len(work.labels)} pictures, {len(work.masks)} with masks{with_points}; {do}"]
    if values:
        channels = ", ".join(c.name for c in work.labels.values)
        lines.append(
            f"{Path(folder) / 'values'}: {channels} of {len(values)} samples, which the tool cannot draw; "
            "import-values reads the folder"
        )
    return lines


def picture(image: UInt8[np.ndarray, "height width channels"]) -> Image.Image:
    """The image of a sample, as it is saved."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
