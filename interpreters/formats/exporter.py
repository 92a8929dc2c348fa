"""A label set for a labelling tool: pictures, and the labels that are there to start from.

To add a tool: a function ``write(root, work)`` in its format's module and a line in ``table.WRITERS``.
"""

import io
import os
from pathlib import Path

import numpy as np

from labelfactory.interpreters.formats.table import writer
from labelfactory.interpreters.formats.work import Work
from labelfactory.whole_files import whole_folder


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
