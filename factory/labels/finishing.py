"""The end of labelling: masks, the interpreter that they teach, and a report of how they came about."""

import json
import shutil
from pathlib import Path
from typing import Any

from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.classes import ensure_interpreter
from labelfactory.factory.labels.session import LabelSession
from labelfactory.whole_files import whole_path

INTERPRETER, REPORT = "interpreter.safetensors", "annotation_report.json"


def finish(session: LabelSession, generator: str, device: str, curve: dict[str, Any]) -> list[str]:
    """Writes into the label set's folder; gives the files that were written.

    The interpreter is the one that ``factory generate --labels`` trains for these labels, so it is found there already.
    Raises InputError where nothing is labelled, or a single class.
    """
    labels = session.save()
    made = ensure_interpreter(open_generator(generator, device), labels, progress=False)
    with whole_path(session.folder / INTERPRETER) as temporary:
        shutil.copyfile(made.path, temporary)
    report = {
        "samples": [
            {"name": name, "state": history.state, "strokes": history.strokes, "events": len(history.events)}
            for name, history in session.histories.items()
        ],
        "events": session.log.revision,
        "labels_sha256": labels.content_sha256,
        "curve": curve,
    }
    with whole_path(session.folder / REPORT) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
    written = [session.folder / "labelset.json", session.folder / INTERPRETER, session.folder / REPORT]
    return [str(Path(p)) for p in written]
